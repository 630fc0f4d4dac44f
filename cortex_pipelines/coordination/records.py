"""Extract the content of log records of many shapes."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

# Where each fact may stand, first come first served. Dots lead into nested objects.
_TEXT = ("task_title", "title", "task.title", "task.description", "task_description", "description")
_TASK_ID = ("task_id", "task.task_id", "correlation_id")
_MASTER = (
    "routed_to",
    "decision.primary_expert",
    "routing.primary_expert",
    "payload.master",
    "master",
)
_CONFIDENCE = (
    "confidence",
    "decision.primary_confidence",
    "routing.primary_confidence",
    "payload.confidence",
)
_TIME = ("timestamp", "occurred_at", "indexed_at", "created_at", "enriched_metadata.logged_at")
_OUTCOME = ("outcome", "execution.status", "status")
_SUCCESS = ("success", "outcome.success")
_IDEAL = ("outcome.ideal_expert", "ideal_expert")
_PRIORITY = ("priority", "metadata.priority", "task.priority")
_DURATION = ("duration_seconds", "execution.duration_seconds", "duration")
_MADE_BY = ("created_by", "enriched_metadata.logged_by", "logged_by", "source")

_SUCCEEDED = re.compile(r"(success|succeeded|completed|done)(?![a-z])")
_FAILED = re.compile(
    r"(fail|failed|failure|error|timeout|timed_out|re-?routed|reassigned)(?![a-z])"
)


def canonical(record: Mapping[str, Any]) -> str:
    """Canonical JSON of a record: sorted keys, no spaces, ASCII."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def event(
    record: Mapping[str, Any],
    file: str,
    byte_offset: int,
    aliases: Mapping[str, str],
    test_rows: Sequence[re.Pattern[str]],
) -> dict[str, Any]:
    """Row of ``schemas.COORDINATION_EVENTS`` for one record.

    Args:
        record: The record, as parsed.
        file: Log file it stands in, relative to the logs folder.
        byte_offset: Where it begins there.
        aliases: Canonical names of masters by alias.
        test_rows: A record whose task id or author one of these matches comes from a test.
    """
    payload = canonical(record)
    outcome = _text(_first(record, _OUTCOME))
    task_id = _text(_first(record, _TASK_ID))
    return {
        "event_id": hashlib.sha256(payload.encode()).hexdigest(),
        "kind": kind_of(record, file),
        "file": file,
        "byte_offset": byte_offset,
        "occurred_at": moment(_first(record, _TIME)),
        "task_id": task_id,
        "text": _text(_first(record, _TEXT)),
        "master": _master(record, _MASTER, aliases),
        "outcome": outcome.lower() if outcome else None,
        "success": _success(record, outcome),
        "ideal_master": _master(record, _IDEAL, aliases),
        "confidence": _number(_first(record, _CONFIDENCE), 1.0),
        "priority": _text(_first(record, _PRIORITY)),
        "duration_seconds": _number(_first(record, _DURATION), math.inf),
        "test_row": is_test_row(record, test_rows),
        "payload": payload,
    }


def is_test_row(record: Mapping[str, Any], rules: Sequence[re.Pattern[str]]) -> bool:
    """Whether a rule matches the record's task id or author."""
    names = [_text(_first(record, _TASK_ID)), *(_text(_at(record, key)) for key in _MADE_BY)]
    return any(name and rule.search(name) for name in names for rule in rules)


def kind_of(record: Mapping[str, Any], file: str) -> str:
    """Kind of a record by its keys, or by its file where the keys are only counters."""
    for kind, needed in _KINDS:
        if all(_at(record, key) is not None for key in needed):
            return kind
    name = file.rsplit("/", 1)[-1]
    if name.startswith("worker"):
        return "worker_metric"
    return "system_metric" if "metric" in file or name.endswith("-history.jsonl") else "other"


_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("outcome", ("routing.primary_expert", "outcome")),
    ("decision", ("decision.primary_expert",)),
    ("decision", ("routing.primary_expert",)),
    ("decision", ("routed_to",)),
    ("event", ("event_type",)),
    ("outcome", ("task_id", "master", "success")),
    ("model_selection", ("model", "provider")),
    ("evaluation", ("score", "outcome")),
    ("worker_metric", ("worker_id",)),
    ("routing_rules", ("experts", "thresholds")),
)


def moment(value: Any) -> datetime | None:
    """Parse a time stamp as UTC: with ``Z``, ``+0000``, ``-06:00``, or none, which means UTC."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _master(
    record: Mapping[str, Any], places: Sequence[str], aliases: Mapping[str, str]
) -> str | None:
    name = _text(_first(record, places))
    return aliases.get(name, name) if name else None


def _success(record: Mapping[str, Any], outcome: str | None) -> bool | None:
    success = _first(record, _SUCCESS)
    if isinstance(success, bool):
        return success
    return None if outcome is None else said_success(outcome)


def said_success(outcome: str) -> bool | None:
    """Whether a task succeeded, by the word for its outcome; None if that does not say."""
    if _SUCCEEDED.match(outcome.lower()):
        return True
    return False if _FAILED.match(outcome.lower()) else None


def _at(record: Mapping[str, Any], dotted: str) -> Any:
    node: Any = record
    for part in _PARTS[dotted]:
        if not isinstance(node, dict):
            return None
        node = node.get(part)
    return node


class _Parts(dict[str, tuple[str, ...]]):
    """Cached parts of dotted names, for some forty look-ups per record."""

    def __missing__(self, dotted: str) -> tuple[str, ...]:
        parts = self[dotted] = tuple(dotted.split("."))
        return parts


_PARTS = _Parts()


def _first(record: Mapping[str, Any], places: Sequence[str]) -> Any:
    """First scalar in one of the places."""
    for place in places:
        field = _at(record, place)
        if field is not None and not isinstance(field, (dict, list)) and field != "":
            return field
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # JSON may hold half a surrogate pair, which no UTF-8 table can.
    return str(value).encode("utf-8", "replace").decode("utf-8").strip() or None


def _number(value: Any, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0.0 <= number <= most and math.isfinite(number) else None
