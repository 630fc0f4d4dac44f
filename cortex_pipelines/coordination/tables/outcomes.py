"""Outcomes of tasks: success, duration, tokens, quality, complexity."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from cortex_pipelines.coordination.tables.fields import attempt_id, first_number, first_text
from cortex_pipelines.schemas.coordination import OUTCOMES

_QUALITY = ("outcome.quality_score", "quality_score", "quality")
_TOKENS = (
    *("tokens_used", "total_tokens", "tokens", "token_count"),
    *("execution.tokens_used", "execution.total_tokens", "execution.tokens"),
    *("usage.total_tokens", "metrics.tokens_used", "payload.tokens_used"),
)
_COMPLEXITY = ("task.complexity", "complexity")
_COMPLEXITY_SCORE = ("complexity_score", "task.complexity_score", "task.complexity", "complexity")


def outcomes(events: pl.DataFrame) -> pl.DataFrame:
    """Outcomes, the choice of a model for a task, and decisions completed with an outcome later."""
    outcome_kinds = pl.col("kind").is_in(["outcome", "model_selection"])
    completed = pl.col("kind").is_in(["decision", "event"]) & (
        pl.col("success").is_not_null() | pl.col("outcome").is_not_null() | pl.col("duration_seconds").is_not_null()
    )
    rows = events.filter(outcome_kinds | completed).iter_rows(named=True)
    return OUTCOMES.frame([_row(event, json.loads(event["payload"])) for event in rows])


def _row(event: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    quality = first_number(record, _QUALITY)
    tokens = first_number(record, _TOKENS)
    copied = ("event_id", "kind", "task_id", "text", "master", "occurred_at", "outcome", "success")
    more = ("duration_seconds", "ideal_master", "file", "byte_offset", "test_row")
    return {name: event[name] for name in (*copied, *more)} | {
        "attempt_id": attempt_id(event["task_id"], event["text"], event["master"]),
        "known_at": known_at(event),
        "tokens": tokens if tokens is not None and tokens >= 0 else None,
        "quality": quality,
        "complexity": first_text(record, _COMPLEXITY),
        "complexity_score": first_number(record, _COMPLEXITY_SCORE),
        "model": first_text(record, ("model",)),
        "tier": first_text(record, ("tier",)),
    }


def known_at(event: Mapping[str, Any]) -> datetime | None:
    """Latest time at which the outcome became known; None if the record does not say.

    An outcome entered into a decision keeps the decision's time, at which it was not known yet.
    """
    when: datetime | None = event["occurred_at"]
    if event["kind"] in ("outcome", "model_selection") or when is None:
        return when
    seconds = event["duration_seconds"]
    try:
        return None if seconds is None else when + timedelta(seconds=seconds)
    except OverflowError:
        return None
