"""What the agents' workers tried on tasks like one, and what came of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.retrieval.bm25f import (
    FieldTermCounts,
    Postings,
    Vocabulary,
    Weights,
    postings,
    statistics,
)
from cortex_pipelines.retrieval.queries import understand

_WEIGHTS = Weights((1.0,), (0.75,), 1.2)
_LEAST = 0.35
"""Share of the weight of the shorter of two texts that the other has to have in it, too."""
_LONGEST = 240
"""Characters that are shown of a task."""


@dataclass(frozen=True)
class Tried:
    """What one worker did about a task, as often as it was sent there.

    Args:
        worker: Master that it was sent to.
        attempts: How often.
        succeeded: How often it is known to have succeeded.
        failed: How often it is known to have failed.
        outcome: The last outcome as logged; None if none was.
        median_seconds: How long it took; None if that is not known.
        last: When it was last sent there, ISO 8601 in UTC; None if that is not known.
    """

    worker: str
    attempts: int
    succeeded: int
    failed: int
    outcome: str | None
    median_seconds: float | None
    last: str | None


@dataclass(frozen=True)
class LikeTask:
    """A task like the one in question.

    Args:
        task: Its text.
        score: BM25.
        tried: What was done about it, by worker.
    """

    task: str
    score: float
    tried: tuple[Tried, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def as_text(self) -> str:
        """A line of a prompt."""
        done = "; ".join(map(_words, self.tried))
        return f"- {self.task}: {done}"


class Attempts:
    """The tasks of the agents' logs, ready to be searched.

    Args:
        tables: Folder of ``coordination_tables``; rows of tests do not count.
    """

    def __init__(self, tables: Path) -> None:
        features = pl.scan_parquet(tables / "features.parquet")
        outcomes = pl.scan_parquet(tables / "outcomes.parquet")
        came = (
            outcomes.filter(~pl.col("test_row"), pl.col("attempt_id").is_not_null())
            .sort("occurred_at", "event_id", nulls_last=False)
            .group_by("attempt_id", maintain_order=True)
            .agg(
                pl.col("outcome").drop_nulls().last(),
                pl.col("success").drop_nulls().last(),
                pl.col("duration_seconds").filter(pl.col("duration_seconds") > 0).last(),
            )
        )
        rows = (
            features.filter(~pl.col("test_row"), pl.col("text").str.strip_chars() != "")
            .join(came, on="attempt_id", how="left")
            .sort("decided_at", "attempt_id", nulls_last=False)
            .group_by("text", "master", maintain_order=True)
            .agg(
                pl.len().alias("attempts"),
                pl.col("success").sum().alias("succeeded"),
                (~pl.col("success")).sum().alias("failed"),
                pl.col("outcome").drop_nulls().last(),
                pl.col("duration_seconds").median(),
                pl.col("decided_at").max(),
            )
            .collect()
        )
        self._tried: dict[str, list[Tried]] = {}
        for text, master, attempts, good, bad, outcome, seconds, at in rows.iter_rows():
            last = None if at is None else at.isoformat(timespec="seconds")
            tried = Tried(master, attempts, good, bad, outcome, seconds, last)
            self._tried.setdefault(text, []).append(tried)
        self._texts: Sequence[str] = sorted(self._tried)
        self._vocabulary = Vocabulary()
        counts = FieldTermCounts()
        for row, text in enumerate(self._texts):
            counts.add(row, text, self._vocabulary)
        self._matrix = counts.matrix(len(self._texts), len(self._vocabulary))
        self._postings: Postings | None = None
        if self._texts:
            fields = [self._matrix]
            self._known = statistics(fields)
            self._postings = postings(fields, self._known, _WEIGHTS)

    def like(self, task: str, k: int) -> list[LikeTask]:
        """The tasks most like one, best first; those that share little with it are left out.

        Raises:
            QueryError: the task is empty, enormous, or no text.
        """
        weights = understand(task).weights
        if self._postings is None:
            return []
        numbers = self._vocabulary.numbers
        query = {numbers[term]: weight for term, weight in weights.items() if term in numbers}
        unknown = (len(weights) - len(query)) * self._known.unseen
        scores = self._postings.scores(query)
        best = sorted(scores.nonzero()[0].tolist(), key=lambda row: (-scores[row], row))
        like = [row for row in best if self._is_like(row, set(query), unknown)][:k]
        return [self._shown(row, float(scores[row])) for row in like]

    def _is_like(self, row: int, query: set[int], unknown: float) -> bool:
        idf, inside = self._known.idf, set(self._matrix[row].indices.tolist())
        shared = inside & query
        if len(shared) < min(2, len(query) + bool(unknown)):
            return False
        asked = sum(float(idf[term]) for term in query) + unknown
        held = sum(float(idf[term]) for term in inside)
        return sum(float(idf[term]) for term in shared) >= _LEAST * min(asked, held)

    def _shown(self, row: int, score: float) -> LikeTask:
        text = self._texts[row]
        tried = tuple(sorted(self._tried[text], key=lambda one: (one.last or "", one.worker)))
        short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        return LikeTask(" ".join(short.split()), round(score, 4), tried)


def _words(tried: Tried) -> str:
    known = tried.succeeded + tried.failed
    came = f"{tried.succeeded} of {known} succeeded" if known else tried.outcome or "no outcome"
    times = "" if tried.attempts == 1 else f" ({tried.attempts} times)"
    return f"{tried.worker}{times}, {came}"
