"""Templates of prompts and conversations: what is rendered, refused, and named in an answer."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from itertools import product, takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.answers.answering import TASKS
from cortex_pipelines.answers.question import Question, TaskContext
from cortex_pipelines.datasets.unit_text import prompt_about_unit
from cortex_pipelines.prompts.chat_rendering import ChatError, ChatMessage, ToolCall
from cortex_pipelines.prompts.templates import PromptFileError, package_templates, project_templates
from cortex_pipelines.release.numbering import TASK_FORMAT
from cortex_pipelines.schemas.datasets import DOCUMENTATION_REQUEST, TEST_REQUEST
from cortex_pipelines.serving.engines.engine import Sampling
from cortex_pipelines.serving.gateway import Gateway
from cortex_pipelines.serving.requests import PromptTarget, chat, infill
from cortex_pipelines.tokenization.text_encoder import token_ids
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
TEXT = st.text(alphabet="ab{}%#\n\t \u00e4", max_size=40)


def prompt_of(gateway: Gateway, task: str, code: str, context: TaskContext) -> str:
    question = Question(task, code, context, context.language or "python", None)
    values, _ = TASKS[task].prompt(question, gateway.parameters)
    return package_templates().render(task, **values)


@given(code=TEXT.filter(str.strip), path=TEXT, expected=TEXT)
def test_a_refactoring_is_asked_for_in_the_words_of_the_data_set(gateway, code: str, path: str, expected: str) -> None:
    for context, request, title in (
        (TaskContext(path), "This code has an error.", "The fixed code:"),
        (
            TaskContext(path, smell=expected, request="x" if expected else ""),
            f"This code can be improved: {expected}." if expected else "This code has an error.",
            "The improved code:" if expected else "The fixed code:",
        ),
        (
            TaskContext(path, request=expected),
            f"Refactor this code: {expected}." if expected else "This code has an error.",
            "The refactored code:" if expected else "The fixed code:",
        ),
    ):
        lines = [f"# {path or 'code'}", f"# {request}", code.rstrip(), "", f"# {title}", ""]
        assert prompt_of(gateway, "refactoring", code, context) == "\n".join(lines)


@given(
    code=TEXT.filter(str.strip),
    path=TEXT.filter(bool),
    test_path=TEXT.filter(bool),
    language=st.sampled_from(("python", "go")),
)
def test_documentation_and_a_test_are_asked_for_as_in_the_data_sets(gateway, code, path, test_path, language) -> None:
    unit = {"language": language, "path": path, "context": "", "indent": ""}
    context = TaskContext(path, language=language, test_path=test_path)
    for task, request in (("documentation", DOCUMENTATION_REQUEST), ("tests", TEST_REQUEST.format(path=test_path))):
        assert prompt_of(gateway, task, code, context) == prompt_about_unit(unit, code, request)


def test_a_method_is_asked_about_with_its_headers_as_in_the_data_set(gateway: Gateway) -> None:
    unit = {"language": "python", "path": "a.py", "context": "class Cart:", "indent": "    "}
    method_in_class = "class Cart:\n    def total(self):\n        return sum(self)\n"
    prompt = prompt_of(gateway, "documentation", method_in_class, TaskContext("a.py"))
    assert prompt == prompt_about_unit(unit, "def total(self):\n        return sum(self)", DOCUMENTATION_REQUEST)


@given(code=TEXT, path=TEXT, expected=TEXT)
def test_a_completion_has_its_path_and_what_stands_around_before_it(gateway, code: str, path: str, expected) -> None:
    lines = [f"# {path}"] if path else []
    lines += [expected.rstrip("\n"), ""] if expected.rstrip("\n") else []
    context = TaskContext(path, language="python", code=expected)
    assert prompt_of(gateway, "completion", code, context) == "\n".join([*lines, code])


def test_the_form_of_prompts_is_numbered() -> None:
    """Releases name the package's templates by ``TASK_FORMAT``: raise it with any of these."""
    numbered = CASES["numbered"]
    assert (TASK_FORMAT, {name: package_templates()[name].version for name in numbered}) == (2, numbered)


def write(root: Path, name: str, text: str) -> None:
    path = root / "prompts" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, errors="surrogateescape")


