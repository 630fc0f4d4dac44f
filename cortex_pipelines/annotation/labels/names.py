"""Labels implied by a unit's name: ``HttpClientAdapter``, ``LoggingMixin``."""

import re
from collections.abc import Iterator
from typing import Any

from cortex_pipelines.annotation.labels.words import words_of

_TYPES = frozenset({"class", "struct", "interface", "trait"})
_OF_TYPES = (
    ("adapter", re.compile(r"\badapter$")),
    ("builder", re.compile(r"\bbuilder$")),
    ("decorator", re.compile(r"\bdecorator$")),
    ("factory", re.compile(r"\bfactory$")),
    ("iterator", re.compile(r"\biterator$")),
    ("mixin", re.compile(r"\bmix ?in$")),
    ("observer", re.compile(r"\b(observer|listener|subscriber)s?$")),
    ("proxy", re.compile(r"\bproxy$")),
    ("repository", re.compile(r"\b(repository|dao)$")),
    ("strategy", re.compile(r"\b(strategy|policy)$")),
    ("visitor", re.compile(r"\bvisitor$")),
    ("singleton", re.compile(r"\bsingleton$")),
)
_OF_FUNCTIONS = (("memoisation", re.compile(r"^memoi[sz]e\b|\bmemoi[sz]ed$")),)


def labels_by_name(unit: dict[str, Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    if unit["kind"] not in _TYPES and unit["kind"] not in ("function", "method"):
        return
    words = words_of(unit["name"])
    end = unit["end_byte"] if unit["body_start_byte"] is None else unit["body_start_byte"]
    for label, form in _OF_TYPES if unit["kind"] in _TYPES else _OF_FUNCTIONS:
        if form.search(words):
            yield label, (unit["start_byte"], max(end, unit["start_byte"] + 1))
