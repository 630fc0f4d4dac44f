"""Routing decisions, with the router's confidence."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from cortex_pipelines.coordination.records import finite_number, value_at
from cortex_pipelines.schemas.coordination import DECISIONS, OUTCOMES

MOST_LABEL = 200  # characters of a label that are kept: labels are words such as ``stuck``, not texts


def attempt_id(task_id: str | None, text: str | None, master: str | None) -> str | None:
    """Hash shared by the records of one task at one master.

    None where they cannot be told to belong together: no master, or neither id nor text.
    """
    task = task_id or (" ".join(text.casefold().split()) if text else None)
    if task is None or master is None:
        return None
    kind = "id" if task_id else "text"
    return hashlib.sha256(json.dumps([kind, task, master]).encode()).hexdigest()


def first_text(record: Mapping[str, Any], paths: Sequence[str]) -> str | None:
    texts = (value_at(record, path) for path in paths)
    return next((text for text in texts if isinstance(text, str) and text.strip()), None)


def first_number(record: Mapping[str, Any], paths: Sequence[str]) -> float | None:
    numbers = (finite_number(value_at(record, path)) for path in paths)
    return next((value for value in numbers if value is not None), None)


def leaves(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each field; a list is one value, an empty object has none."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def number_or_label(value: Any) -> tuple[float | None, str | None]:
    """A field as a number or else as a label; booleans are 1 or 0."""
    if isinstance(value, bool):
        return float(value), None
    quantity = finite_number(value)
    if quantity is not None or value is None:
        return quantity, None
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return None, text.encode("utf-8", "replace").decode("utf-8")[:MOST_LABEL]


_SCORES = ("decision.scores", "routing.all_scores", "payload.scores", "scores")
_STRATEGY = ("decision.strategy", "routing.strategy", "routing_strategy", "rule_used")
_PROPENSITY = ("propensity", "decision.propensity", "routing.propensity", "payload.propensity")

_MODEL = ("model_version", "decision.model_version", "routing.model_version")


def decisions(events: pl.DataFrame, aliases: Mapping[str, str]) -> pl.DataFrame:
    kinds = pl.col("kind").is_in(["decision", "event", "outcome"])
    rows = []
    for event in events.filter(pl.col("master").is_not_null() & kinds).iter_rows(named=True):
        record = json.loads(event["payload"])
        if event["kind"] == "outcome" and value_at(record, "routing.primary_expert") is None:
            continue
        raw_scores = next((value for path in _SCORES if isinstance(value := value_at(record, path), dict)), {})
        scores = {aliases.get(name, name): finite_number(score) for name, score in sorted(raw_scores.items())}
        scores = {name: score for name, score in sorted(scores.items()) if score is not None}
        propensity = first_number(record, _PROPENSITY)
        copied = ("event_id", "kind", "task_id", "text", "master", "occurred_at", "confidence")
        row = {name: event[name] for name in (*copied, "priority", "file", "byte_offset", "test_row")} | {
            "attempt_id": attempt_id(event["task_id"], event["text"], event["master"]),
            "decided_at": decided_at(event),
            "strategy": first_text(record, _STRATEGY),
            "propensity": propensity if propensity is not None and 0 < propensity <= 1 else None,
            "model_version": first_text(record, _MODEL),
            "scored_masters": list(scores),
            "scores": list(scores.values()),
        }
        rows.append(row)
    return DECISIONS.frame(rows)


def decided_at(event: Mapping[str, Any]) -> datetime | None:
    """Time of the decision; outcomes are logged at the end, so their duration is subtracted."""
    when: datetime | None = event["occurred_at"]
    return _moved(when, event["duration_seconds"], -1) if event["kind"] == "outcome" else when


def _moved(when: datetime | None, seconds: float | None, direction: int) -> datetime | None:
    try:
        return when + direction * timedelta(seconds=seconds) if when is not None and seconds is not None else None
    except OverflowError:
        return None


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
    copied = (
        *("event_id", "kind", "task_id", "text", "master", "occurred_at", "outcome", "success"),
        *("duration_seconds", "ideal_master", "file", "byte_offset", "test_row"),
    )
    rows = []
    for event in events.filter(outcome_kinds | completed).iter_rows(named=True):
        record = json.loads(event["payload"])
        tokens = first_number(record, _TOKENS)
        row = {name: event[name] for name in copied} | {
            "attempt_id": attempt_id(event["task_id"], event["text"], event["master"]),
            "known_at": known_at(event),
            "tokens": tokens if tokens is not None and tokens >= 0 else None,
            "quality": first_number(record, _QUALITY),
            "complexity": first_text(record, _COMPLEXITY),
            "complexity_score": first_number(record, _COMPLEXITY_SCORE),
            "model": first_text(record, ("model",)),
            "tier": first_text(record, ("tier",)),
        }
        rows.append(row)
    return OUTCOMES.frame(rows)


def known_at(event: Mapping[str, Any]) -> datetime | None:
    """Latest time at which the outcome became known; None if the record does not say.

    An outcome entered into a decision keeps the decision's time, at which it was not known yet.
    """
    when: datetime | None = event["occurred_at"]
    return when if event["kind"] in ("outcome", "model_selection") else _moved(when, event["duration_seconds"], 1)
