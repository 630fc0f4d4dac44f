"""Packed contexts from a search index or a project's files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.ingestion.pretrained_models import WeightsError, weights_folder
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
from cortex_pipelines.retrieval.project_index import open_project_searcher
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.tokenization.text_encoder import TextEncoder
from cortex_pipelines.versioning.project import Project

_TOKENIZER = "tokenizer.json"
_BESIDES = 0.1
"""Share of the budget for notes and past attempts."""


@dataclass(frozen=True)
class ContextSource:
    """Source of packed contexts.

    Args:
        searcher: Searches the code.
        read: Returns texts without private values.
        counter: Counts tokens.
        recall: Returns notes and past attempts of a task; None without them.
    """

    searcher: Searcher
    read: ReadText
    counter: TokenCounter
    recall: Callable[[str], PastWork] | None = None

    def notice(self) -> str:
        """Notice about the current index and files; empty for none."""
        note = self.searcher.note
        if not note and self.searcher.index.collection.vectors is None:
            note = "searched by words alone: the index was made without an encoder"
        return "; ".join(filter(None, (note, self.searcher.refresh())))

    def context(self, task: str, budget: int) -> PackedContext:
        """The context of a task, from the current files.

        Raises:
            QueryError: the task is empty, too long, or not text.
            BudgetError: the budget is too small.
            FilterError: none of the indexed files exist any more.
        """
        notice = self.notice()
        try:
            recalled, spent = self._recall_notes(task, budget)
        except NoteStoreUnavailableError as error:
            recalled, spent, notice = PastWork(), 0, f"{notice}; " * bool(notice) + str(error)
        remaining = budget - spent
        packed = pack_context(self.searcher, task, self.read, remaining, self.counter, notice=notice)
        return replace(
            packed, tokens=packed.tokens + spent, budget=budget,
            attempts=recalled.attempts, notes=recalled.notes,
        )  # fmt: skip

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
    """Contexts of a folder with a search index.

    Raises:
        SearchIndexError: the index is missing or unusable.
    """
    searcher = open_searcher(folder, params)
    root, limits = Path(searcher.index.manifest.root), reading_limits(params)
    return ContextSource(searcher, lambda path: read_text(root, path, limits), APPROXIMATION)


def project_context(project: Project, name: str | None, params: Parameters) -> ContextSource:
    """Contexts of one project or all projects.

    Args:
        project: The open project.
        name: Its partition; None for all, whose names then prefix the paths.
        params: Parameters.

    Raises:
        ProjectError: unknown partition, or its files have not been materialised.
    """
    searcher = open_project_searcher(project, name, params)
    recall = _recall(project, [name] if name else list(project.partitions), params)
    return ContextSource(searcher, _project_texts(project, name), _counter(project), recall)


def _recall(project: Project, names: Sequence[str], params: Parameters) -> Callable[[str], PastWork]:
    """Recall a task from projects' notes; attempts come from the logs, so are the same for each."""
    memories = [ProjectNotes(project, name, params) for name in names]

    def recall(task: str) -> PastWork:
        recalled_by_project = [memory.recall(task) for memory in memories]
        attempts = recalled_by_project[0].attempts if recalled_by_project else ()
        return PastWork(attempts, tuple(note for recalled in recalled_by_project for note in recalled.notes))

    return recall


def _project_texts(project: Project, name: str | None) -> ReadText:
    """Redacted texts from the asset of files; tables are read lazily."""

    @cache
    def table(owner: str) -> dict[str, str]:
        file = project.output("repository_files", owner) / "files.parquet"
        return dict(pl.read_parquet(file, columns=["path", "text"]).select("path", "text").rows())

    def read(path: str) -> str | None:
        if name is not None:
            return table(name).get(path)
        owner, _, inner_path = path.partition("/")
        return table(owner).get(inner_path)

    return read


def _counter(project: Project) -> TokenCounter:
    """The base's tokenizer if it is unpacked, else the approximation."""
    from cortex_pipelines.adapters.model.base_model import BaseModelError, base_name, resolve_base
    from cortex_pipelines.release.open_model import pinned_base

    pinned = pinned_base(project)
    try:
        folder = weights_folder(pinned.source, pinned.pin, project.root)
        unpacked_models = project.state / "cache" / "models"
        if not (folder / _TOKENIZER).is_file() and any(unpacked_models.glob(f"*/{_TOKENIZER}")):
            folder = resolve_base(pinned, project.root).folder
    except (WeightsError, BaseModelError):
        return APPROXIMATION
    if not (folder / _TOKENIZER).is_file():
        return APPROXIMATION  # weights in one file are unpacked by the first training
    from tokenizers import Tokenizer

    encoder = TextEncoder(Tokenizer.from_file(str(folder / _TOKENIZER)))

    def count(text: str) -> int:
        (ids,) = encoder.ids([text])
        return len(ids)

    return TokenCounter(f"tokenizer of {base_name(pinned)}", count)
