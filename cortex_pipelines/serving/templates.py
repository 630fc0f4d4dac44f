"""Requests as the prompts that models were trained on: gaps, chats, and the platform's tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.adapters.data.examples import GAP_TOKENS, Example, prompt_text


@dataclass(frozen=True)
class Text:
    """A prompt as text.

    Args:
        text: What is shown.
        stop: Stop strings that belong to the form.
    """

    text: str
    stop: tuple[str, ...] = ()


Before = Callable[[str], str]
"""Puts what is shown in addition before a text: similar code, or nothing."""

Form = Callable[[Any, Before], Text]
"""Makes the prompt of a request, given the base's tokenizer and what is to stand before."""


def completion(text: str) -> Form:
    """Text to be gone on with; a gap where an editor has marked one in any base's tokens for it."""
    marked = _marked_gap(text)
    return infill(*marked) if marked else lambda _tokenizer, before: Text(before(text))


def infill(prefix: str, suffix: str, extra: Sequence[str] = ()) -> Form:
    """A gap between two texts, in the base's own tokens for it or in the adapters' plain marks.

    In the examples a gap begins with a line, so what stands on the cursor's line is shown as the
    beginning of the answer.

    Args:
        prefix: Text before the cursor.
        suffix: Text after it.
        extra: Other code to show, the most telling last.
    """
    start = prefix.rfind("\n") + 1
    head, line = prefix[:start], prefix[start:]

    def form(tokenizer: Any, before: Before) -> Text:
        shown = "\n\n".join([*extra, before(head)])
        gap = Example("", "completion", "", "", "", shown, "", "", suffix)
        return Text(prompt_text(tokenizer, gap) + line)

    return form


def chat(messages: Sequence[tuple[str, str]]) -> Form:
    """A conversation, in the base's own form if it has one.

    Args:
        messages: Role and content, oldest first.
    """

    def form(tokenizer: Any, _before: Before) -> Text:
        if getattr(tokenizer, "chat_template", None):
            marks = [mark for mark in tokenizer.all_special_tokens if len(mark) > 1]
            turns = [
                {"role": role, "content": _without_marks(content, marks)}
                for role, content in messages
            ]
            text: str = tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            return Text(text)
        lines = [f"{role}: {content}" for role, content in messages]
        return Text("\n\n".join([*lines, "assistant:"]), stop=("\n\nuser:", "\n\nsystem:"))

    return form


def _marked_gap(text: str) -> tuple[str, str] | None:
    """The code before and after a gap, by the marks of some base; None without any."""
    for before, between, end in GAP_TOKENS:
        head, mark, rest = text.partition(before)
        if mark and between in rest and rest.endswith(end):
            prefix, _, suffix = rest.removesuffix(end).partition(between)
            return head + prefix, suffix
    return None


def _without_marks(content: str, marks: Sequence[str]) -> str:
    """The content with the tokenizer's marks broken up: nobody may write a turn of another role."""
    for mark in marks:
        content = content.replace(mark, f"{mark[0]} {mark[1:]}")
    return content
