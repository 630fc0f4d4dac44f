"""Render conversations with a chat template, folding turns that the template rejects or drops.

The conversation is first rendered with marks in place of its texts: a template that raises, or drops a mark, cannot
render it unchanged. Then system text is moved into the user's turns, as Gemma's and Mistral's model cards advise, and
turns of one role are joined by a blank line, and names are written before what is said, until the template renders
every text.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from cortex_pipelines.prompts.templates import PromptFileError
from cortex_pipelines.tokenization.rendering import chat_segments
from cortex_pipelines.tokenization.text_encoder import as_text

Turn = Mapping[str, Any]
"""A turn as chat templates read it: ``role``, ``content``, and ``name``, ``tool_calls`` or
``tool_call_id`` where it has them."""

Render = Callable[[Sequence[Turn]], str]
"""Renders turns to the text of a prompt."""

_ID_LENGTH = 9
"""Length of a tool call's id in Mistral's templates."""


class ChatError(ValueError):
    """A conversation cannot be rendered. The message quotes the template's error, if any."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a function in an earlier turn; ``arguments`` is JSON, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ChatMessage:
    """``developer`` is another word for ``system``; empty strings stand for no name and no call."""

    role: str
    content: str = ""
    name: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    @property
    def mergeable(self) -> bool:
        return self.role != "tool" and not self.tool_calls


def fold_turns(render: Render, messages: Sequence[ChatMessage]) -> list[Turn]:
    """Fold the conversation, oldest first, so that the template renders every text.

    Raises ``ChatError`` if the template, which may raise anything, rejects every folding.
    """
    messages = [replace(message, role="system") if message.role == "developer" else message for message in messages]
    reason = ChatError("the conversation has no messages")
    for candidate in _foldings(messages):
        for as_turns in _turn_forms(candidate):
            try:
                _require_complete(render, candidate, as_turns)
                turns = as_turns(candidate)
                _render(render, turns)
                return turns
            except ChatError as error:
                reason = error
    raise reason


def chat_fault(tokenizer: Any) -> str:
    """Why the tokenizer's chat template cannot write a question of a person; empty if it can."""
    try:
        fold_turns(lambda turns: as_text(chat_segments(tokenizer, turns)), [ChatMessage("user", "How is this tested?")])
    except ChatError as error:
        return str(error)
    return ""


def _foldings(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    candidates: list[list[ChatMessage]] = []
    folds: tuple[Callable[[Sequence[ChatMessage]], list[ChatMessage]], ...] = (list, _join, _fold_later, _fold_all)
    named = _write_names(messages)
    for turns, fold in product((messages, _split_calls(messages), named, _split_calls(named)), folds):
        candidate = fold(turns)
        if candidate not in candidates:
            candidates.append(candidate)
            yield candidate


def _split_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Move text next to a tool call into its own turn: some templates render only the call."""
    turns = []
    for message in messages:
        if message.tool_calls and message.content:
            turns.append(replace(message, tool_calls=()))
            message = replace(message, content="")
        turns.append(message)
    return turns


def _write_names(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Participants' names before what they say: few templates render them."""
    return [
        replace(message, name="", content=f"{message.name}: {message.content}")
        if message.name and message.content and message.role != "tool"
        else message
        for message in messages
    ]


def _join(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    turns: list[ChatMessage] = []
    for message in messages:
        last = turns[-1] if turns else None
        is_same = last is not None and (last.role, last.name) == (message.role, message.name)
        if last is not None and is_same and last.mergeable and message.mergeable:
            both = "\n\n".join(filter(None, (last.content, message.content)))
            turns[-1] = replace(last, content=both)
        else:
            turns.append(message)
    return turns


def _fold_all(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return _join([replace(message, role="user") if message.role == "system" else message for message in messages])


def _fold_later(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    head, *later_messages = _join(messages)
    return _join([head, *_fold_all(later_messages)])


def _turn_forms(messages: Sequence[ChatMessage]) -> Iterator[Callable[[Sequence[ChatMessage]], list[Turn]]]:
    has_calls = any(message.tool_calls or message.tool_call_id for message in messages)
    for short, parsed in product((False, True), (True, False)) if has_calls else [(False, False)]:
        yield lambda turns, short=short, parsed=parsed: [  # type: ignore[misc]
            _turn(turn, parsed, short) for turn in turns
        ]


def _turn(message: ChatMessage, parsed: bool, short: bool) -> Turn:
    """``parsed`` passes arguments of calls as objects, ``short`` shortens ids to the length that Mistral's need."""

    def shorten_id(call_id: str) -> str:
        return hashlib.sha256(call_id.encode()).hexdigest()[:_ID_LENGTH] if short else call_id

    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        turn["name"] = message.name
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": shorten_id(call.id),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": _parse_arguments(call.arguments) if parsed else call.arguments,
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        turn["tool_call_id"] = shorten_id(message.tool_call_id)
    return turn


def _parse_arguments(arguments: str) -> Any:
    try:
        value = json.loads(arguments)
    except ValueError:
        return arguments  # the model may have written anything
    return value if isinstance(value, dict) else arguments


def _require_complete(
    render: Render, messages: Sequence[ChatMessage], as_turns: Callable[[Sequence[ChatMessage]], list[Turn]]
) -> None:
    """Render with marks in place of texts: none may be missing, and arguments must be JSON."""
    marks: list[tuple[str, str, bool]] = []  # in place of a field's text; whether it is quoted, inside JSON

    def mark(field: str, quoted: bool = False) -> str:
        marks.append((f"zq{len(marks):04d}qz", field, quoted))
        return marks[-1][0]

    marked = [_mark_message(message, number, mark) for number, message in enumerate(messages)]
    text = _render(render, as_turns(marked)).lower()  # a template may have its own capitals
    for placeholder, field, quoted in marks:
        if placeholder not in text:
            raise ChatError(f"the base's chat template does not render {field}")
        if quoted and re.search(rf"""'{placeholder}|\\"{placeholder}""", text):
            raise ChatError(f"the base's chat template does not render {field} as JSON")


def _mark_message(message: ChatMessage, number: int, mark: Callable[..., str]) -> ChatMessage:
    def describe(field: str) -> str:
        return f"{field} of messages.{number} ({message.role})"

    calls = tuple(
        replace(
            call,
            name=mark(describe("tool_calls")),
            arguments=json.dumps({mark(describe("tool_calls"), True): mark(describe("tool_calls"), True)}),
        )
        for call in message.tool_calls
    )
    participant = message.name and message.role != "tool"  # its call says which function answers
    return replace(
        message,
        content=mark(describe("content")) if message.content.strip() else message.content,
        name=mark(describe("name")) if participant else message.name,
        tool_calls=calls,
    )


def _render(render: Render, turns: Sequence[Turn]) -> str:
    try:
        return render(turns)
    except PromptFileError:
        raise  # the project's own template is wrong, not the conversation
    except Exception as error:  # a template may fail in any way
        reason = str(error) or type(error).__name__
        raise ChatError(f"the base's chat template refuses the conversation: {reason}") from error
