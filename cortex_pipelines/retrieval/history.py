"""Search a project's history: commits similar to a task, and what they changed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from cortex_pipelines.retrieval.documents import Document, FileText
from cortex_pipelines.retrieval.encoder_text import COMMIT
from cortex_pipelines.retrieval.search import Searcher

COMMIT_COLUMNS = ("commit", "committed_at", "subject", "body", "paths")
_MOST_PATHS = 50


@dataclass(frozen=True)
class CommitMatch:
    """One commit; of several projects with the project in front of its id."""

    commit: str
    date: datetime
    subject: str
    paths: tuple[str, ...]
    score: float
    why: str

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "date": self.date.isoformat()}


def commit_files(commits: pl.DataFrame) -> Iterator[FileText]:
    """Each commit as a file of one document, for an index."""
    for commit, _, subject, body, paths in commits.select(COMMIT_COLUMNS).sort("commit").iter_rows():
        texts = (" ".join(paths[:_MOST_PATHS]), subject, "", body, "")
        document = Document(COMMIT, subject, 1, 1, texts)
        yield FileText(commit, 0, 0, "", None, commit, False, False, (document,))


def search_history(searcher: Searcher, commits: pl.DataFrame, query: str, k: int) -> list[CommitMatch]:
    """The commits most like a query, best first.

    Raises:
        QueryError: the query is empty, too long, or not text.
    """
    rows_by_commit = {row["commit"]: row for row in commits.iter_rows(named=True)}
    matches = []
    for result in searcher.search(query, k, by="unit"):
        row = rows_by_commit[result.path]
        facts = (row["commit"], row["committed_at"], row["subject"], tuple(row["paths"]))
        matches.append(CommitMatch(*facts, result.score, result.why))
    return matches
