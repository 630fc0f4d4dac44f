"""Infer a column's kind from the values of both samples together.

The judgement must not depend on which sample a value is from: else a test that it leads to would no
longer keep its rate of false alarms.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from cortex_pipelines.timestamps import is_timestamp

Kind = Literal["number", "category", "text", "time", "identifier", "constant"]
"""``time`` and ``identifier`` differ between any two samples, so they are named and not tested."""


@dataclass(frozen=True)
class TwoSampleTest:
    test: str
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Feature:
    """A column in both samples; fields of an object are named ``object.field``.

    The p-value is that before Holm's correction, by which it drifts or not; None if not compared.
    """

    name: str
    kind: Kind
    test: str | None
    statistic: float | None
    p_value: float | None
    drift: bool


@dataclass(frozen=True)
class Drift:
    """Comparison of two samples, with the share of the compared columns that drift."""

    drift: bool
    share: float
    features: tuple[Feature, ...]


_FEW = 10  # different numbers up to which a number is a category, like a grade or a status
_FEW_TEXTS = 30
_REPEATED = 0.1  # different texts, and share of different texts, up to which a text is a category
_NAMES = 0.5  # share of different words up to which a single word is a category, like a city
_IDENTIFIER = re.compile(r"(?=.*\d)[A-Za-z]{0,12}[-_:#/.]?[0-9A-Fa-f-]+")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*")
_LONGEST_NUMBER = 40
_NOTHING = frozenset({"", "-", "nan", "null", "none", "n/a", "na"})
_EPOCHS = tuple((1e9 * unit, 4.2e9 * unit) for unit in (1, 1e3, 1e6, 1e9))
"""Of time stamps in seconds, ms, µs and ns: the years 2001 to 2103."""
_NAME_OF_TIME = re.compile(r"(^|[^a-z])(ts|time|timestamp|date|at|when|epoch|created|updated)($|[^a-z])")


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A record with the fields of its objects as ``object.field``, and lists as JSON text."""
    values: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            values |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            values[prefix + key] = json.dumps(value, sort_keys=True, default=str)
        elif isinstance(value, float | Decimal) and math.isnan(value):
            values[prefix + key] = None
        elif isinstance(value, Decimal):
            values[prefix + key] = float(value)
        else:
            values[prefix + key] = value
    return values


def as_values(values: Sequence[Any]) -> list[Any]:
    """A column's values of both samples as what they are, however a writer put them down.

    Numbers that stand as text in both samples, in one, or here and there are numbers, and `true` is
    a truth value. Beside numbers, an empty text or a word for nothing is a missing value.
    """
    if all(str(value).lower() in ("true", "false") for value in values if value is not None):
        return [str(value).lower() == "true" if value is not None else None for value in values]
    plain = [None if isinstance(value, str) and value.strip().lower() in _NOTHING else value for value in values]
    present = [value for value in plain if value is not None]
    if not present or not all(_is_number(value) for value in present):
        return list(values)
    match_integer = re.compile(r"\s*[+-]?\d+\s*").fullmatch
    return [
        (int(value) if match_integer(value) else float(value)) if isinstance(value, str) else value for value in plain
    ]


def _is_number(value: Any) -> bool:
    # a code such as 00417 is not a quantity
    if not isinstance(value, str):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return (
        len(value) <= _LONGEST_NUMBER
        and _NUMBER.fullmatch(value) is not None
        and re.match(r"\s*[+-]?0\d", value) is None
    )


def kind_of(name: str, reference: Sequence[Any], current: Sequence[Any]) -> Kind:
    """Kind of a column; its name tells a time stamp in seconds from another number."""
    values = [*reference, *current]
    different = len({(type(value) is bool, value) for value in values})
    if different <= 1:
        return "constant"
    if all(isinstance(value, date | time | timedelta) for value in values):
        return "time"
    if all(_is_number(value) and not isinstance(value, str) for value in values):
        # each a whole number above the one before it: a key or a counter
        if all(
            len(sample) > _FEW
            and all(isinstance(value, int) for value in sample)
            and all(before < after for before, after in pairwise(sample))
            for sample in (reference, current)
        ):
            return "identifier"
        if _stamps(name, reference, current):
            return "time"
        return "category" if different <= _FEW else "number"
    if all(is_timestamp(value) for value in values):
        return "time"
    texts = [as_text(value) for value in values]
    if different <= max(_FEW_TEXTS, _REPEATED * len(texts)) and different < _NAMES * len(texts):
        return "category"
    if all(_IDENTIFIER.fullmatch(text) for text in texts):
        return "identifier"
    several_words = sum(len(text.split()) > 1 for text in texts) / len(texts)
    return "category" if several_words < _NAMES and different <= _NAMES * len(texts) else "text"


def _stamps(name: str, *samples: Sequence[Any]) -> bool:
    """Whether numbers are time stamps: of recent decades, and named so or in the order of time."""
    values = [value for sample in samples for value in sample]
    if not all(any(low <= value < high for low, high in _EPOCHS) for value in values):
        return False
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    return _NAME_OF_TIME.search(words) is not None or all(
        before <= after for sample in samples for before, after in pairwise(sample)
    )


def as_text(value: Any) -> str:
    """A value of mixed type as text, the same for 3 and 3.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
