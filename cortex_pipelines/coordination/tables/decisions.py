"""Routing decisions, with the router's confidence."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from cortex_pipelines.coordination.tables.fields import attempt_id, first_text, number, value_at
from cortex_pipelines.schemas.coordination import DECISIONS

_SCORES = ("decision.scores", "routing.all_scores", "payload.scores", "scores")
_STRATEGY = ("decision.strategy", "routing.strategy", "routing_strategy", "rule_used")
_PROPENSITY = ("propensity", "decision.propensity", "routing.propensity", "payload.propensity")

_MODEL = ("model_version", "decision.model_version", "routing.model_version")


def decisions(events: pl.DataFrame, aliases: Mapping[str, str]) -> pl.DataFrame:
    decision_events = events.filter(
        pl.col("master").is_not_null() & pl.col("kind").is_in(["decision", "event", "outcome"])
    )
    read = [(event, json.loads(event["payload"])) for event in decision_events.iter_rows(named=True)]
    return DECISIONS.frame(
        [
            _row(event, record, aliases)
            for event, record in read
            if event["kind"] != "outcome" or value_at(record, "routing.primary_expert") is not None
        ]
    )


def _row(event: Mapping[str, Any], record: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    scores = _scores(record, aliases)
    propensity = next((value for path in _PROPENSITY if (value := number(value_at(record, path))) is not None), None)
    copied = ("event_id", "kind", "task_id", "text", "master", "occurred_at", "confidence")
    return {name: event[name] for name in (*copied, "priority", "file", "byte_offset", "test_row")} | {
        "attempt_id": attempt_id(event["task_id"], event["text"], event["master"]),
        "decided_at": decided_at(event),
        "strategy": first_text(record, _STRATEGY),
        "propensity": propensity if propensity is not None and 0 < propensity <= 1 else None,
        "model_version": first_text(record, _MODEL),
        "scored_masters": list(scores),
        "scores": list(scores.values()),
    }


def decided_at(event: Mapping[str, Any]) -> datetime | None:
    """Time of the decision; outcomes are logged at the end, so their duration is subtracted."""
    when: datetime | None = event["occurred_at"]
    if event["kind"] != "outcome" or when is None:
        return when
    seconds = event["duration_seconds"]
    try:
        return None if seconds is None else when - timedelta(seconds=seconds)
    except OverflowError:
        return None


def _scores(record: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, float]:
    raw_scores = next((value for path in _SCORES if isinstance(value := value_at(record, path), dict)), {})
    scores = {
        aliases.get(name, name): value
        for name, score in sorted(raw_scores.items())
        if (value := number(score)) is not None
    }
    return dict(sorted(scores.items()))
