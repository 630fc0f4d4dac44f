"""Extract the content of log records of many shapes."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from typing import Any

from cortex_pipelines.coordination.outcome_values import OutcomeReading, read_outcome
from cortex_pipelines.timestamps import Timestamp, TimestampError, read_timestamp

# Where each fact may stand, first come first served. Dots lead into nested objects.
_TEXT = ("task_title", "title", "task.title", "task.description", "task_description", "description")
_TASK_ID = ("task_id", "task.task_id", "correlation_id")
_MASTER = ("routed_to", "decision.primary_expert", "routing.primary_expert", "payload.master", "master")
_CONFIDENCE = ("confidence", "decision.primary_confidence", "routing.primary_confidence", "payload.confidence")
TIME = ("timestamp", "occurred_at", "indexed_at", "created_at", "enriched_metadata.logged_at")
_OUTCOME = ("outcome", "conclusion", "execution.status", "status")
_SUCCESS = ("success", "outcome.success", "execution.success")
# Named like an outcome, but often something else: they count where they are understood.
_MORE_OUTCOMES = ("outcome.status", "outcome.result", "result", "execution.result", "result.status")
_EXIT_CODE = (
    *("exit_code", "exitCode", "exit_status", "return_code", "returncode", "rc"),
    *("execution.exit_code", "outcome.exit_code", "result.exit_code"),
)
_IDEAL = ("outcome.ideal_expert", "ideal_expert")
_PRIORITY = ("priority", "metadata.priority", "task.priority")
_DURATION = ("duration_seconds", "execution.duration_seconds", "duration")
_MADE_BY = ("created_by", "enriched_metadata.logged_by", "logged_by", "source")

DISAGREEMENT = "another field says otherwise and is taken"
NO_NAME = "a number or truth value, not the name of a master"
SEVERAL_MASTERS = "it names several masters"
NO_DURATION = "not a duration in seconds"
_NUMERIC = re.compile(r"[\d.,+-]+")
_WITHOUT_OUTCOME = ("worker_metric", "system_metric", "routing_rules")
"""Kinds whose status is the state of something, not what came of a task."""
_LONGEST_VALUE = 80


@dataclass(frozen=True)
class UnreadField:
    field: str
    value: str
    reason: str


def canonical(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def event_id(payload: str) -> str:
    """Id of the record whose ``canonical`` text is ``payload``."""
    return hashlib.sha256(payload.encode()).hexdigest()


def event(
    record: Mapping[str, Any],
    file: str,
    byte_offset: int,
    aliases: Mapping[str, str],
    test_rows: Sequence[re.Pattern[str]],
) -> dict[str, Any]:
    payload = canonical(record)
    outcome, success = _outcome(record)
    task_id = _text(_first(record, _TASK_ID))
    return {
        "event_id": event_id(payload),
        "kind": kind_of(record, file),
        "file": file,
        "byte_offset": byte_offset,
        "occurred_at": time.at if (time := _time(record)) else None,
        "task_id": task_id,
        "text": _text(_first(record, _TEXT)),
        "master": _master(record, _MASTER, aliases),
        "outcome": outcome,
        "success": success,
        "ideal_master": _master(record, _IDEAL, aliases),
        "confidence": _number(_first(record, _CONFIDENCE), 1.0),
        "priority": _text(_first(record, _PRIORITY)),
        "duration_seconds": _number(_first(record, _DURATION), math.inf),
        "test_row": is_test_row(record, test_rows),
        "payload": payload,
    }


def is_test_row(record: Mapping[str, Any], rules: Sequence[re.Pattern[str]]) -> bool:
    names = [_text(_first(record, _TASK_ID)), *(_text(value_at(record, key)) for key in _MADE_BY)]
    return any(name and rule.search(name) for name in names for rule in rules)


def kind_of(record: Mapping[str, Any], file: str) -> str:
    """Kind of a record by its keys, or by its file where the keys are only counters."""
    for kind, needed in _KINDS:
        if all(value_at(record, key) is not None for key in needed):
            return kind
    if _first(record, _TASK_ID) is not None and _outcome(record)[1] is not None:
        return "outcome"
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


def time_assumption(record: Mapping[str, Any]) -> str | None:
    """What had to be assumed to read the record's time; None if nothing."""
    time = _time(record)
    return time.assumed if time else None


