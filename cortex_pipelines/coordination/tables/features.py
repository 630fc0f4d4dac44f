"""Features known before a task is routed, free of look-ahead.

Features must not leak the future. The record of a master counts only outcomes that were known
before the decision; outcomes or decisions without a known time do not count.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

import polars as pl

from cortex_pipelines.coordination.tables.settings import LogTableSettings
from cortex_pipelines.schemas.coordination import FEATURES
from cortex_pipelines.words import unseparated_words

_CODE = re.compile(r"\w+_\w+|\w+\(\)|\w+\.\w+|[a-z]+[A-Z]\w*")


@dataclass
class _TrackRecord:
    """Outcomes in the order in which they became known."""

    times: list[datetime] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)

    def before(self, when: datetime, most: int) -> tuple[int, list[float]]:
        count = bisect_left(self.times, when)
        recent = self.seconds[max(0, count - most) : count]
        return count, [seconds for seconds in recent if seconds is not None]


def features(decisions: pl.DataFrame, outcomes: pl.DataFrame, settings: LogTableSettings) -> pl.DataFrame:
    """Feature rows, one per task and master, also for tasks of which no decision was logged."""
    attempts = _attempts(decisions, outcomes)
    masters = _records(outcomes)
    times_by_master = _times_by(attempts, "master")
    rows = []
    for attempt in attempts:
        when, master = attempt["decided_at"], attempt["master"]
        rows.append(
            attempt
            | _of_text(attempt["text"])
            | _of_record(masters.get(master, _TrackRecord()), when, settings.recent)
            | {
                "hour": when.hour if when else None,
                "weekday": when.isoweekday() if when else None,
                "seconds_since_last": _gap(times_by_master[master], when),
            }
        )
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
    texts = _texts(rows)
    for attempt in attempts.values():
        if attempt["text"] is None and len(messages := texts.get(attempt["task_id"], [])) == 1:
            (attempt["text"],) = messages
    return list(attempts.values())


def _texts(rows: pl.DataFrame) -> dict[str | None, list[str]]:
    """Distinct texts of each task id; a reused id has several."""
    texts: dict[str | None, list[str]] = defaultdict(list)
    for row in rows.iter_rows(named=True):
        if row["text"] is not None and row["text"] not in texts[row["task_id"]]:
            texts[row["task_id"]].append(row["text"])
    texts.pop(None, None)
    return dict(texts)


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
    return dict(masters)


def _of_text(text: str | None) -> dict[str, int | None]:
    if text is None:
        return dict.fromkeys(("characters", "words", "code_words", "question"))
    return {
        "characters": len(text),
        "words": len(text.split()) + unseparated_words(text),
        "code_words": len(_CODE.findall(text)),
        "question": int(text.rstrip().endswith("?")),
    }


def _of_record(track_record: _TrackRecord, when: datetime | None, most: int) -> dict[str, float | int | None]:
    if when is None:
        return dict.fromkeys(("earlier_outcomes", "recent_seconds"))
    count, seconds = track_record.before(when, most)
    return {"earlier_outcomes": count, "recent_seconds": median(seconds) if seconds else None}


def _times_by(attempts: Iterable[Mapping[str, Any]], key: str) -> dict[str, list[datetime]]:
    times_by_key: dict[str, list[datetime]] = defaultdict(list)
    for attempt in attempts:
        if attempt["decided_at"] is not None and not attempt["test_row"]:
            times_by_key[attempt[key]].append(attempt["decided_at"])
    return defaultdict(list, {name: sorted(times) for name, times in times_by_key.items()})


def _gap(times: list[datetime], when: datetime | None) -> float | None:
    count = bisect_left(times, when) if when is not None else 0
    return (when - times[count - 1]).total_seconds() if when is not None and count else None
