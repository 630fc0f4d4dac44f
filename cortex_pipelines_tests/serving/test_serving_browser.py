"""What a person sees and types on the gateway's page, in Chromium."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from cortex_pipelines.config import load_parameters
from cortex_pipelines.feedback.store import FILE
from cortex_pipelines.privacy.records import redacted
from cortex_pipelines.serving.http.server import create_app
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.serving import tinygateway

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_SECONDS = 60
REFUSED = "the server responded with a status of 429"
"""What Chromium writes of an answer that one of the tests gives."""
PROMPT = "def total(prices):\n    "
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; see README"),
]


@pytest.fixture(scope="module")
def address(home: Path, state: Path) -> Iterator[str]:
    gateway = tinygateway.open_tiny(home, state, lambda: tinygateway.experiment_catalogue(home))
    privacy = load_parameters(tinygateway.ROOT).privacy
    result = {"path": "a.py", "start_line": 3, "name": "total", "kind": "function", "why": "words: total"}
    step = {"path": "b.py", "start_line": 5, "lines": [7], "name": "bill", "kind": "function", "relation": "calls"}
    services = ProjectServices(
        redact=lambda text: redacted(privacy, text),
        search=lambda *_: {"results": [result], "notice": ""},
        relations=lambda *_: {"steps": [step | {"of": "a.py:total"}], "summary": "1 caller.", "notice": ""},
    )
    app = create_app(gateway, services)
    with tinygateway.listening(app) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page; whatever the browser complains of (policy, script) fails the test."""
    page = browser.new_page(viewport={"width": 1400, "height": 900}, base_url=address)
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    complaints: list[str] = []
    external_requests: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text))
    page.on("request", lambda complaint: complaint.url.startswith(address) or external_requests.append(complaint.url))
    page.goto("/")
    page.locator("#models .card").first.wait_for()
    yield page
    page.close()
    assert [complaint for complaint in complaints if REFUSED not in complaint] == []
    assert [url for url in external_requests if not url.startswith("data:")] == []


def test_a_prompt_is_answered_in_all_ways_by_the_keyboard_alone(page: Page, state: Path) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the playground")).to_be_focused()
    page.get_by_role("combobox", name="Model").select_option("docs")
    page.get_by_role("spinbutton", name="Tokens").fill("12")
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.fill(PROMPT)
    prompt.press("Control+Enter")
    expect(page.locator("#play-status")).to_have_text("4 answers.")
    answers = {
        way: page.locator(f'[data-way="{way}"] pre').text_content() or ""
        for way in ("base", "context", "adapter", "both")
    }
    served = page.request.post("/v1/completions", data={"model": "docs", "prompt": PROMPT, "max_tokens": 12}).json()
    assert answers["both"] == served["choices"][0]["text"]
    same_as_base = [way for way, text in answers.items() if text == answers["base"]]
    marked = page.locator("#answers article:has(mark)")
    assert marked.count() == 4 - len(same_as_base), "whatever differs from the base is marked"
    both = page.locator('[data-way="both"]')
    expect(both).to_contain_text("tokens in")
    expect(both).to_contain_text("docs.dir")
    page.get_by_label("Mark differences from the base").uncheck()
    expect(page.locator("#answers mark")).to_have_count(0)
    both.get_by_role("button", name="Good").press("Enter")
    expect(both.get_by_text("Thank you.")).to_be_visible()
    events = [json.loads(line) for line in (state / FILE).read_text().splitlines()]
    way_by_completion = {event["completion_id"]: event["way"] for event in events if event["type"] == "offered"}
    (vote,) = [event for event in events if event["type"] == "feedback"]
    assert (vote["vote"], way_by_completion[vote["completion_id"]]) == ("up", "both")


