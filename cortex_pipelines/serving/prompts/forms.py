"""Requests as the prompts that models were trained on: gaps, chats, and the platform's tasks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cortex_pipelines.adapters.data.examples import GAP_TOKENS, Example, prompt_text
from cortex_pipelines.adapters.data.packing import gap_within, token_ids
from cortex_pipelines.retrieval.context import Piece
from cortex_pipelines.serving.prompts.templates import Template, Templates, package_templates


@dataclass(frozen=True)
class Text:
    """A prompt as text.

    Args:
        text: What is shown.
        stop: Stop strings that belong to the form.
        made_by: Templates that it was made by.
        cut: Tokens that were left out because there was no room for them.
    """

    text: str
    stop: tuple[str, ...] = ()
    made_by: tuple[Template, ...] = ()
    cut: int = 0


def _nothing(text: str) -> str:
    return text


@dataclass(frozen=True)
class Target:
    """What a prompt is made for.

    Args:
        tokenizer: The base's.
        room: Most tokens of the prompt.
        before: Puts what is shown in addition before a text: similar code, or nothing.
        templates: The templates of the model that is asked.
    """

    tokenizer: Any
    room: int
    before: Callable[[str], str] = _nothing
    templates: Templates = field(default_factory=package_templates)


Form = Callable[[Target], Text]
"""Makes the prompt of a request.

What is too long without a form that divides the room loses its beginning: of similar code the
examples that are least so, then the code that is furthest away.
"""


def completion(text: str) -> Form:
    """Text to be gone on with; a gap where an editor has marked one in any base's tokens for it."""
    marked = _marked_gap(text)
    return infill(*marked) if marked else lambda to: Text(to.before(text))


def task(name: str, **values: str) -> Form:
    """One of the platform's tasks, by the template of that name."""

    def form(to: Target) -> Text:
        made = completion(to.templates.render(name, **values))(to)
        return replace(made, made_by=(to.templates[name],))

    return form


def infill(prefix: str, suffix: str, extra: Sequence[str] = ()) -> Form:
    """A gap between two texts, in the form in which adapters are trained on gaps (``prompt_text``).

    In the examples a gap begins with a line, so what stands on the cursor's line is shown as the
    beginning of the answer. What there is no room for is left out by lines, the furthest first.

    Args:
        prefix: Text before the cursor.
        suffix: Text after it.
        extra: Other code to show, the most telling last.
    """
    start = prefix.rfind("\n") + 1
    head, line = prefix[:start], prefix[start:]

    def form(to: Target) -> Text:
        shown = "\n\n".join([*extra, to.before(head)])
        gap = Example("", "completion", "", "", "", shown, "", "", suffix)
        (begun,) = token_ids(to.tokenizer, [line])
        kept, cut = gap_within(to.tokenizer, gap, to.room - len(begun))
        return Text(prompt_text(to.tokenizer, kept) + line, cut=cut)

    return form


def chat(messages: Sequence[tuple[str, str]], project: str = "", context: str = "") -> Form:
    """A conversation, in the base's own form if it has one.

    Args:
        messages: Role and content, oldest first.
        project: The project that is asked.
        context: Code that it may be about, cited; empty for none.
    """

    def form(to: Target) -> Text:
        own = to.templates.render("instructions", project=project, context=context).strip()
        made_by = (to.templates["instructions"],) if own else ()
        marks = [mark for mark in to.tokenizer.all_special_tokens if len(mark) > 1]
        turns = [
            {"role": role, "content": _without_marks(content, marks)}
            for role, content in _instructed(messages, own)
        ]
        if getattr(to.tokenizer, "chat_template", None):
            text: str = to.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            return Text(text, made_by=made_by)
        text = to.templates.render("chat", turns=turns)
        stop = ("\n\nuser:", "\n\nsystem:")
        return Text(text, stop, (*made_by, to.templates["chat"]))

    return form


def shown(packed: Mapping[str, Any]) -> str:
    """A packed context as text: what is known of the task, and each piece under its place."""
    parts = (packed["known"], *(Piece(**piece).as_text() for piece in packed["pieces"]))
    return "\n".join(filter(None, parts)).rstrip("\n")


def cited(pieces: Iterable[Mapping[str, Any]]) -> list[str]:
    """Their places, ``path:start-end``."""
    return [f"{piece['path']}:{piece['start_line']}-{piece['end_line']}" for piece in pieces]


def worker(templates: Templates, task: str, packed: Mapping[str, Any]) -> Text:
    """What an agent's worker is told of its task, what is known of it, and code it may be about.

    Args:
        templates: Of the project.
        task: The task.
        packed: ``known``, ``pieces`` and ``notice`` of its packed context.
    """
    text = templates.render("worker", task=task, context=shown(packed), notice=packed["notice"])
    return Text(text, made_by=(templates["worker"],))


def _instructed(
    messages: Sequence[tuple[str, str]], instructions: str
) -> Sequence[tuple[str, str]]:
    """The conversation with instructions as its system turn, or before what is in that."""
    if not instructions:
        return messages
    role, content = messages[0]
    if role in ("system", "developer"):
        return [(role, f"{instructions}\n\n{content}"), *messages[1:]]
    return [("system", instructions), *messages]


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
