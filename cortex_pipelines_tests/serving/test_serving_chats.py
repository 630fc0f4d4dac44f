"""Conversations in chat templates that refuse or drop a role, an order, or tool calls."""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_pipelines.prompts.chat_rendering import ChatError, ChatMessage, ToolCall
from cortex_pipelines.serving.requests import PromptTarget, chat
from cortex_pipelines_tests.adapters import tinymodel

TEMPLATES = yaml.safe_load(Path(__file__).with_name("chat_templates.yaml").read_text(encoding="utf-8"))
GEMMA, LLAMA_2, DROPS_SYSTEM, CHATML, NAMES, TOOLS, TOOLS_AS_TEXT, TOOLS_AS_NAMED, TOOLS_ALONE = TEMPLATES.values()

S, D, U, A = (ChatMessage(role, role[0].upper()) for role in ("system", "developer", "user", "assistant"))
CALL = ChatMessage("assistant", "", tool_calls=(ToolCall("call_abc", "look", '{"path": "a.py"}'),))
CALL_AND_TEXT = ChatMessage("assistant", "Let me see.", tool_calls=CALL.tool_calls)
RESULT = ChatMessage("tool", "x = 1", tool_call_id="call_abc")
TWO = ChatMessage("user", "V")


def tokenizer_with(template: Any) -> Any:
    tokenizer = deepcopy(tinymodel.byte_tokenizer())  # the others keep theirs without a template
    tokenizer.chat_template = template
    return tokenizer


def rendered(template: str | None, *messages: ChatMessage) -> str:
    return chat(messages)(PromptTarget(tokenizer_with(template), 1000)).text


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (GEMMA, (U,), "[user]U[model]"),
        (GEMMA, (S, U), "[user]S\n\nU[model]"),
        (GEMMA, (D, U), "[user]D\n\nU[model]"),
        (GEMMA, (S, D, U), "[user]S\n\nD\n\nU[model]"),
        (GEMMA, (U, TWO), "[user]U\n\nV[model]"),
        (GEMMA, (S,), "[user]S[model]"),
        (GEMMA, (S, A, U), "[user]S[assistant]A[user]U[model]"),
        (GEMMA, (U, A, S, U), "[user]U[assistant]A[user]S\n\nU[model]"),
        (GEMMA, (U, A), "[user]U[assistant]A[model]"),
        (LLAMA_2, (S, U), "<<S>>[INST]U[/INST]"),
        (LLAMA_2, (S, U, TWO), "<<S>>[INST]U\n\nV[/INST]"),
        (LLAMA_2, (S, D, U), "<<S\n\nD>>[INST]U[/INST]"),
        (LLAMA_2, (S, U, A, S, U), "<<S>>[INST]U[/INST]A[INST]S\n\nU[/INST]"),
        (DROPS_SYSTEM, (S, U), "U:S\n\nU\nA:"),
        (DROPS_SYSTEM, (U, A, D, TWO), "U:U\nA:A\nU:D\n\nV\nA:"),
        (CHATML, (D, U, TWO), "<system>D</><user>U</><user>V</><assistant>"),
        (CHATML, (A, U), "<assistant>A</><user>U</><assistant>"),
        (NAMES, (ChatMessage("user", "U", name="ann"),), "ann: U\n"),
        (TOOLS, (U, CALL, RESULT), '<user>U<assistant>[look {"path": "a.py"}]<tool>x = 1'),
        (TOOLS_AS_TEXT, (U, CALL, RESULT), '<user>U<assistant>[look {"path": "a.py"}]<tool>x = 1'),
        (TOOLS_AS_NAMED, (U, CALL, RESULT), '<user>U<assistant>[look {"path": "a.py"}]<tool>x = 1'),
        (TOOLS_ALONE, (U, CALL_AND_TEXT), '<user>U<assistant>Let me see.[look {"path": "a.py"}]'),
        (None, (D, U), "system: D\n\nuser: U\n\nassistant:"),
    ],
)
def test_a_conversation_is_folded_until_the_template_renders_all_of_it(
    template: str | None, messages: tuple[ChatMessage, ...], expected: str
) -> None:
    assert rendered(template, *messages) == expected


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        (GEMMA, (A, U), "must alternate"),
        (GEMMA, (U, A, RESULT, U), "must alternate"),
        (LLAMA_2, (A,), "must alternate"),
        (CHATML, (U, CALL, RESULT), "does not render tool_calls of messages.1"),
        (DROPS_SYSTEM, (U, CALL, RESULT), "does not render"),
        (CHATML, (ChatMessage("user", "U", name="ann"),), "does not render name of messages.0"),
        (None, (U, CALL, RESULT), "does not render tool_calls"),
        ("{{ messages[0].content.missing.more }}", (U,), "refuses the conversation"),
        ("{{ 1 / 0 }}", (U,), "division by zero"),
        ("nothing", (U,), "does not render content of messages.0"),
    ],
)
def test_what_the_template_cannot_render_is_refused_with_the_reason(
    template: str | None, messages: tuple[ChatMessage, ...], words: str
) -> None:
    with pytest.raises(ChatError, match=words):
        rendered(template, *messages)


def conversations() -> Iterator[tuple[ChatMessage, ...]]:
    for length in (1, 2, 3, 4):
        for roles in product(("system", "developer", "user", "assistant", "tool"), repeat=length):
            yield tuple(ChatMessage(role, f"text{n}") for n, role in enumerate(roles))


@pytest.mark.parametrize("template", [GEMMA, LLAMA_2, DROPS_SYSTEM, CHATML, TOOLS])
def test_no_text_of_any_order_of_roles_is_lost(template: str) -> None:
    tokenizer = tokenizer_with(template)
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
    assert "[look {path: a]" in rendered(TOOLS_AS_TEXT, U, broken)
    assert json.dumps("{path: a") in rendered(TOOLS, U, broken)


def test_a_template_may_be_one_of_several() -> None:
    tokenizer = tokenizer_with({"default": GEMMA, "tool_use": TOOLS})
    assert chat([S, U])(PromptTarget(tokenizer, 1000)).text == "[user]S\n\nU[model]"
