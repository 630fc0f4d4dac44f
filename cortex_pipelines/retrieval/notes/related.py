"""Past attempts at similar tasks, and relations of the things that a task names.

Relations are read where they were made, so that they are never older than their asset, and what is
forgotten there is forgotten here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path

import polars as pl

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.retrieval.bm25f import (
    Bm25fWeights,
    FieldTermCounts,
    Postings,
    Vocabulary,
    build_postings,
    term_statistics,
)
from cortex_pipelines.retrieval.queries import parse_query

_WEIGHTS = Bm25fWeights((1.0,), (0.75,), 1.2)
_LEAST = 0.35  # share of the weight of the shorter of two texts that the other has to have in it, too
_LONGEST = 240  # characters that are shown of a task


@dataclass(frozen=True)
class WorkerAttempts:
    """Attempts of one worker at a task; ``succeeded`` and ``failed`` count the known outcomes."""

    worker: str
    attempts: int
    succeeded: int
    failed: int
    outcome: str | None
    median_seconds: float | None
    last: str | None


@dataclass(frozen=True)
class SimilarTask:
    task: str
    score: float
    tried: tuple[WorkerAttempts, ...]

    def as_text(self) -> str:
        attempts = []
        for worker in self.tried:
            finished = worker.succeeded + worker.failed
            result = f"{worker.succeeded} of {finished} succeeded" if finished else worker.outcome or "no outcome"
            times = "" if worker.attempts == 1 else f" ({worker.attempts} times)"
            attempts.append(f"{worker.worker}{times}, {result}")
        return f"- {self.task}: {'; '.join(attempts)}"


class TaskHistory:
    """The tasks of ``coordination_tables``, ready to be searched; rows of tests do not count."""

    def __init__(self, tables: Path) -> None:
        features = pl.scan_parquet(tables / "features.parquet")
        outcomes = pl.scan_parquet(tables / "outcomes.parquet")
        results = (
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
            .join(results, on="attempt_id", how="left")
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
        self._attempts: dict[str, list[WorkerAttempts]] = {}
        for text, master, attempts, good, bad, outcome, seconds, decided_at in rows.iter_rows():
            last = None if decided_at is None else decided_at.isoformat(timespec="seconds")
            worker_attempts = WorkerAttempts(master, attempts, good, bad, outcome, seconds, last)
            self._attempts.setdefault(text, []).append(worker_attempts)
        self._texts: Sequence[str] = sorted(self._attempts)
        self._vocabulary = Vocabulary()
        counts = FieldTermCounts()
        for row, text in enumerate(self._texts):
            counts.add(row, text, self._vocabulary)
        self._matrix = counts.matrix(len(self._texts), len(self._vocabulary))
        self._postings: Postings | None = None
        if self._texts:
            fields = [self._matrix]
            self._statistics = term_statistics(fields)
            self._postings = build_postings(fields, self._statistics, _WEIGHTS)

    def find_similar(self, task: str, k: int) -> list[SimilarTask]:
        """The most similar tasks, best first; those that share little are left out."""
        weights = parse_query(task).weights
        if self._postings is None:
            return []
        numbers = self._vocabulary.numbers
        query = {numbers[term]: weight for term, weight in weights.items() if term in numbers}
        unknown_weight = (len(weights) - len(query)) * self._statistics.unseen
        scores = self._postings.scores(query)
        best = sorted(scores.nonzero()[0].tolist(), key=lambda row: (-scores[row], row))
        query_weight = fsum(float(self._statistics.idf[term]) for term in query) + unknown_weight
        similar: list[SimilarTask] = []
        for row in best:
            row_idf = {term: float(self._statistics.idf[term]) for term in set(self._matrix[row].indices.tolist())}
            shared = row_idf.keys() & query.keys()
            if len(shared) < min(2, len(query) + bool(unknown_weight)):
                continue
            if fsum(row_idf[term] for term in shared) < _LEAST * min(query_weight, fsum(row_idf.values())):
                continue
            text = self._texts[row]
            attempts = tuple(sorted(self._attempts[text], key=lambda item: (item.last or "", item.worker)))
            short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
            similar.append(SimilarTask(" ".join(short.split()), round(float(scores[row]), 4), attempts))
            if len(similar) == k:
                break
        return similar


_MOST = 20


@dataclass(frozen=True, order=True)
class Relation:
    """A relation of two things (``calls``, ``worked on``, ...), and the asset that states it."""

    source: str
    kind: str
    target: str
    origin: str


def code_relations(names: Sequence[str], folder: Path) -> list[Relation]:
    """Edges of the code graph at nodes with one of these names, in full or in the last part."""
    file = folder / "edges.parquet"
    if not names or not file.is_file():
        return []
    edges = (
        pl.scan_parquet(file)
        .filter(_is_named("from", names) | _is_named("to", names))
        .select(_endpoint("from"), "relation", _endpoint("to"))
        .unique()
        .sort("from", "relation", "to")
        .head(_MOST)
        .collect()
    )
    return [Relation(start, kind, end, "code_graph") for start, kind, end in edges.iter_rows()]


def logged_relations(names: Sequence[str], tables: Path) -> list[Relation]:
    """Workers who received tasks with one of these names, with counts."""
    file = tables / "features.parquet"
    if not names or not file.is_file():
        return []
    tasks = pl.scan_parquet(file).filter(~pl.col("test_row"))
    relations = []
    for name in names:
        rows = (
            tasks.filter(pl.col("text").str.contains(name, literal=True))
            .group_by("master")
            .agg(pl.len().alias("tasks"))
            .sort("master")
            .collect()
        )
        for master, count in rows.iter_rows():
            kind = "was sent a task about" if count == 1 else f"was sent {count} tasks about"
            relations.append(Relation(master, kind, name, "coordination_tables"))
    return relations[:_MOST]


def _is_named(end: str, names: Sequence[str]) -> pl.Expr:
    """Whether an end of an edge has one of these names, in full or in the last part."""
    called = [name for name in names if language_of(name, "") is None]  # not those of files
    simple = [name.replace("::", ".").rpartition(".")[2] for name in called if "/" not in name]
    path, name = pl.col(f"{end}_path"), pl.col(f"{end}_name")
    in_path = [path.str.ends_with(f"/{name_end}") for name_end in names]
    return pl.any_horizontal(
        name.is_in([*names, *simple]), name.str.extract(r"\W(\w+)$").is_in(simple),
        (name == "") & pl.any_horizontal(path.is_in(names), *in_path),
    ).fill_null(value=False)  # fmt: skip


def _endpoint(end: str) -> pl.Expr:
    path, name = pl.col(f"{end}_path"), pl.col(f"{end}_name")
    return pl.when(name == "").then(path).otherwise(pl.format("{}:{}", path, name)).alias(end)
