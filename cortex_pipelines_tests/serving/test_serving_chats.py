"""Conversations in chat templates that refuse or drop a role, an order, or tool calls."""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import product
from typing import Any

import pytest

from cortex_pipelines.prompts.chat_rendering import ChatError, ChatMessage, ToolCall
from cortex_pipelines.serving.requests import PromptTarget, chat
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
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
def test_a_conversation_is_folded_until_the_template_renders_all_of_it(
    template: str | None, messages: str, expected: str
) -> None:
    assert rendered(template, *(MESSAGES[name] for name in messages.split())) == expected


@pytest.mark.parametrize(("template", "messages", "words"), CASES["refused"])
def test_what_the_template_cannot_render_is_refused_with_the_reason(
    template: str | None, messages: str, words: str
) -> None:
    with pytest.raises(ChatError, match=words):
        rendered(template, *(MESSAGES[name] for name in messages.split()))


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
