"""Packed context of an index or of a project's own files, with what counts and reads it."""

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
"""Share of the budget for what is known besides code."""


@dataclass(frozen=True)
class ContextSource:
    """What contexts are made from.

    Args:
        searcher: Searches.
        read: Gives the texts, without private values.
        counter: Counts tokens.
        recall: Gives what is known of a task besides code; None for nothing.
    """

    searcher: Searcher
    read: ReadText
    counter: TokenCounter
    recall: Callable[[str], PastWork] | None = None

    def notice(self) -> str:
        """What whoever searches should know of the files as they are now; empty for nothing."""
        how = self.searcher.note
        if not how and self.searcher.index.collection.vectors is None:
            how = "searched by words alone: the index was made without an encoder"
        return "; ".join(filter(None, (how, self.searcher.refresh())))

    def context(self, task: str, budget: int) -> PackedContext:
        """The context of a task, of the files as they are now.

        Raises:
            QueryError: the task is empty, enormous, or no text.
            BudgetError: the budget is too small.
            FilterError: nothing of what was indexed is there any more.
        """
        notice = self.notice()
        try:
            known, spent = self._besides(task, budget)
        except NoteStoreUnavailableError as error:
            known, spent, notice = PastWork(), 0, f"{notice}; " * bool(notice) + str(error)
        left = budget - spent
        packed = pack_context(self.searcher, task, self.read, left, self.counter, notice=notice)
        return replace(
            packed, tokens=packed.tokens + spent, budget=budget,
            attempts=known.attempts, notes=known.notes,
        )  # fmt: skip

    def _besides(self, task: str, budget: int) -> tuple[PastWork, int]:
        """What is known of a task besides code as far as its share of the budget holds it."""
        most = int(min(budget * _BESIDES, budget - LEAST_BUDGET))
        if self.recall is None or most <= 0 or not task.strip():
            return PastWork(), 0
        every, known, spent = self.recall(task), PastWork(), 0
        more = [PastWork(notes=(note,)) for note in every.notes]  # first, as people wrote them
        more += [PastWork(attempts=(like,)) for like in every.attempts]
        for one in more:
            both = PastWork(known.attempts + one.attempts, known.notes + one.notes)
            tokens = self.counter.count(background_text(both.attempts, both.notes))
            if tokens <= most:
                known, spent = both, tokens
        return known, spent


def index_context(folder: Path, params: Parameters) -> ContextSource:
    """Contexts of a folder, by its index.

    Raises:
        SearchIndexError: the index is not there or cannot be used.
    """
    searcher = open_searcher(folder, params)
    root, limits = Path(searcher.index.manifest.root), reading_limits(params)
    return ContextSource(searcher, lambda path: read_text(root, path, limits), APPROXIMATION)


def project_context(project: Project, name: str | None, params: Parameters) -> ContextSource:
    """Contexts of what a project, or all of them, has made.

    Args:
        project: Where.
        name: The project; None for all, whose names then begin the paths.
        params: Parameters.

    Raises:
        ProjectError: there is no such project, or its files are not made yet.
    """
    searcher = open_project_searcher(project, name, params)
    recall = _recall(project, [name] if name else list(project.partitions), params)
    return ContextSource(searcher, _project_texts(project, name), _counter(project), recall)


def _recall(
    project: Project, names: Sequence[str], params: Parameters
) -> Callable[[str], PastWork]:
    """What projects know of a task; attempts are of the logs, so the same of each project."""
    memories = [ProjectNotes(project, name, params) for name in names]

    def recall(task: str) -> PastWork:
        each = [memory.recall(task) for memory in memories]
        attempts = each[0].attempts if each else ()
        return PastWork(attempts, tuple(note for one in each for note in one.notes))

    return recall


def _project_texts(project: Project, name: str | None) -> ReadText:
    """Texts as the asset of files has them, private values out; a table is read at first need."""

    @cache
    def table(owner: str) -> dict[str, str]:
        file = project.output("repository_files", owner) / "files.parquet"
        return dict(pl.read_parquet(file, columns=["path", "text"]).select("path", "text").rows())

    def read(path: str) -> str | None:
        if name is not None:
            return table(name).get(path)
        owner, _, inside = path.partition("/")
        return table(owner).get(inside)

    return read


def _counter(project: Project) -> TokenCounter:
    """The tokenizer of the base, where it lies unpacked; else the approximation."""
    from cortex_pipelines.adapters.model.base_model import (
        BaseModelError,
        base_name,
        resolve_base,
    )
    from cortex_pipelines.release.open_model import pinned_base

    pinned = pinned_base(project)
    try:
        folder = weights_folder(pinned.source, pinned.pin, project.root)
        kept = project.state / "cache" / "models"
        if not (folder / _TOKENIZER).is_file() and any(kept.glob(f"*/{_TOKENIZER}")):
            folder = resolve_base(pinned, project.root).folder
    except (WeightsError, BaseModelError):
        return APPROXIMATION
    if not (folder / _TOKENIZER).is_file():
        return APPROXIMATION  # weights in one file: they are unpacked by the first training
    from tokenizers import Tokenizer

    encoder = TextEncoder(Tokenizer.from_file(str(folder / _TOKENIZER)))

    def count(text: str) -> int:
        (ids,) = encoder.ids([text])
        return len(ids)

    return TokenCounter(f"tokenizer of {base_name(pinned)}", count)
