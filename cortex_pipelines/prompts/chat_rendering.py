"""Conversations as a chat template renders them; turns that it refuses or drops are folded.

What a template can do is found out by rendering the conversation with marks in place of its texts:
a template that raises, or leaves a mark out, cannot render it as it is. Then system text goes into
the user's turns, as Gemma's and Mistral's model cards say, and turns of one role are joined by a
blank line, until the template renders every text.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from cortex_pipelines.prompts.templates import PromptFileError

Turn = Mapping[str, Any]
"""A turn as chat templates read it: ``role``, ``content``, and ``name``, ``tool_calls`` or
``tool_call_id`` where it has them."""

Render = Callable[[Sequence[Turn]], str]
"""Makes the text of a prompt from turns."""

_ID_LENGTH = 9
"""Characters of a tool call's id that Mistral's templates demand."""


class ChatError(ValueError):
    """A conversation cannot be rendered; the message says why, in the template's words if it has
    any."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a function in an earlier turn.

    Args:
        id: By which the function's answer names it.
        name: The function's.
        arguments: JSON, as the model wrote it.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ChatMessage:
    """A message of a conversation; ``developer`` is another word for ``system``.

    Args:
        role: ``system``, ``developer``, ``user``, ``assistant`` or ``tool``.
        content: Its text.
        name: Of the participant; empty for none.
        tool_calls: What the assistant called.
        tool_call_id: Which call a tool answers; empty for none.
    """

    role: str
    content: str = ""
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def mergeable(self) -> bool:
        """Whether a message of the same role can follow in the same turn."""
        return self.role != "tool" and not self.tool_calls


def fold_turns(render: Render, messages: Sequence[ChatMessage]) -> list[Turn]:
    """The conversation in turns of which the template renders every text.

    Args:
        render: The template; it may raise anything.
        messages: Oldest first.

    Raises:
        ChatError: the template refuses the conversation however it is folded.
    """
    messages = [_with_system_role(message) for message in messages]
    reason = ChatError("the conversation has no messages")
    for candidate in _foldings(messages):
        for as_turns in _turn_forms(candidate):
            try:
                _require_complete(render, candidate, as_turns)
                turns = as_turns(candidate)
                _rendered(render, turns)
                return turns
            except ChatError as error:
                reason = error
    raise reason


def _with_system_role(message: ChatMessage) -> ChatMessage:
    return replace(message, role="system") if message.role == "developer" else message


def _foldings(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    """The conversation as it is, then with ever more folded."""
    tried: list[list[ChatMessage]] = []
    for split, fold in product((_as_sent, _split_calls), (_as_sent, _join, _fold_later, _fold_all)):
        candidate = fold(split(messages))
        if candidate not in tried:
            tried.append(candidate)
            yield candidate


def _as_sent(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return list(messages)


def _split_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The text beside a tool call in a turn of its own: some templates render only the call."""
    turns = []
    for message in messages:
        if message.tool_calls and message.content:
            turns.append(replace(message, tool_calls=()))
            message = replace(message, content="")
        turns.append(message)
    return turns


def _join(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Consecutive turns of one role as one."""
    turns: list[ChatMessage] = []
    for message in messages:
        last = turns[-1] if turns else None
        if (
            last is not None
            and (last.role, last.name) == (message.role, message.name)
            and last.mergeable
            and message.mergeable
        ):
            both = "\n\n".join(filter(None, (last.content, message.content)))
            turns[-1] = replace(last, content=both)
        else:
            turns.append(message)
    return turns


def _fold_later(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """System text after the first turn in the turns of the user around it."""
    head, *rest = _join(messages)
    return _fold_all(rest, head)


def _fold_all(messages: Sequence[ChatMessage], *head: ChatMessage) -> list[ChatMessage]:
    """All system text in the turns of the user around it."""
    rest = [
        replace(message, role="user") if message.role == "system" else message
        for message in messages
    ]
    return _join([*head, *rest])


def _turn_forms(
    messages: Sequence[ChatMessage],
) -> Iterator[Callable[[Sequence[ChatMessage]], list[Turn]]]:
    """The ways in which templates read turns; they differ in tool calls alone."""
    if not any(message.tool_calls or message.tool_call_id for message in messages):
        yield lambda turns: [_turn(turn, parsed=False, short=False) for turn in turns]
        return
    for short, parsed in product((False, True), (True, False)):
        yield lambda turns, short=short, parsed=parsed: [  # type: ignore[misc]
            _turn(turn, parsed, short) for turn in turns
        ]


def _turn(message: ChatMessage, parsed: bool, short: bool) -> Turn:
    """A message as templates read it.

    Args:
        message: The message.
        parsed: Whether arguments of tool calls are objects, not JSON.
        short: Whether their ids have the length that Mistral's templates demand.
    """

    def named(call_id: str) -> str:
        return hashlib.sha256(call_id.encode()).hexdigest()[:_ID_LENGTH] if short else call_id

    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        turn["name"] = message.name
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": named(call.id),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": _parsed(call.arguments) if parsed else call.arguments,
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = named(message.tool_call_id)
    return turn


def _parsed(arguments: str) -> Any:
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments  # the model may have written anything
    return value if isinstance(value, dict) else arguments


@dataclass(frozen=True)
class _Mark:
    """A mark in place of a text, the field whose text that is, and whether it is within JSON."""

    text: str
    field: str
    quoted: bool


def _require_complete(
    render: Render,
    messages: Sequence[ChatMessage],
    as_turns: Callable[[Sequence[ChatMessage]], list[Turn]],
) -> None:
    """Render the conversation with marks in place of its texts.

    Raises:
        ChatError: a mark is missing, or the arguments of a call are not JSON in the text.
    """
    marks: list[_Mark] = []

    def mark(field: str, quoted: bool = False) -> str:
        marks.append(_Mark(f"zq{len(marks):04d}qz", field, quoted))
        return marks[-1].text

    marked = [_marked(message, number, mark) for number, message in enumerate(messages)]
    text = _rendered(render, as_turns(marked)).lower()  # a template may have its own capitals
    for each in marks:
        if each.text not in text:
            raise ChatError(f"the base's chat template does not render {each.field}")
        if each.quoted and re.search(rf"""'{each.text}|\\"{each.text}""", text):
            raise ChatError(f"the base's chat template does not render {each.field} as JSON")


def _marked(message: ChatMessage, number: int, mark: Callable[..., str]) -> ChatMessage:
    def named(field: str) -> str:
        return f"{field} of messages.{number} ({message.role})"

    calls = tuple(
        replace(
            call,
            name=mark(named("tool_calls")),
            arguments=json.dumps(
                {mark(named("tool_calls"), True): mark(named("tool_calls"), True)}
            ),
        )
        for call in message.tool_calls
    )
    participant = message.name and message.role != "tool"  # its call says which function answers
    return replace(
        message,
        content=mark(named("content")) if message.content.strip() else message.content,
        name=mark(named("name")) if participant else message.name,
        tool_calls=calls,
    )


def _rendered(render: Render, turns: Sequence[Turn]) -> str:
    try:
        return render(turns)
    except PromptFileError:
        raise  # the project's own template is wrong, not the conversation
    except Exception as error:  # a template may fail in any way
        words = str(error) or type(error).__name__
        raise ChatError(f"the base's chat template refuses the conversation: {words}") from error
