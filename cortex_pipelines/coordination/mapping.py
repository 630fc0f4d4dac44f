"""Read records of other programs by a mapping of the seven facts about a task to their keys (``coordination.map``)."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from cortex_pipelines.coordination.formats import LogRecords, is_native_name
from cortex_pipelines.coordination.outcome_values import OutcomeReading, read_outcome
from cortex_pipelines.coordination.records import canonical, native_task
from cortex_pipelines.coordination.settings import Fact

FACTS: tuple[Fact, ...] = ("task", "master", "outcome", "time", "duration", "tokens", "id")
NAMES: Mapping[Fact, str] = {
    "task": "task_title",
    "master": "routed_to",
    "outcome": "outcome",
    "time": "timestamp",
    "duration": "duration_seconds",
    "tokens": "tokens_used",
    "id": "task_id",
}
"""Name of each fact in the records that the agent system itself writes."""

_NOTHING = frozenset({"", "null", "none", "nan", "n/a", "na", "-", "undefined", "(none)"})
_NOBODY = _NOTHING | {"unassigned", "nobody", "user", "user_proxy", "finish", "__end__"}
"""A user only asks; LangGraph's supervisors end with the last two."""
DateOrder = Literal["day first", "month first"] | None
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+,(?:\d\d?|\d{4,})|(?:0|\d{4,}),\d+|\d{1,3}(?:\.\d{3})+,\d+)(?![\d.,])")
"""A number whose comma cannot separate thousands: ``150,7`` and ``1.234,567``, not ``1,500``."""
_DATE = re.compile(r"^(\d{1,2})([/-])(\d{1,2})\2(\d{4})\b")
_SHORT_YEAR = re.compile(r"^(\d{1,2})[/ -]([A-Z][a-z]{2})[/ -](\d\d)\b(?!:)")
"""``12/Mar/26``, as Jira exports days."""
_EXIT_CODE = re.compile(r"(?:^|[._ ])(?:exit|return)[_ ]?(?:code|status)$|(?:^|\.)rc$", re.IGNORECASE)
_FAILURE = re.compile(
    r"(?:^|[._ ])(?:failed|failures?|(?:is|has)_?(?:errors?|failed)|errors?|errored|exception"
    r"|(?:error|failure)s?_?count|error[._]?message)$",
    re.IGNORECASE,
)


def mapped_log(name: str, read: LogRecords, mapping: Mapping[Fact, str]) -> bytes:
    """A log as JSON lines of the agent system's own form, each record on the line where it stands in the original.

    Records without the mapping's task and master are kept as they are if the file's own form is JSON lines, and left
    out otherwise: among a system's JSON files there are many that are no logs.
    """
    is_native = is_native_name(name)
    notation = notation_of([record for _, record in read.records], mapping)
    lines: list[tuple[int, str]] = []
    for line, record in read.records:
        mapped = mapped_record(record, mapping, notation)
        if mapped is not None or is_native:
            lines.append((line, canonical(record if mapped is None else mapped)))
    # not JSON, so that they are refused with their line
    lines += [(line, f"({reason})".replace("{", "(")) for line, reason in read.refused]
    return on_lines(lines)


def on_lines(texts: Sequence[tuple[int, str]]) -> bytes:
    """Texts without line breaks, each on its line, as far as lines are in order."""
    parts, at = [], 1
    for line, text in sorted(texts, key=lambda item: item[0]):
        parts.append("\n" * max(0, line - at) + text)
        at = max(at, line)
    return ("".join(parts) + "\n").encode("ascii", "replace") if parts else b""


_LABEL = re.compile(
    r"(?:area|component|comp|team|sig|agent|squad|module|domain|owner|department|scope|package)s?\s*[:/]", re.IGNORECASE
)
"""What begins a label that says where an issue belongs, among others that say of what kind or how urgent it is."""
_KIND = re.compile(
    r"(?:kind|type|priority|severity|status)s?\s*[:/].*|p[0-4]|bug|documentation|duplicate|enhancement|good first issue"
    r"|help wanted|invalid|question|wontfix",
    re.IGNORECASE,
)
"""Labels of kind, urgency or state, among them all that a new repository has
(https://docs.github.com/en/issues/using-labels-and-milestones-to-track-work/managing-labels#about-default-labels)."""


