"""Attempts: one row per task and master, with features and outcome."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import polars as pl

from cortex_pipelines.routing.dataset.labels import normalised

_AMOUNTS = ("duration_seconds", "tokens", "complexity", "complexity_score")


def attempts(
    decisions: pl.DataFrame,
    outcomes: pl.DataFrame,
    features: pl.DataFrame,
    complexity_words: Mapping[str, float] = MappingProxyType({}),
) -> pl.DataFrame:
    """One row per task and master with features and targets, in the order of time.

    Rows from tests, and tasks whose text stands nowhere, are left out. A task that was taken from a master before it
    succeeded there has failed there. A duration or a number of tokens of 0 is one that nobody measured. Adds to the
    columns of ``features``: ``when``, ``known_at`` (when all of the outcome was known), ``cluster`` (the text's words:
    a task that comes again is not independent), ``success`` (0 or 1), ``duration_seconds``, ``tokens``, ``complexity``
    and ``complexity_score``, all nullable. ``complexity_words``: the number of each word of the logs.
    """
    outcome_by_attempt = _outcomes_by_attempt(outcomes, complexity_words)
    of_tasks = outcomes.filter(
        pl.col("master").is_null() & pl.col("task_id").is_not_null() & pl.col("complexity_score").is_not_null()
    ).sort("occurred_at", "file", "byte_offset")
    by_task = {task: {"complexity_score": score} for task, score in of_tasks["task_id", "complexity_score"].iter_rows()}
    reassigned = _reassigned_attempts(decisions)
    rows = []
    for row in features.filter(~pl.col("test_row") & pl.col("text").is_not_null()).iter_rows(named=True):
        outcome = outcome_by_attempt.get(row["attempt_id"], {})
        task_values = by_task.get(row["task_id"] or "", {})
        success, known_at = outcome.get("success"), outcome.get("known_at")
        if success is None and row["attempt_id"] in reassigned:
            success, known_at = False, reassigned[row["attempt_id"]]
        rows.append(
            row
            | {name: outcome.get(name, task_values.get(name)) for name in _AMOUNTS}
            | {
                "success": None if success is None else float(success),
                "when": row["decided_at"] or outcome.get("when"),
                "known_at": known_at,
                "cluster": normalised(row["text"]),
            }
        )
    targets: dict[str, pl.DataType | type[pl.DataType]] = dict.fromkeys(("success", *_AMOUNTS), pl.Float64)
    times = dict.fromkeys(("when", "known_at"), pl.Datetime("us", "UTC"))
    schema = pl.Schema({**features.schema, **targets, **times, "cluster": pl.String})
    return pl.DataFrame(rows, schema=schema, orient="row").sort("when", "attempt_id", nulls_last=False)


def _outcomes_by_attempt(outcomes: pl.DataFrame, complexity_words: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    """The latest record with a value wins; an outcome of which one record has no time is known at no known time."""
    by_time = outcomes.filter(pl.col("attempt_id").is_not_null()).sort(
        "occurred_at", "file", "byte_offset", nulls_last=False
    )
    by_attempt: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in by_time.iter_rows(named=True):
        values = by_attempt[row["attempt_id"]]
        reported = {
            "success": row["success"],
            "duration_seconds": row["duration_seconds"] or None,
            "tokens": row["tokens"] or None,
            "complexity": complexity_words.get((row["complexity"] or "").strip().lower()),
            "complexity_score": row["complexity_score"],
        }
        values.setdefault("when", row["occurred_at"])
        reported = {name: value for name, value in reported.items() if value is not None}
        if reported:
            before = values.get("known_at", row["known_at"])
            values["known_at"] = max(before, row["known_at"]) if before and row["known_at"] else None
        values |= reported
    return dict(by_attempt)


def _reassigned_attempts(decisions: pl.DataFrame) -> dict[str, datetime]:
    """When the task of each such attempt was taken away."""
    steps = decisions.filter(
        pl.col("task_id").is_not_null() & pl.col("decided_at").is_not_null() & ~pl.col("test_row")
    ).sort("decided_at", "file", "byte_offset")
    current: dict[str, tuple[str, str]] = {}
    reassigned: dict[str, datetime] = {}
    for row in steps.iter_rows(named=True):
        previous = current.get(row["task_id"])
        if previous and previous[0] != row["master"]:
            reassigned[previous[1]] = row["decided_at"]
        current[row["task_id"]] = (row["master"], row["attempt_id"])
        reassigned.pop(row["attempt_id"], None)  # it came back
    return reassigned
