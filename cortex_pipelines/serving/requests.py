"""Prompts of requests in the format of the training, the backend that answers, and prepared requests."""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

from cortex_pipelines.adapters.data.packing import first_line, fit_gap
from cortex_pipelines.prompts.chat_rendering import ChatMessage, Turn, chat_fault, fold_turns
from cortex_pipelines.prompts.examples import Example, prompt_segments
from cortex_pipelines.prompts.templates import Template, Templates, package_templates
from cortex_pipelines.release.answering import Condition, shows_context
from cortex_pipelines.release.experiments.running import Assignment
from cortex_pipelines.retrieval.context import Excerpt
from cortex_pipelines.serving.catalogue import ServedModel, Split, Variant
from cortex_pipelines.serving.code_end import CodeEnd, code_end
from cortex_pipelines.serving.engines.engine import Job, LoadedAdapter, Prompt, Sampling, TextDelta
from cortex_pipelines.tokenization.rendering import chat_segments, render
from cortex_pipelines.tokenization.text_encoder import (
    GAP_FORMATS,
    PREFIX,
    SUFFIX,
    Segment,
    Segments,
    as_segments,
    as_text,
    gap_marks,
    token_ids,
)


@dataclass(frozen=True)
class RenderedPrompt:
    """A rendered prompt, its format's stop strings, its templates, and the tokens left out for lack of room.

    An answer ``at_cursor`` has a deadline; ``ending`` says where it ends if it is code.
    """

    segments: Segments
    stop: tuple[str, ...] = ()
    made_by: tuple[Template, ...] = ()
    cut: int = 0
    at_cursor: bool = False
    ending: CodeEnd | None = None

    @property
    def text(self) -> str:
        return as_text(self.segments)


@dataclass(frozen=True)
class PromptTarget:
    """The model that a prompt is built for.

    ``room`` is the longest prompt in tokens, ``quick_room`` the longest one that is read within the deadline.
    """

    tokenizer: Any
    room: int
    add_context: Callable[[str], str] = lambda text: text
    templates: Templates = field(default_factory=package_templates)
    quick_room: int | None = None

    @property
    def cursor_room(self) -> int:
        return self.room if self.quick_room is None else self.quick_room


_LINE = 64
"""Tokens by which the cursor's line takes room, so that its typing does not move what is before it."""

PromptBuilder = Callable[[PromptTarget], RenderedPrompt]
"""Builds the prompt of a request for a model.

A prompt that is too long loses its beginning: first the least similar examples, then the code farthest from the cursor.
"""


def completion(text: str) -> PromptBuilder:
    """A text to continue, at the cursor if it is code, or a gap if it contains the gap marks of some base model."""
    for form in GAP_FORMATS.values():
        is_marked_once = all(text.count(mark) == 1 for mark in gap_marks(form))  # otherwise they are code
        if is_marked_once and (gap := _gap_pattern(form).fullmatch(text)):
            return infill(gap["head"] + gap["prefix"], gap["suffix"])
    ending = code_end(text)
    build = _continuation(as_segments(text))
    if ending is None:
        return build

    def build_at_cursor(target: PromptTarget) -> RenderedPrompt:
        rendered = build(target)
        lines = rendered.text.splitlines(keepends=True)
        sizes = [len(ids) for ids in token_ids(target.tokenizer, lines)]
        first = min(first_line(lines, sizes, target.cursor_room, _step(target.cursor_room)), len(lines) - 1)
        last, cut = _line_end(target.tokenizer, lines[-1], target.cursor_room)
        remaining_text = "".join(lines[first:-1]) + last
        cut += sum(sizes[:first])
        return replace(rendered, segments=as_segments(remaining_text), cut=cut, at_cursor=True, ending=ending)

    return build_at_cursor


@cache
def _gap_pattern(form: tuple[str, ...]) -> re.Pattern[str]:
    code = {PREFIX: "(?P<prefix>.*)", SUFFIX: "(?P<suffix>.*)"}
    head = "" if form[-1] in code else ".*"  # without a mark at the end, text that only mentions marks looks the same
    return re.compile(f"(?P<head>{head})" + "".join(code.get(part) or re.escape(part) for part in form), re.DOTALL)