def belonging_label(labels: Any) -> Any:
    """Of several labels the one that begins with ``area/``, ``team:`` or the like, where one does; else all."""
    if not isinstance(labels, list):
        return labels
    masters = list(filter(says_where, labels))
    return masters[0] if len(masters) == 1 else labels


def says_where(label: Any) -> bool:
    return isinstance(label, str) and bool(_LABEL.match(label))


@dataclass(frozen=True)
class Notation:
    """Which comes first in ``03/04/2026``, and whether ``1,500`` is 1.5: other records of the same file often say it.

    ``dates`` is None, and ``decimal_comma`` false, if none does.
    """

    dates: DateOrder = None
    decimal_comma: bool = False


def mapped_record(
    record: Mapping[str, Any], mapping: Mapping[Fact, str], notation: Notation = Notation()
) -> dict[str, Any] | None:
    """The facts under the agent system's own names; None for a record that is not one of those mapped.

    They are those about a task or a master, and outcomes that have only the id of the task.
    """
    fields = dict(flattened(record))
    present = [fact for fact in FACTS if _holds(fields, mapping.get(fact))]
    names_task = sum(fact in present for fact in ("task", "master"))
    if not (names_task or {"id", "outcome"} <= set(present)) or (names_task < 2 and native_task(record)):
        return None
    # whatever is missing in it, the record is about a task
    mapped: dict[str, Any] = {"event_type": "task"} if names_task else {}
    for fact, key in mapping.items():
        if key not in fields:
            continue
        value = _fact(fact, key, fields[key], notation)
        if value is not None:
            name = "exit_code" if fact == "outcome" and _EXIT_CODE.search(key) else NAMES[fact]
            mapped[name] = value
    return mapped


def _holds(fields: Mapping[str, Any], key: str | None) -> bool:
    return key is not None and (key in fields or any(name.startswith(f"{key}.") for name in fields))