def test_a_project_s_own_template_stands_for_the_package_s_and_reaches_its_values_alone(tmp_path: Path) -> None:
    assert project_templates(tmp_path) == package_templates()
    write(tmp_path, "architecture.jinja", "{{ request }} of {{ given }}\n")
    write(tmp_path, "short/architecture.jinja", "{{ given }}\n")
    templates = project_templates(tmp_path)
    values = {"given": "a service", "request": "# Route:"}
    assert templates.render("architecture", **values) == "# Route: of a service"
    assert templates["architecture"].origin == "prompts/architecture.jinja"
    assert templates.project_versions == {"architecture": templates["architecture"].version}
    short = templates.variant("short")
    assert short.render("architecture", **values) == "a service"
    assert len({package_templates().version, templates.version, short.version}) == 3
    assert templates["naming"] == package_templates()["naming"]
    write(tmp_path, "architecture.jinja", package_templates()["architecture"].text)
    assert (project_templates(tmp_path).project_versions, project_templates(tmp_path).version) == ({}, "")
    write(tmp_path, "naming.jinja", "{{ example.__class__.__mro__ }}")
    with pytest.raises(PromptFileError, match="naming"):
        project_templates(tmp_path).render("naming", example="x")
    with pytest.raises(PromptFileError, match="no folder prompts/brief of templates; there is"):
        project_templates(tmp_path).variant("brief")


@pytest.mark.parametrize(("name", "text", "words"), CASES["what_is_no_template_is_refused"])
def test_what_is_no_template_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(PromptFileError, match=words):
        project_templates(tmp_path)


def test_an_answer_names_its_template_and_another_one_is_another_release(home: Path, tmp_path: Path) -> None:
    write(tmp_path, "refactoring.jinja", "{{ given }}\n{{ comment }} shorter:\n")
    templates = project_templates(tmp_path)
    plain = tinygateway.catalogue(home)
    shop = plain.models["shop"].with_templates(templates)
    source = replace(plain, models={**plain.models, "own": replace(shop, name="own")})
    with tinygateway.web_client(tinygateway.open_tiny(home, tmp_path / "state", lambda: source)) as client:
        body = {"task": "refactoring", "input": "x = 1", "alternatives": 0}
        body |= {"context": {"request": "shorter"}}
        before, after = (client.post("/predict", json={**body, "model": name}) for name in ("shop", "own"))
        turns = {"messages": [{"role": "user", "content": "Why?"}], "max_tokens": 1}
        talk = client.post("/v1/chat/completions", json=turns)
        code = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    expected = f"refactoring@{templates['refactoring'].version}"
    assert after.headers["x-cortex-templates"] == after.json()["template"] == expected
    assert before.json()["template"] == f"refactoring@{package_templates()['refactoring'].version}"
    assert before.headers["x-cortex-version"] == after.headers["x-cortex-version"]
    assert before.headers["x-cortex-release"] != after.headers["x-cortex-release"]
    assert talk.headers["x-cortex-templates"] == str(package_templates()["chat"])
    assert "x-cortex-templates" not in code.headers


def test_instructions_are_the_system_turn(tmp_path: Path) -> None:
    tokenizer = tinymodel.byte_tokenizer()
    packaged = chat([ChatMessage("user", "Why?")], "shop", "a.py:1-2 <eos>\nx = 1")(PromptTarget(tokenizer, 1000))
    assert packaged.text.startswith("system: Notes on tasks like this one")
    assert not any(segment.control for segment in packaged.segments)
    assert "a.py:1-2 <eos>\nx = 1\n\nuser: Why?\n\nassistant:" in packaged.text
    assert "\n\nuser:" in packaged.stop
    assert [template.name for template in packaged.made_by] == ["instructions", "chat"]
    write(tmp_path, "instructions.jinja", "Answer in one line.\n")
    target = PromptTarget(tokenizer, 1000, templates=project_templates(tmp_path))
    for turn, expected in (
        (("user", "Why?"), "system: Answer in one line.\n\nuser: Why?\n\nassistant:"),
        (("system", "Be kind."), "system: Answer in one line.\n\nBe kind.\n\nassistant:"),
    ):
        assert chat([ChatMessage(*turn)])(target).text == expected


def test_a_gap_in_a_long_file_keeps_what_is_nearest(gateway: Gateway) -> None:
    """Cutting the left end alone would show only what stands after the cursor."""
    before = "".join(f"before_{number} = 1\n" for number in range(200))
    after = "".join(f"after_{number} = 1\n" for number in range(200))
    request = gateway.prepare(gateway.backend_for("shop"), infill(f"{before}x = ", after), Sampling(16))
    assert len(request.prompt.ids) <= gateway.engine.window - 16
    assert request.prompt.cut == 0
    assert "before_199 = 1\n" in request.text.text
    assert "after_0 = 1\n" in request.text.text
    assert "before_0 = 1\n" not in request.text.text
    visible_lines = [line for line in (before + after).splitlines(keepends=True) if line in request.text.text]
    assert request.cut == len(before + after) - sum(map(len, visible_lines))
    short = gateway.prepare(gateway.backend_for("shop"), infill("x = ", after), Sampling(16))
    room = gateway.engine.window - 16 - len(short.prompt.ids)
    assert 0 <= room < gateway.engine.window // 5 + 64, "what stands after it may use what is left, but for steps"