def test_a_task_is_routed_and_put_right(page: Page, state: Path) -> None:
    task = page.get_by_role("textbox", name="Task")
    task.fill("The leaked secret key")
    task.press("Enter")
    decision = page.locator("#decision")
    expect(decision.get_by_role("heading", name="security")).to_be_visible()
    expect(decision).to_contain_text("rules")
    decision.get_by_role("button", name="Bad").click()
    typed = decision.get_by_role("textbox")
    expect(typed).to_be_focused()
    typed.fill("development, ask ann@corp-mail.com")
    typed.press("Control+Enter")
    expect(decision.get_by_text("1 private values were taken out")).to_be_visible()
    last = json.loads((state / FILE).read_text().splitlines()[-1])
    assert (last["vote"], last["master"], last["version"]) == ("down", "security", "rules")
    assert last["correction"].startswith("development, ask ")
    assert "corp-mail" not in last["correction"]


def test_a_new_chat_sends_nothing_of_the_one_before(page: Page) -> None:
    sent: list[list[str]] = []

    def hold(route: Route) -> None:
        sent.append([turn["content"] for turn in route.request.post_data_json["messages"]])
        if len(sent) == 2:  # the first is being answered still when the new chat begins
            route.continue_()

    page.route("**/v1/chat/completions", hold)
    message, send = page.locator("#message"), page.get_by_role("button", name="Send")
    message.fill("The word is banana.")
    send.click()
    expect(send).to_be_disabled()
    message.fill("Too soon.")
    message.press("Control+Enter")
    page.get_by_role("button", name="New chat").click()
    expect(send).to_be_enabled()
    message.fill("Hello")
    send.click()
    expect(page.locator("#talk .note")).to_contain_text("adapter")
    assert sent == [["The word is banana."], ["Hello"]]
    message.fill("And then?")
    send.click()
    expect(send).to_be_disabled()
    assert (sent[2][0], len(sent[2]), sent[2][-1]) == ("Hello", 3, "And then?")


def test_examples_are_pressed_and_answered(page: Page) -> None:
    page.locator("#chat-examples button").first.click()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#talk .note")).to_contain_text("adapter")
    answers = {"refactoring": "return -1\n    return 1", "review": "made once and shared"}
    for task, words in answers.items():
        page.locator("#task-examples").get_by_role("button", name=task).click()
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#told pre")).to_contain_text(words)
        expect(page.locator("#told")).to_contain_text("Checked: ")
    page.locator("#task-examples").get_by_role("button", name="naming").click()
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#told h3")).to_have_text(re.compile("Answer|No answer"))
    for question, location in {"search": "a.py:3", "callers": "b.py:7"}.items():
        page.locator("#find-what").select_option(question)
        page.locator("#find-text").fill("total")
        page.get_by_role("button", name="Find").click()
        expect(page.locator("#found h3")).to_have_text(location)


def test_load_rises_while_somebody_asks(page: Page) -> None:
    requests = page.locator("#figures div", has_text="Requests").last.locator("dd")
    before = int(requests.text_content() or "0")
    page.request.post("/v1/completions", data={"model": "shop", "prompt": "x", "max_tokens": 4})
    expect(requests).to_have_text(str(before + 1))


def test_what_a_model_writes_is_text_and_no_markup(page: Page) -> None:
    answer = '<img src=x onerror="document.title=1"><b>'
    frame = {"id": "cmpl-1", "choices": [{"text": answer}]}
    usage = {"id": "cmpl-1", "choices": [], "usage": {"completion_tokens": 3}}
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in (frame, usage))
    headers = {"content-type": "text/event-stream", "x-cortex-version": "shop.dir"}
    page.route("**/playground", lambda route: route.fulfill(body=body, headers=headers))
    page.get_by_role("textbox", name="Prompt").fill("x")
    page.get_by_role("button", name="Complete").click()
    expect(page.locator("#play-status")).to_have_text("4 answers.")
    assert page.locator("#answers pre").first.text_content() == answer
    assert page.locator("#answers img").count() == 0


def test_a_refused_request_is_said(page: Page) -> None:
    error_body = {"error": {"message": "16 requests wait already"}}
    page.route("**/playground", lambda route: route.fulfill(status=429, json=error_body))
    page.get_by_role("textbox", name="Prompt").fill("x")
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_role("alert")).to_have_text("16 requests wait already")


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(page: Page, width: int, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")) >= 4.5, "WCAG AA"
    names = page.locator("input, select, textarea").evaluate_all("all => all.map(one => one.labels.length)")
    assert names
    assert all(names)