def flattened(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of a record, dots lead into nested objects; a list of one is its element, {} is null."""
    for name, field in value.items():
        key = f"{prefix}{name}"
        if isinstance(field, list):
            field = [item for item in field if item is not None]
            field = field[0] if len(field) == 1 else field or None
        if isinstance(field, Mapping) and field:
            yield from flattened(field, f"{key}.")
        elif isinstance(field, list) and all(isinstance(item, Mapping) for item in field):
            columns: dict[str, list[Any]] = {}
            for item in field:
                for inner, content in flattened(item, f"{key}."):
                    columns.setdefault(inner, []).append(content)
            yield from ((inner, contents[0] if len(contents) == 1 else contents) for inner, contents in columns.items())
        else:
            yield key, field or None if isinstance(field, Mapping) else field


def notation_of(records: Sequence[Mapping[str, Any]], mapping: Mapping[Fact, str]) -> Notation:
    keys = [mapping[fact] for fact in ("time", "duration", "tokens") if fact in mapping]
    fields = [dict(flattened(record)) for record in records] if keys else []
    texts = {key: [text for record in fields if isinstance(text := record.get(key), str)] for key in keys}
    dates = [date for text in texts.pop(mapping.get("time", ""), ()) if (date := _DATE.match(text))]
    first, second = (any(int(date[number]) > 12 for date in dates) for number in (1, 3))
    order: DateOrder = None if first == second else "day first" if first else "month first"
    return Notation(order, any(_DECIMAL_COMMA.match(text.strip()) for column in texts.values() for text in column))


def _iso_date(date: re.Match[str], order: DateOrder) -> str:
    day, month = (date[1], date[3]) if order == "day first" else (date[3], date[1])
    return f"{date[4]}-{int(month):02d}-{int(day):02d}"


def mapped_outcome(key: str, value: Any) -> OutcomeReading:
    """The outcome by a key that may mean an exit code, or what failed: then nothing, 0 and false are success."""
    if _EXIT_CODE.search(key):
        return read_outcome(value, "exit_code")
    if not _FAILURE.search(key):
        return read_outcome(value)
    text = "" if value is None else str(value).strip().lower()
    if text not in _NOTHING and (reading := read_outcome(value)).success is None and reading.problem is None:
        return reading  # `failed: pending`
    return OutcomeReading(text in _NOTHING | {"0", "0.0", "false", "no", "f", "n"})


def _fact(fact: Fact, key: str, value: Any, notation: Notation) -> Any:
    if fact == "outcome" and _FAILURE.search(key):
        success = mapped_outcome(key, value).success
        return value if success is None else success
    if isinstance(value, str) and value.strip().lower() in (_NOBODY if fact == "master" else _NOTHING):
        return None
    match fact:
        case "master":
            label = belonging_label(value)
            is_kind = isinstance(label, str) and "label" in key.lower() and _KIND.fullmatch(label.strip())
            return None if is_kind else label
        case "task":
            value = " ".join(map(str, value)) if isinstance(value, list) else value
            # a number is no task; what stands there is a key that was taken for another
            return value if isinstance(value, str) and re.search(r"[^\W\d_]", value) else None
        case "duration":
            seconds = duration_seconds(value, key, notation.decimal_comma)
            return value if seconds is None else seconds
        case "tokens":
            return _number(value, notation.decimal_comma)
        case "time" if isinstance(value, str):
            if notation.dates:
                value = _DATE.sub(lambda date: _iso_date(date, notation.dates), value)
            return _SHORT_YEAR.sub(r"\1 \2 20\3", value)
        case _:
            return value


_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT = re.compile(
    r"(?:^|[\s_.(\d])(?:(ms|msecs?|millis|milliseconds?)|(s|secs?|seconds?)|(m|mins?|minutes?)"
    r"|(h|hrs?|hours?)|(d|days?))\)?$",
    re.IGNORECASE,
)
_PART = re.compile(r"\s*(\d+(?:[.,]\d+)*)\s*([a-zA-Z]+)")
_TIMEDELTA = TypeAdapter(timedelta)


def duration_seconds(value: Any, key: str, decimal_comma: bool = False) -> float | None:
    """A number in the unit that ends its key (``duration_ms``; else seconds), ``1h 5m``, ``00:05:12`` or ``PT5M``."""
    if (number := _number(value, decimal_comma)) is not None:
        unit = _UNIT.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key))
        return number * _factor(unit)
    if not isinstance(value, str) or len(value) > 50:
        return None
    parts = list(_PART.finditer(value))
    if parts and "".join(part[0] for part in parts) == value.rstrip():
        units = [_UNIT.search(f" {part[2]}") for part in parts]
        amounts = [_number(part[1], decimal_comma) for part in parts]
        if not all(units) or None in amounts:
            return None
        return math.fsum((amount or 0) * _factor(unit) for amount, unit in zip(amounts, units, strict=True))
    try:
        return float(_TIMEDELTA.validate_python(value).total_seconds())
    except ValidationError:
        return None


def _factor(unit: re.Match[str] | None) -> float:
    return list(_UNITS.values())[unit.lastindex - 1] if unit and unit.lastindex else 1.0


def _number(value: Any, decimal_comma: bool = False) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(_with_point(value.strip(), decimal_comma)) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(number, float) and not math.isfinite(number):
        return None
    return int(number) if number == int(number) else number


def _with_point(text: str, decimal_comma: bool) -> str:
    if text.count(",") < 2 and (decimal_comma or _DECIMAL_COMMA.match(text)):
        return re.sub(r"\.(?=\d{3}(?!\d))", "", text).replace(",", ".")
    return text.replace(",", "")