def test_a_long_line_is_read_within_the_deadline() -> None:
    line = "".join(f"{number}, " for number in range(2000))
    target = PromptTarget(tinymodel.byte_tokenizer(), 1000, quick_room=200)
    rendered = infill(f"x = 1\ny = [{line}", "]\n")(target)
    (ids,) = token_ids(target.tokenizer, [rendered.segments])
    assert 50 < len(ids) <= 200
    assert "1998, 1999, " in rendered.text
    assert rendered.cut >= len(line) - 200


def test_typing_in_a_long_file_leaves_most_of_the_prompt_as_it_was(gateway: Gateway) -> None:
    """A prompt that lost a line of its beginning for each new one would be read anew each time."""
    tokenizer = gateway.engine.tokenizer
    lines = [f"before_{number} = {number * 7 % 11}\n" for number in range(200)]
    after = "".join(f"after_{number} = 1\n" for number in range(200))
    target, known, read = PromptTarget(tokenizer, 1000), "", list[float]()
    for count in range(120, 160):
        for part in ("", "before"):
            text = infill("".join(lines[:count]) + part, after)(target).text
            shared = list(takewhile(lambda pair: pair[0] == pair[1], zip(known, text, strict=False)))
            read.append(1 - len(shared) / len(text))
            known = text
    assert sum(read[1:]) / len(read[1:]) < 0.1


TEMPLATES = CASES["templates"]
S, D, U, A = (ChatMessage(role, role[0].upper()) for role in ("system", "developer", "user", "assistant"))
CALL = ChatMessage("assistant", "", tool_calls=(ToolCall("call_abc", "look", '{"path": "a.py"}'),))
CALL_AND_TEXT = ChatMessage("assistant", "Let me see.", tool_calls=CALL.tool_calls)
RESULT = ChatMessage("tool", "x = 1", tool_call_id="call_abc")
MESSAGES = {"S": S, "D": D, "U": U, "A": A, "V": ChatMessage("user", "V"), "ANN": ChatMessage("user", "U", name="ann")}
MESSAGES |= {"CALL": CALL, "CALL_AND_TEXT": CALL_AND_TEXT, "RESULT": RESULT}


def tokenizer_with(template: Any) -> Any:
    tokenizer = deepcopy(tinymodel.byte_tokenizer())  # the others keep theirs without a template
    tokenizer.chat_template = template
    return tokenizer


def rendered(template: str | None, *messages: ChatMessage) -> str:
    text = TEMPLATES.get(template, template)
    return chat(messages)(PromptTarget(tokenizer_with(text), 1000)).text


@pytest.mark.parametrize(("template", "messages", "expected"), CASES["folded"])
def test_a_conversation_is_folded_until_the_template_renders_all_of_it(template, messages: str, expected: str) -> None:
    assert rendered(template, *(MESSAGES[name] for name in messages.split())) == expected


@pytest.mark.parametrize(("template", "messages", "words"), CASES["refused"])
def test_what_the_template_cannot_render_is_refused_with_the_reason(template: str | None, messages: str, words) -> None:
    with pytest.raises(ChatError, match=words):
        rendered(template, *(MESSAGES[name] for name in messages.split()))


@pytest.mark.parametrize("template", CASES["writes_nothing"])
def test_a_template_that_writes_no_conversation_is_not_used(template: str) -> None:
    assert rendered(template, S, U, A, U) == rendered(None, S, U, A, U)


def conversations() -> Iterator[tuple[ChatMessage, ...]]:
    for length in (1, 2, 3, 4):
        for roles in product(("system", "developer", "user", "assistant", "tool"), repeat=length):
            yield tuple(ChatMessage(role, f"text{n}") for n, role in enumerate(roles))


@pytest.mark.parametrize("template", ["GEMMA", "LLAMA_2", "DROPS_SYSTEM", "CHATML", "TOOLS"])
def test_no_text_of_any_order_of_roles_is_lost(template: str) -> None:
    tokenizer = tokenizer_with(TEMPLATES[template])
    lost = []
    for messages in conversations():
        try:
            text = chat(messages)(PromptTarget(tokenizer, 1000)).text
        except ChatError:
            continue
        positions = [text.find(message.content) for message in messages]
        if -1 in positions or positions != sorted(positions):
            lost.append((messages, text))
    assert not lost


def test_arguments_that_are_not_json_stay_as_the_model_wrote_them() -> None:
    broken = ChatMessage("assistant", "", tool_calls=(ToolCall("c", "look", "{path: a"),))
    assert "[look {path: a]" in rendered("TOOLS_AS_TEXT", U, broken)
    assert json.dumps("{path: a") in rendered("TOOLS", U, broken)


def test_a_template_may_be_one_of_several() -> None:
    tokenizer = tokenizer_with({"default": TEMPLATES["GEMMA"], "tool_use": TEMPLATES["TOOLS"]})
    assert chat([S, U])(PromptTarget(tokenizer, 1000)).text == "[user]S\n\nU[model]"