def _continuation(segments: Segments) -> PromptBuilder:
    def build(target: PromptTarget) -> RenderedPrompt:
        text = as_text(segments)
        with_context = target.add_context(text)
        return RenderedPrompt((*as_segments(with_context.removesuffix(text)), *segments))

    return build


def _line_end(tokenizer: Any, line: str, room: int) -> tuple[str, int]:
    """The end of the cursor's line, and the tokens left out, in steps: while it grows, its ends begin alike."""
    (ids,) = token_ids(tokenizer, [line])
    step = _step(room)
    cut = max(-(-(len(ids) - room) // step) * step, 0)
    return (tokenizer.decode(ids[cut:], clean_up_tokenization_spaces=False) if cut else line), cut


def _step(room: int) -> int:
    return max(room // 5, 1)


def task(name: str, **values: str) -> PromptBuilder:
    """One of this platform's tasks, rendered by the template of that name."""

    def build(target: PromptTarget) -> RenderedPrompt:
        segments = render(target.tokenizer, partial(target.templates.render, name), **values)
        return replace(_continuation(segments)(target), made_by=(target.templates[name],))

    return build


def infill(prefix: str, suffix: str, extra: Sequence[str] = (), language: str | None = None) -> PromptBuilder:
    """A gap between two texts, in the format of the training (``prompt_segments``).

    Gaps in training begin at a line start, so the cursor's line is passed as the beginning of the answer. Excess lines
    are dropped, the farthest first. ``extra`` is code from other files, the most relevant last.
    """
    start = prefix.rfind("\n") + 1
    head, line = prefix[:start], prefix[start:]
    ending = code_end(prefix, suffix, language)

    def build(target: PromptTarget) -> RenderedPrompt:
        preceding_code = "\n\n".join([*extra, target.add_context(head)])
        gap = Example("", "completion", "", "", "", preceding_code, "", "", suffix)
        step = _step(target.cursor_room)
        width = min(_LINE, step)
        line_end, line_cut = _line_end(target.tokenizer, line, target.cursor_room // 2)
        (line_ids,) = token_ids(target.tokenizer, [line_end])
        room = target.cursor_room - (len(line_ids) // width + 1) * width
        trimmed, cut = fit_gap(target.tokenizer, gap, room, step)
        at_cursor = (Segment(line_end, continues=True),) if line_end else ()
        segments = (*prompt_segments(target.tokenizer, trimmed), *at_cursor)
        return RenderedPrompt(segments, cut=cut + line_cut, at_cursor=True, ending=ending)

    return build


def chat(messages: Sequence[ChatMessage], project: str = "", context: str = "") -> PromptBuilder:
    """A conversation, in the base's chat template if it has one that works; the builder may raise ``ChatError``."""

    def build(target: PromptTarget) -> RenderedPrompt:
        instructions = target.templates.render("instructions", project=project, context=context).strip()
        made_by = (target.templates["instructions"],) if instructions else ()
        conversation = list(messages)
        if instructions and messages[0].role in ("system", "developer"):
            conversation[0] = replace(messages[0], content=f"{instructions}\n\n{messages[0].content}")
        elif instructions:
            conversation.insert(0, ChatMessage("system", instructions))
        has_template = not chat_fault(target.tokenizer)

        def rendered(turns: Sequence[Turn]) -> Segments:
            if has_template:
                return chat_segments(target.tokenizer, turns)
            return render(target.tokenizer, partial(target.templates.render, "chat"), turns=turns)

        # folded so that every message's text is in the result
        segments = rendered(fold_turns(lambda turns: as_text(rendered(turns)), conversation))
        if has_template:
            return RenderedPrompt(segments, made_by=made_by)
        return RenderedPrompt(segments, ("\n\nuser:", "\n\nsystem:"), (*made_by, target.templates["chat"]))

    return build


def context_text(packed: Mapping[str, Any]) -> str:
    """A packed context as text: notes on the task, then each excerpt under its location."""
    parts = (packed["known"], *(Excerpt(**excerpt).as_text() for excerpt in packed["pieces"]))
    return "\n".join(filter(None, parts)).rstrip("\n")


def citations(excerpts: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{excerpt['path']}:{excerpt['start_line']}-{excerpt['end_line']}" for excerpt in excerpts]


def worker(templates: Templates, task: str, packed: Mapping[str, Any]) -> RenderedPrompt:
    """Prompt for an agent's worker: its task, and ``known``, ``pieces`` and ``notice`` of a packed context."""
    text = templates.render("worker", task=task, context=context_text(packed), notice=packed["notice"])
    return RenderedPrompt(as_segments(text), made_by=(templates["worker"],))


@dataclass(frozen=True)
class AnswerBackend:
    """The backend that answers a request.

    Args:
        way: The condition; differs from the release's if an adapter could not be loaded.
        adapter: None for the base model, or for a merged one.
        notice: Why the answer deviates from the release; empty otherwise.
        trial: A running canary, and whether it or the champion answers.
        upstream: Name of the upstream server's model that answers; empty for none.
        identity: Unique id of the answer, which votes refer to.
    """

    served: ServedModel
    way: Condition
    adapter: LoadedAdapter | None
    notice: str
    trial: tuple[Split, Variant] | None = None
    upstream: str = ""
    assigned: Assignment | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)

    @property
    def version(self) -> str:
        """The adapter's DVC version if it answers, else the base's digest, or ``upstream:NAME``, unverified."""
        release = self.served.release
        if self._adapted and release.adapter:
            return release.adapter
        return f"upstream:{self.upstream}" if self.upstream else release.base

    @property
    def variant_propensity(self) -> tuple[str | None, float | None]:
        """Variant of a canary or arm of an experiment, with its propensity."""
        if self.assigned is not None:
            plan, arm = self.assigned.plan, self.assigned.arm
            return f"{plan.id}:{arm}", plan.share if arm == "b" else 1 - plan.share
        if self.trial is None:
            return None, None
        split, variant = self.trial
        share = 0.0 if split.shadow else float(split.plan.get("share", 0))
        return variant, share if variant == "canary" else 1 - share

    @property
    def _adapted(self) -> bool:
        return self.way in ("adapter", "both")

    @property
    def release(self) -> str:
        """Version of the release that answers; of the base if the adapter could not be loaded."""
        release = self.served.release
        index = release.index if shows_context(self.way) else None
        adapter = release.adapter if self._adapted else None
        version = replace(release, way=self.way, adapter=adapter, index=index, upstream=self.upstream or None).version
        template_version = self.served.templates.version
        if not template_version:  # the package's templates are covered by the format number in the release
            return version
        return hashlib.sha256(f"{version} {template_version}".encode()).hexdigest()[:32]

    @property
    def attributes(self) -> Mapping[str, str]:
        return {f"cortex.{name}": value for name, value in self.identification.items()}

    @property
    def identification(self) -> dict[str, str]:
        return {"model": self.served.name, "way": self.way, "version": self.version, "release": self.release}


@dataclass(frozen=True)
class PreparedRequest:
    """A request that is ready for the engine.

    Args:
        flags: The output filter's rules that matched; filled while answers are generated.
        late: The answers that the deadline ended; filled likewise.
        key: Cache key; None if the answers are not cached.
        cached_deltas: The answers, if they are cached.
    """

    backend: AnswerBackend
    text: RenderedPrompt
    prompt: Prompt
    sampling: Sampling
    count: int = 1
    flags: set[str] = field(default_factory=set, compare=False)
    late: set[int] = field(default_factory=set, compare=False)
    key: bytes | None = None
    cached_deltas: tuple[TextDelta, ...] | None = field(default=None, repr=False)

    @property
    def cut(self) -> int:
        """Tokens left out for lack of room."""
        return self.text.cut + self.prompt.cut

    def noted(self, delta: TextDelta) -> TextDelta:
        """A delta as clients know it: that it came late is noted beside it."""
        if delta.finish != "late":
            return delta
        self.late.add(delta.index)
        return replace(delta, finish="length")

    @property
    def job(self) -> Job:
        return Job(self.backend.adapter, self.prompt, self.sampling, self.count)
