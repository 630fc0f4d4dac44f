"""Prompts of requests, in the format of the training: gaps, chats and tasks."""

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
from cortex_pipelines.tokenization.text_encoder import GAP_TOKENS, Segments, as_segments, as_text, token_ids


@dataclass(frozen=True)
class RenderedPrompt:
    """A rendered prompt.

    Args:
        segments: Text, and the control tokens that a template wrote.
        stop: Stop strings of the prompt's format.
        made_by: Templates that rendered it.
        cut: Tokens that were left out for lack of room.
    """

    segments: Segments
    stop: tuple[str, ...] = ()
    made_by: tuple[Template, ...] = ()
    cut: int = 0

    @property
    def text(self) -> str:
        """The prompt as plain text."""
        return as_text(self.segments)


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True)
class PromptTarget:
    """The model that a prompt is built for.

    Args:
        tokenizer: Tokenizer of the base.
        room: Longest prompt in tokens.
        add_context: Prepends retrieved code to a text, or returns it unchanged.
        templates: Templates of the requested model.
    """

    tokenizer: Any
    room: int
    add_context: Callable[[str], str] = _unchanged
    templates: Templates = field(default_factory=package_templates)


PromptBuilder = Callable[[PromptTarget], RenderedPrompt]
"""Builds the prompt of a request for a model.

A prompt that is too long loses its beginning: first the least similar examples, then the code
farthest from the cursor.
"""


def completion(text: str) -> PromptBuilder:
    """A text to continue, or a gap if the text contains the gap tokens of some base model."""
    marked = _marked_gap(text)
    return infill(*marked) if marked else _continuation(as_segments(text))


def _continuation(segments: Segments) -> PromptBuilder:
    def build(target: PromptTarget) -> RenderedPrompt:
        text = as_text(segments)
        with_context = target.add_context(text)
        return RenderedPrompt((*as_segments(with_context.removesuffix(text)), *segments))

    return build


def task(name: str, **values: str) -> PromptBuilder:
    """One of this platform's tasks, rendered by the template of that name."""

    def build(target: PromptTarget) -> RenderedPrompt:
        segments = render(target.tokenizer, partial(target.templates.render, name), **values)
        return replace(_continuation(segments)(target), made_by=(target.templates[name],))

    return build


def infill(prefix: str, suffix: str, extra: Sequence[str] = ()) -> PromptBuilder:
    """A gap between two texts, in the format of the training (``prompt_segments``).

    Gaps in training begin at a line start, so the cursor's line is passed as the beginning of the
    answer. Excess lines are dropped, the farthest first.

    Args:
        prefix: Text before the cursor.
        suffix: Text after it.
        extra: Code from other files, the most relevant last.
    """
    start = prefix.rfind("\n") + 1
    head, line = prefix[:start], prefix[start:]

    def build(target: PromptTarget) -> RenderedPrompt:
        preceding_code = "\n\n".join([*extra, target.add_context(head)])
        gap = Example("", "completion", "", "", "", preceding_code, "", "", suffix)
        (line_ids,) = token_ids(target.tokenizer, [line])
        trimmed, cut = fit_gap(target.tokenizer, gap, target.room - len(line_ids))
        return RenderedPrompt((*prompt_segments(target.tokenizer, trimmed), *as_segments(line)), cut=cut)

    return build


def chat(messages: Sequence[ChatMessage], project: str = "", context: str = "") -> PromptBuilder:
    """A conversation, in the base's chat template if it has one.

    The builder raises ``ChatError`` if the template refuses the conversation.

    Args:
        messages: Oldest first.
        project: The project of the model.
        context: Relevant code with citations; empty for none.
    """

    def build(target: PromptTarget) -> RenderedPrompt:
        instructions = target.templates.render("instructions", project=project, context=context).strip()
        made_by = (target.templates["instructions"],) if instructions else ()
        conversation = _with_instructions(messages, instructions)
        if getattr(target.tokenizer, "chat_template", None):
            segments = _fold(partial(chat_segments, target.tokenizer), conversation)
            return RenderedPrompt(segments, made_by=made_by)

        def plain(turns: Sequence[Turn]) -> Segments:
            return render(target.tokenizer, partial(target.templates.render, "chat"), turns=turns)

        segments = _fold(plain, conversation)
        stop = ("\n\nuser:", "\n\nsystem:")
        return RenderedPrompt(segments, stop, (*made_by, target.templates["chat"]))

    return build


def context_text(packed: Mapping[str, Any]) -> str:
    """A packed context as text: notes on the task, then each excerpt under its location."""
    parts = (packed["known"], *(Excerpt(**excerpt).as_text() for excerpt in packed["pieces"]))
    return "\n".join(filter(None, parts)).rstrip("\n")


def citations(excerpts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Locations of excerpts, ``path:start-end``."""
    return [f"{excerpt['path']}:{excerpt['start_line']}-{excerpt['end_line']}" for excerpt in excerpts]


def worker(templates: Templates, task: str, packed: Mapping[str, Any]) -> RenderedPrompt:
    """Prompt for an agent's worker: its task, notes on it, and relevant code.

    Args:
        templates: The project's templates.
        task: The task.
        packed: ``known``, ``pieces`` and ``notice`` of its packed context.
    """
    text = templates.render("worker", task=task, context=context_text(packed), notice=packed["notice"])
    return RenderedPrompt(as_segments(text), made_by=(templates["worker"],))


def _fold(template: Callable[[Sequence[Turn]], Segments], messages: Sequence[ChatMessage]) -> Segments:
    """Render a conversation, folded so that every message's text is in the result."""
    return template(fold_turns(lambda turns: as_text(template(turns)), messages))


def _with_instructions(messages: Sequence[ChatMessage], instructions: str) -> Sequence[ChatMessage]:
    """Add instructions to the conversation's system turn, which is created if missing."""
    if not instructions:
        return messages
    first = messages[0]
    if first.role in ("system", "developer"):
        content = f"{instructions}\n\n{first.content}"
        return [replace(first, content=content), *messages[1:]]
    return [ChatMessage("system", instructions), *messages]


def _marked_gap(text: str) -> tuple[str, str] | None:
    """Code before and after a gap marked with some base's gap tokens; None without a gap."""
    for marks in GAP_TOKENS:
        before, between, end = marks
        head, _, after_prefix = text.partition(before)
        # a mark that occurs twice belongs to the code
        if between in after_prefix and after_prefix.endswith(end) and all(text.count(mark) == 1 for mark in marks):
            prefix, _, suffix = after_prefix.removesuffix(end).partition(between)
            return head + prefix, suffix
    return None
