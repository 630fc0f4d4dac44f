"""Code, notes and past attempts that a task needs, packed for a prompt: of an index or of a project."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.pretrained_models import PinnedModel, WeightsError, weights_folder
from cortex_pipelines.retrieval.context import (
    APPROXIMATION,
    LEAST_BUDGET,
    PackedContext,
    ReadText,
    TokenCounter,
    background_text,
    pack_context,
)
from cortex_pipelines.retrieval.documents import read_text
from cortex_pipelines.retrieval.notes.note import NoteStoreUnavailableError
from cortex_pipelines.retrieval.notes.project_notes import PastWork, ProjectNotes
from cortex_pipelines.retrieval.open_index import open_searcher, reading_limits
from cortex_pipelines.retrieval.project_index import open_project_searcher, project_text
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.tokenization.text_encoder import counter_of
from cortex_pipelines.versioning.project import Project, look_up, read_yaml

_TOKENIZER = "tokenizer.json"
_BESIDES = 0.1
"""Share of the budget for notes and past attempts."""


@dataclass(frozen=True)
class ContextSource:
    """Source of packed contexts; ``read`` returns texts without private values."""

    searcher: Searcher
    read: ReadText
    counter: TokenCounter
    recall: Callable[[str], PastWork] | None = None

    def notice(self) -> str:
        note = self.searcher.note
        if not note and self.searcher.index.collection.vectors is None:
            note = "searched by words alone: the index was made without an encoder"
        return "; ".join(filter(None, (note, self.searcher.refresh())))

    def context(self, task: str, budget: int) -> PackedContext:
        """The context of a task, from the current files; raises QueryError, BudgetError or FilterError."""
        notice = self.notice()
        try:
            recalled, spent = self._recall_notes(task, budget)
        except NoteStoreUnavailableError as error:
            recalled, spent, notice = PastWork(), 0, f"{notice}; " * bool(notice) + str(error)
        packed = pack_context(self.searcher, task, self.read, budget - spent, self.counter, notice=notice)
        tokens, attempts, notes = packed.tokens + spent, recalled.attempts, recalled.notes
        return replace(packed, tokens=tokens, budget=budget, attempts=attempts, notes=notes)

    def _recall_notes(self, task: str, budget: int) -> tuple[PastWork, int]:
        """Notes and past attempts that fit their share of the budget, and their tokens."""
        most = int(min(budget * _BESIDES, budget - LEAST_BUDGET))
        if self.recall is None or most <= 0 or not task.strip():
            return PastWork(), 0
        every, recalled, spent = self.recall(task), PastWork(), 0
        more = [PastWork(notes=(note,)) for note in every.notes]  # first, as people wrote them
        more += [PastWork(attempts=(attempt,)) for attempt in every.attempts]
        for candidate in more:
            both = PastWork(recalled.attempts + candidate.attempts, recalled.notes + candidate.notes)
            tokens = self.counter.count(background_text(both.attempts, both.notes))
            if tokens <= most:
                recalled, spent = both, tokens
        return recalled, spent


def index_context(folder: Path, params: Parameters) -> ContextSource:
    searcher = open_searcher(folder, params)
    root, limits = Path(searcher.index.manifest.root), reading_limits(params)
    return ContextSource(searcher, lambda path: read_text(root, path, limits), APPROXIMATION)


def project_context(project: Project, name: str | None, params: Parameters) -> ContextSource:
    """Contexts of one project, or of all (``name`` None), whose names then prefix the paths."""
    project_notes = [ProjectNotes(project, each, params) for each in ([name] if name else project.partitions)]

    def recall(task: str) -> PastWork:
        recalled = [notes.recall(task) for notes in project_notes]
        attempts = recalled[0].attempts if recalled else ()  # from the logs, so the same for each project
        return PastWork(attempts, tuple(note for each in recalled for note in each.notes))

    return ContextSource(
        open_project_searcher(project, name, params), project_text(project, name), _counter(project), recall
    )


def _counter(project: Project) -> TokenCounter:
    """The base's tokenizer if it is unpacked, else the approximation."""
    from cortex_pipelines.adapters.model.base_model import BaseModelError, base_name, resolve_base

    pin = look_up(read_yaml(project.root / "sources.lock"), "models.base")
    pinned = PinnedModel(load_parameters(project.root).models.base, pin or {})
    try:
        folder = weights_folder(pinned.source, pinned.pin, project.root)
        unpacked_models = project.state / "cache" / "models"
        if not (folder / _TOKENIZER).is_file() and any(unpacked_models.glob(f"*/{_TOKENIZER}")):
            folder = resolve_base(pinned, project.root).folder
    except (WeightsError, BaseModelError):
        return APPROXIMATION
    if not (folder / _TOKENIZER).is_file():
        return APPROXIMATION  # weights in one file are unpacked by the first training
    return TokenCounter(f"tokenizer of {base_name(pinned)}", counter_of(folder / _TOKENIZER))