def unread_fields(record: Mapping[str, Any], kind: str) -> list[UnreadField]:
    unread = []
    for field, value in _scalars(record, TIME) if _time(record) is None else ():
        try:
            read_timestamp(value)
        except TimestampError as error:
            unread.append(UnreadField(field, _shortened(value), str(error)))
    if kind in _WITHOUT_OUTCOME:
        return unread
    unread += _unread_master(record)
    for field, value in islice(_scalars(record, _DURATION), 1):
        if _number(value, math.inf) is None:
            unread.append(UnreadField(field, _shortened(value), NO_DURATION))
    _, success = _outcome(record)
    for field, value, reading in _readings(record):
        if success is None and reading.problem is not None:
            unread.append(UnreadField(field, _shortened(value), reading.problem))
        elif success is None and field in _OUTCOME:
            break
        elif field in _OUTCOME and reading.success is (not success):
            unread.append(UnreadField(field, _shortened(value), DISAGREEMENT))
    return unread


def _unread_master(record: Mapping[str, Any]) -> Iterator[UnreadField]:
    if isinstance(several := value_at(record, _MASTER[0]), list) and several:
        yield UnreadField(_MASTER[0], _shortened(", ".join(map(str, several))), SEVERAL_MASTERS)
    for field, value in islice(_scalars(record, _MASTER), 1):
        if isinstance(value, bool) or _NUMERIC.fullmatch(str(value).strip()):
            yield UnreadField(field, _shortened(value), NO_NAME)


def native_task(record: Mapping[str, Any]) -> bool:
    """Whether a record says in the agent system's own names what a task was, and whose."""
    return _first(record, _TEXT) is not None and _master(record, _MASTER, {}) is not None


def _time(record: Mapping[str, Any]) -> Timestamp | None:
    for _, value in _scalars(record, TIME):
        try:
            return read_timestamp(value)
        except TimestampError:
            continue
    return None


def _master(record: Mapping[str, Any], keys: tuple[str, ...], aliases: Mapping[str, str]) -> str | None:
    name = _text(_first(record, keys))
    return aliases.get(name, name) if name and not _NUMERIC.fullmatch(name) else None


def _outcome(record: Mapping[str, Any]) -> tuple[str | None, bool | None]:
    logged = next(_scalars(record, _OUTCOME), None)
    outcome = _word(logged[1]) if logged else None
    for field, value, reading in _readings(record):
        if reading.success is not None:
            if outcome is None and field not in _SUCCESS:
                outcome = f"exit code {_word(value)}" if field in _EXIT_CODE else _word(value)
            return outcome, reading.success
        if field in _OUTCOME and reading.problem is None:
            break  # it is open, whatever else is said
    return outcome, None


def _readings(record: Mapping[str, Any]) -> Iterator[tuple[str, Any, OutcomeReading]]:
    """Fields that say whether a task succeeded, in the order in which they are believed."""
    outcome = islice(_scalars(record, _OUTCOME), 1)
    for field, value in chain(_scalars(record, _SUCCESS), outcome, _scalars(record, _MORE_OUTCOMES)):
        yield field, value, read_outcome(value)
    for field, value in _scalars(record, _EXIT_CODE):
        yield field, value, read_outcome(value, "exit_code")


def _word(value: Any) -> str | None:
    text = str(value) if isinstance(value, bool) else _text(value)
    return text.lower() if text else None


def _shortened(value: Any) -> str:
    return (_word(value) or "")[:_LONGEST_VALUE]


def value_at(record: Mapping[str, Any], dotted: str) -> Any:
    return _value_at(record, _parts(dotted))


def _value_at(record: Mapping[str, Any], parts: Sequence[str]) -> Any:
    node: Any = record
    for part in parts:
        if not isinstance(node, dict):
            return None
        node = node.get(part)
    return node


@cache
def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


@cache  # some forty look-ups per record
def _divided(keys: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, _parts(key)) for key in keys)


def _scalars(record: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, parts in _divided(keys):
        field = _value_at(record, parts)
        if field is not None and not isinstance(field, (dict, list)) and field != "":
            yield key, field


def _first(record: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((field for _, field in _scalars(record, keys)), None)


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # JSON may hold half a surrogate pair, which no UTF-8 table can.
    return str(value).encode("utf-8", "replace").decode("utf-8").strip() or None


def finite_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _number(value: Any, most: float) -> float | None:
    number = finite_number(value)
    return number if number is not None and 0.0 <= number <= most else None
