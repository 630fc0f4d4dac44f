"""Features known before a task is routed, free of look-ahead.

Features must not leak the future. The record of a master counts only outcomes that were known
before the decision; outcomes or decisions without a known time do not count.
"""

import re
from bisect import bisect_left, insort
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

import polars as pl

from cortex_pipelines.coordination.settings import LogTableSettings
from cortex_pipelines.schemas.coordination import FEATURES
from cortex_pipelines.words import unseparated_words

_CODE = re.compile(r"\w+_\w+|\w+\(\)|\w+\.\w+|[a-z]+[A-Z]\w*")


@dataclass
class _TrackRecord:
    """Outcomes in the order in which they became known."""

    times: list[datetime] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)


def features(decisions: pl.DataFrame, outcomes: pl.DataFrame, settings: LogTableSettings) -> pl.DataFrame:
    """Feature rows, one per task and master, also for tasks of which no decision was logged."""
    attempts = _attempts(decisions, outcomes)
    masters = _records(outcomes)
    times_by_master: dict[str, list[datetime]] = defaultdict(list)
    for attempt in attempts:
        if attempt["decided_at"] is not None and not attempt["test_row"]:
            insort(times_by_master[attempt["master"]], attempt["decided_at"])
    rows = []
    for attempt in attempts:
        row = dict.fromkeys(FEATURES.schema) | attempt | _of_text(attempt["text"])
        when = attempt["decided_at"]
        if when is not None:
            row |= {"hour": when.hour, "weekday": when.isoweekday()}
            record = masters[attempt["master"]]
            known = row["earlier_outcomes"] = bisect_left(record.times, when)
            recent = record.seconds[max(0, known - settings.recent) : known]
            seconds = [duration for duration in recent if duration is not None]
            row["recent_seconds"] = median(seconds) if seconds else None
            times = times_by_master[attempt["master"]]
            if earlier := bisect_left(times, when):
                row["seconds_since_last"] = (when - times[earlier - 1]).total_seconds()
        rows.append(row)
    return FEATURES.frame(rows)


def _attempts(decisions: pl.DataFrame, outcomes: pl.DataFrame) -> list[dict[str, Any]]:
    columns = ["attempt_id", "task_id", "text", "master", "test_row"]
    records = pl.concat(
        [
            decisions.select(
                *columns, *("decided_at", "occurred_at", "file", "byte_offset"), *("confidence", "priority", "scores")
            ),
            outcomes.filter(pl.col("master").is_not_null()).select(*columns, "occurred_at", "file", "byte_offset"),
        ],
        how="diagonal",
    ).filter(pl.col("attempt_id").is_not_null())
    # In the order of time; a record without one comes last. The first says when; what it does not
    # say is filled from the others, which repeat the same decision in another file.
    rows = records.sort("decided_at", "occurred_at", "file", "byte_offset", nulls_last=True)
    attempts: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        ranked = sorted(row["scores"] or [], reverse=True)
        row["margin"] = ranked[0] - ranked[1] if len(ranked) > 1 else None
        attempt = attempts.setdefault(row["attempt_id"], {name: row[name] for name in _KEPT})
        attempt |= {name: row[name] for name in _FILLED if attempt[name] is None}
        attempt["test_row"] = attempt["test_row"] or row["test_row"]
    texts: dict[str | None, set[str]] = defaultdict(set)  # a task id that is used again has several
    for task_id, text in rows.select("task_id", "text").drop_nulls().iter_rows():
        texts[task_id].add(text)
    for attempt in attempts.values():
        if attempt["text"] is None and len(messages := texts.get(attempt["task_id"], set())) == 1:
            (attempt["text"],) = messages
    return list(attempts.values())


_FILLED = ("task_id", "text", "priority", "confidence", "margin")
_KEPT = ("attempt_id", "master", "decided_at", "test_row", *_FILLED)


def _records(outcomes: pl.DataFrame) -> dict[str, _TrackRecord]:
    known_outcomes = outcomes.filter(
        pl.col("attempt_id").is_not_null()
        & pl.col("success").is_not_null()
        & pl.col("known_at").is_not_null()
        & ~pl.col("test_row")
    ).sort("known_at", "file", "byte_offset")
    masters: dict[str, _TrackRecord] = defaultdict(_TrackRecord)
    counted_attempts = set()
    for row in known_outcomes.iter_rows(named=True):
        if row["attempt_id"] in counted_attempts:
            continue
        counted_attempts.add(row["attempt_id"])
        record = masters[row["master"]]
        record.times.append(row["known_at"])
        record.seconds.append(row["duration_seconds"] or None)
    return masters


def _of_text(text: str | None) -> dict[str, int | None]:
    if text is None:
        return dict.fromkeys(("characters", "words", "code_words", "question"))
    return {
        "characters": len(text),
        "words": len(text.split()) + unseparated_words(text),
        "code_words": len(_CODE.findall(text)),
        "question": int(text.rstrip().endswith("?")),
    }
