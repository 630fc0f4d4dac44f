"""Requests as the prompts that models were trained on: gaps, chats, and the platform's tasks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cortex_pipelines.adapters.data.packing import fit_gap
from cortex_pipelines.prompts.chat_rendering import ChatMessage, Turn, fold_turns
from cortex_pipelines.prompts.examples import Example, prompt_segments
from cortex_pipelines.prompts.templates import Template, Templates, package_templates
from cortex_pipelines.retrieval.context import Excerpt
from cortex_pipelines.tokenization.rendering import chat_segments, render
from cortex_pipelines.tokenization.segments import Segments, as_segments, as_text
from cortex_pipelines.tokenization.text_encoder import GAP_TOKENS, token_ids


@dataclass(frozen=True)
class Text:
    """A prompt.

    Args:
        segments: What is shown: text, and the control tokens that a template wrote.
        stop: Stop strings that belong to the form.
        made_by: Templates that it was made by.
        cut: Tokens that were left out because there was no room for them.
    """

    segments: Segments
    stop: tuple[str, ...] = ()
    made_by: tuple[Template, ...] = ()
    cut: int = 0

    @property
    def text(self) -> str:
        """The same for people to read."""
        return as_text(self.segments)


def _nothing(text: str) -> str:
    return text


@dataclass(frozen=True)
class PromptTarget:
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


Form = Callable[[PromptTarget], Text]
"""Makes the prompt of a request.

What is too long without a form that divides the room loses its beginning: of similar code the
examples that are least so, then the code that is furthest away.
"""


def completion(text: str) -> Form:
    """Text to be gone on with; a gap where an editor has marked one in any base's tokens for it."""
    marked = _marked_gap(text)
    return infill(*marked) if marked else _continued(as_segments(text))


def _continued(segments: Segments) -> Form:
    def form(to: PromptTarget) -> Text:
        text = as_text(segments)
        shown = to.before(text)
        return Text((*as_segments(shown.removesuffix(text)), *segments))

    return form


def task(name: str, **values: str) -> Form:
    """One of the platform's tasks, by the template of that name."""

    def form(to: PromptTarget) -> Text:
        written = render(to.tokenizer, partial(to.templates.render, name), **values)
        return replace(_continued(written)(to), made_by=(to.templates[name],))

    return form


def infill(prefix: str, suffix: str, extra: Sequence[str] = ()) -> Form:
    """A gap between two texts, in the form of the training (``prompt_segments``).

    In the examples a gap begins with a line, so what stands on the cursor's line is shown as the
    beginning of the answer. What there is no room for is left out by lines, the furthest first.

    Args:
        prefix: Text before the cursor.
        suffix: Text after it.
        extra: Other code to show, the most telling last.
    """
    start = prefix.rfind("\n") + 1
    head, line = prefix[:start], prefix[start:]

    def form(to: PromptTarget) -> Text:
        shown = "\n\n".join([*extra, to.before(head)])
        gap = Example("", "completion", "", "", "", shown, "", "", suffix)
        (begun,) = token_ids(to.tokenizer, [line])
        kept, cut = fit_gap(to.tokenizer, gap, to.room - len(begun))
        return Text((*prompt_segments(to.tokenizer, kept), *as_segments(line)), cut=cut)

    return form


def chat(messages: Sequence[ChatMessage], project: str = "", context: str = "") -> Form:
    """A conversation, in the base's own form if it has one.

    The form raises ``ChatError`` where the template refuses the conversation.

    Args:
        messages: Oldest first.
        project: The project that is asked.
        context: Code that it may be about, cited; empty for none.
    """

    def form(to: PromptTarget) -> Text:
        own = to.templates.render("instructions", project=project, context=context).strip()
        made_by = (to.templates["instructions"],) if own else ()
        conversation = _instructed(messages, own)
        if getattr(to.tokenizer, "chat_template", None):
            segments = _folded(partial(chat_segments, to.tokenizer), conversation)
            return Text(segments, made_by=made_by)

        def plain(turns: Sequence[Turn]) -> Segments:
            return render(to.tokenizer, partial(to.templates.render, "chat"), turns=turns)

        segments = _folded(plain, conversation)
        stop = ("\n\nuser:", "\n\nsystem:")
        return Text(segments, stop, (*made_by, to.templates["chat"]))

    return form


def shown(packed: Mapping[str, Any]) -> str:
    """A packed context as text: what is known of the task, and each piece under its place."""
    parts = (packed["known"], *(Excerpt(**piece).as_text() for piece in packed["pieces"]))
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
    return Text(as_segments(text), made_by=(templates["worker"],))


def _folded(
    template: Callable[[Sequence[Turn]], Segments], messages: Sequence[ChatMessage]
) -> Segments:
    """What a template makes of a conversation, with every message's text in it."""
    return template(fold_turns(lambda turns: as_text(template(turns)), messages))


def _instructed(messages: Sequence[ChatMessage], instructions: str) -> Sequence[ChatMessage]:
    """The conversation with instructions as its system turn, or before what is in that."""
    if not instructions:
        return messages
    first = messages[0]
    if first.role in ("system", "developer"):
        content = f"{instructions}\n\n{first.content}"
        return [replace(first, content=content), *messages[1:]]
    return [ChatMessage("system", instructions), *messages]


def _marked_gap(text: str) -> tuple[str, str] | None:
    """The code before and after a gap, by the marks of some base; None without any."""
    for marks in GAP_TOKENS:
        before, between, end = marks
        head, _, rest = text.partition(before)
        # a mark that occurs twice is one that the code spells
        if between in rest and rest.endswith(end) and all(text.count(mark) == 1 for mark in marks):
            prefix, _, suffix = rest.removesuffix(end).partition(between)
            return head + prefix, suffix
    return None
