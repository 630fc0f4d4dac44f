"""What the page asks for: overview, load, playground and feedback."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.config import load_parameters
from cortex_pipelines.feedback.store import FILE
from cortex_pipelines.privacy.records import redacted
from cortex_pipelines.serving.catalogue import answering, with_ways
from cortex_pipelines.serving.http.page import _FOLDER
from cortex_pipelines.serving.project_catalogue import read_catalogue
from cortex_pipelines.serving.services import ProjectServices
from cortex_pipelines_tests.integration.miniproject import MiniProject
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
PRIVACY = load_parameters(tinygateway.ROOT).privacy
SERVICES = ProjectServices(redact=lambda text: redacted(PRIVACY, text), report=lambda: "<h1>Report</h1>")
SECRET = "AKIA" + "Q3EGRZ7PNBWX5TLV"


@pytest.fixture(scope="module")
def client(home: Path, state: Path) -> Iterator[TestClient]:
    gateway = tinygateway.open_tiny(home, state, lambda: tinygateway.experiment_catalogue(home))
    with tinygateway.web_client(gateway, SERVICES) as client:
        yield client


@pytest.fixture(autouse=True)
def no_events(state: Path) -> None:
    (state / FILE).unlink(missing_ok=True)


def logged_events(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / FILE).read_text().splitlines()]


def played(client: TestClient, way: str, **changes: Any) -> tuple[str, Any]:
    body = {"model": "docs", "way": way, "prompt": "def f():\n", "max_tokens": 8, **changes}
    answer = client.post("/playground", json=body)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    chunks = [json.loads(line) for line in lines if line.startswith("{")]
    return "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"]), answer


def test_the_page_of_the_interface_loads_nothing_and_names_every_route_and_field(client: TestClient) -> None:
    answer = client.get("/docs")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|(?:href|src)=", answer.text)
    description = client.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        assert all(f"{method.upper()} {path}</h2>" in answer.text for method in operations), path
    for name, form in description["components"]["schemas"].items():
        if "Error" not in name:
            assert all(f">{field}<" in answer.text for field in form.get("properties", {})), name
    assert ">integer from 0 to 5 or null<" in answer.text
    assert client.get("/redoc").status_code == 404


def test_the_page_needs_nothing_from_elsewhere_and_runs_no_other_script(client: TestClient) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    parts = set(re.findall(r'(?:href|src)="([^"#]+)"', page.text)) - {"data:,"}
    assert parts == {"/page/page.css", "/page/page.js", "/metrics", "/report", "/v1/models"}
    assert not re.search(r"<script(?![^>]*src=)|style=|\son\w+=", page.text), "nothing inline"
    for part in parts:
        assert client.get(part).status_code == 200
    for file in _FOLDER.iterdir():
        assert "//" not in re.sub(r"^\s*//.*| // .*", "", file.read_text(), flags=re.MULTILINE), "an address"


def test_the_page_has_each_part_that_its_script_names(client: TestClient) -> None:
    script = client.get("/page/page.js").text
    fields = re.findall(r'"(\w+)"', script[script.index("const DETAILS") :].split(";", 1)[0])
    named = set(re.findall(r'\$\("([\w-]+)"\)', script)) | {f"ask-{field}" for field in fields}
    assert {"ask-request", "ask-name", "ask-code"} <= named <= set(re.findall(r'id="([\w-]+)"', client.get("/").text))


def test_a_problem_is_said_where_the_page_has_been_scrolled_to(client: TestClient) -> None:
    assert '<p id="problem"' in client.get("/").text
    (rule,) = re.findall(r"#problem \{(.+)\}", client.get("/page/page.css").text)
    assert "position: sticky; top: 0" in rule


def test_the_overview_lists_models_with_all_their_ways(client: TestClient) -> None:
    overview = client.get("/overview").json()
    assert overview["base_note"] is None, "it is not the demonstration base"
    rows = {row["name"]: row for row in overview["models"]}
    assert set(rows) == {"base", "docs", "plain", "shop", "shop@1.2.0", "shop@champion"}
    assert list(rows["docs"]["ways"]) == ["base", "context", "adapter", "both"]
    assert rows["docs"]["release"] == rows["docs"]["ways"]["both"]
    assert rows["base"]["release"] == rows["docs"]["ways"]["base"], "the base is the same for all"
    assert overview["router"]["version"] == "rules"


@pytest.mark.parametrize(
    ("way", "version"), [("base", "b" * 64), ("context", "b" * 64), ("adapter", "docs.dir"), ("both", "docs.dir")]
)
def test_a_prompt_is_answered_in_the_way_that_was_asked_for(client, state: Path, way: str, version: str) -> None:
    prompt = "def nobody_keeps_this():\n"
    text, answer = played(client, way, prompt=prompt)
    assert (answer.headers["x-cortex-way"], answer.headers["x-cortex-version"]) == (way, version)
    ways = {row["name"]: row["ways"] for row in client.get("/overview").json()["models"]}
    assert answer.headers["x-cortex-release"] == ways["docs"][way]
    model = {"base": "base", "both": "docs"}.get(way)
    if model is not None:
        response = client.post("/v1/completions", json={"model": model, "prompt": prompt, "max_tokens": 8})
        assert response.json()["choices"][0]["text"] == text
        assert response.headers["x-cortex-release"] == answer.headers["x-cortex-release"]
    (event,) = logged_events(state)
    assert (event["type"], event["way"], event["version"]) == ("offered", way, version)
    assert "nobody_keeps_this" not in (state / FILE).read_text()


def test_every_answer_of_an_adapter_that_was_held_back_says_who_serves_it_and_why(home: Path, tmp_path: Path) -> None:
    notice = "served by decision of ann on 2026-01-02, although its gate says kept: the team likes it"
    plain = tinygateway.catalogue(home)
    held_model = replace(plain.models["shop"], notice=notice, despite_gate=notice)
    models = {**plain.models, "shop": with_ways(held_model, "index.dir", home / "data" / "completion")}
    gateway = tinygateway.open_tiny(home, tmp_path, lambda: replace(plain, models=models))
    request = {"model": "shop", "max_tokens": 2}
    turns = [{"role": "user", "content": "x"}]
    task = {"model": "shop", "task": "review", "input": "def f(a=[]):\n    return a\n"}
    with tinygateway.web_client(gateway) as client:
        for path, body in (("/v1/completions", {"prompt": "x"}), ("/v1/chat/completions", {"messages": turns})):
            assert client.post(path, json=request | body).headers["x-cortex-notice"] == notice
        ways = {way: played(client, way, model="shop")[1].headers.get("x-cortex-notice") for way in ("base", "adapter")}
        assert ways == {"base": None, "adapter": notice}
        assert client.get("/v1/models/shop").json()["cortex"]["notice"] == notice
        assert client.post("/predict", json=task).status_code == 200
    assert notice in answering(held_model)


@pytest.mark.parametrize(("verdict", "told"), [("promoted", "waits for `cortex promote`"), ("kept", "was held back")])
def test_why_no_adapter_answers_is_told(home: Path, verdict: str, told: str) -> None:
    served = tinygateway.catalogue(home).models["shop"]
    release = replace(served.release, adapter=None, way="base")
    assert told in answering(replace(served, release=release, details={**served.details, "verdict": verdict}))


def test_the_page_tells_that_a_project_has_no_adapter_yet(home: Path, client: TestClient) -> None:
    served = tinygateway.catalogue(home).models["shop"]
    release = replace(served.release, adapter=None, way="base")
    card = answering(replace(served, release=release, details={**served.details, "verdict": None}))
    assert card == "base; it has no adapter yet"
    assert "; it has no adapter yet" in client.get("/page/page.js").text


def test_a_way_that_there_is_not_is_told(client: TestClient) -> None:
    answer = client.post("/playground", json={"model": "base", "way": "both", "prompt": "x"})
    assert "there is base" in tinygateway.refusal(answer, 400)


def test_load_counts_what_the_model_does_and_not_who_looks(client: TestClient) -> None:
    before = client.get("/load").json()
    for path in ("/", "/overview", "/metrics", "/load"):
        client.get(path)
    played(client, "adapter", max_tokens=5)
    client.post("/route", json={"task": "fix the bug"})
    client.post("/v1/completions", json={"model": "nothing", "prompt": "x"})
    after = client.get("/load").json()
    rise = {name: after[name] - before[name] for name in ("requests", "errors", "tasks_routed")}
    assert rise == {"requests": 3, "errors": 1, "tasks_routed": 1}
    assert 0 < after["tokens_written"] - before["tokens_written"] <= 5
    assert "docs.dir" in after["resident"]


def test_a_vote_is_kept_by_id_and_a_correction_without_secrets(client: TestClient, state: Path) -> None:
    liked = {"vote": "up", "completion_id": "cmpl-1", "prompt": SECRET, "note": SECRET}
    assert client.post("/feedback", json=liked).json() == {"redacted": 0}
    wrong = {"vote": "down", "task_id": "page-7", "version": "made.dir", "master": "security"}
    wrong["correction"] = f"development; the key {SECRET} is mine, write to ann@corp-mail.com"
    assert client.post("/feedback", json=wrong).json()["redacted"] == 2
    first, second = logged_events(state)
    assert {name: first[name] for name in ("type", "vote", "completion_id")} == {
        "type": "feedback", "vote": "up", "completion_id": "cmpl-1"
    }  # fmt: skip
    assert set(first) == {"at", "type", "vote", "completion_id"}
    assert second["correction"].startswith("development; the key ")
    assert SECRET not in (state / FILE).read_text()
    assert "ann@corp-mail.com" not in (state / FILE).read_text()
    for master, secrets in (("Web Team", 0), ("команда: данные", 0), (f"it is {SECRET}", 1)):
        vote = {"vote": "down", "task_id": "page-7", "master": master}
        assert client.post("/feedback", json=vote).json() == {"redacted": secrets}
    assert [event["master"] for event in logged_events(state)[2:4]] == ["Web Team", "команда: данные"]
    assert SECRET not in (state / FILE).read_text()


@pytest.mark.parametrize(
    ("body", "words"),
    [*CASES["feedback_about_nothing"], ({"vote": "up", "task_id": "a", "correction": "x" * 20_001}, "correction")],
)
def test_feedback_about_nothing_is_refused(client: TestClient, state: Path, body: dict[str, Any], words: str) -> None:
    assert words in tinygateway.refusal(client.post("/feedback", json=body), 400)
    assert not (state / FILE).exists()


def test_without_a_project_no_text_is_kept(home: Path, tmp_path: Path) -> None:
    with tinygateway.web_client(tinygateway.open_tiny(home, tmp_path)) as client:
        vote = {"vote": "down", "completion_id": "a"}
        refused = client.post("/feedback", json=vote | {"correction": "x"})
        assert "only in a project" in refused.json()["error"]["message"]
        assert client.post("/feedback", json=vote).status_code == 200
    assert "correction" not in (tmp_path / FILE).read_text()


def test_a_project_s_models_come_with_their_scores(finished: MiniProject) -> None:
    served = read_catalogue(finished.root).models
    challenger = served["alpha@challenger"]
    gain = {score["name"]: score for score in challenger.details["scores"]}["completion_improvement_over_base"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert set(challenger.by_way) == {"base", "context", "adapter", "both"}
    assert challenger.by_way[challenger.release.way].release == challenger.release
    assert set(served["alpha"].by_way) == {"base", "context"}
    assert served["alpha"].details["scores"] == [], "those of the challenger are not its own"
    router = read_catalogue(finished.root).router
    assert (router["version"], router["scores"]) == ("rules", [])
    assert router["roles"]["challenger"] == finished.version("task_router")
