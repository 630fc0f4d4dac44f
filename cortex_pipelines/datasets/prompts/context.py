"""Repository context of a unit: its siblings and the definitions it calls.

Prompts of train contain nothing from other splits.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from cortex_pipelines.datasets.prompts.unit_text import LINE_COMMENTS

_KINDS = ("function", "method", "class", "struct", "trait", "interface", "enum")
_CALL = re.compile(r"(?<![\w$.])(?:([\w$]+)\s*(?:\.|::|\?\.)\s*)?([^\W\d][\w$]*)\s*\(")
_SELF = ("self", "cls", "this", "Self", "super")
# Names defined dozens of times in a code base (`run`, `get`) carry no information.
_MOST_HOMONYMS = 8


COLUMNS = ("unit_id", "kind", "language", "source", "path", "context", "start_byte", "end_byte", "split")
"""Columns of a unit that its context depends on."""


def calls_of(units: pl.DataFrame) -> pl.DataFrame:
    """Distinct calls in each unit: column ``calls`` of ``receiver.name``."""
    calls = [[f"{receiver}.{name}" for receiver, name in dict.fromkeys(_CALL.findall(code))] for code in units["code"]]
    return pl.Series("calls", calls, dtype=pl.List(pl.String)).to_frame()


@dataclass(frozen=True, slots=True)
class ReferableDefinition:
    unit_id: str
    source: str
    path: str
    start: int
    kind: str
    name: str
    signature: str
    context: str
    split: str


class RepositoryContext:
    """Signatures of a project by location and by call.

    ``units``: all units of the project: ``CODE_UNITS`` with ``split`` (null if left out).
    """

    def __init__(self, units: pl.DataFrame, max_signatures: int) -> None:
        self._units, self._max_signatures = units, max_signatures

    @cached_property
    def _definitions(self) -> list[ReferableDefinition]:
        rows = self._units.filter(
            pl.col("kind").is_in(_KINDS) & (pl.col("signature") != "") & pl.col("split").is_not_null()
        ).sort("source", "path", "start_byte", "unit_id")
        columns = ("unit_id", "source", "path", "start_byte", "kind", "name", "signature")
        visible = rows.select(*columns, "context", "split").iter_rows()
        return [ReferableDefinition(*row) for row in visible]

    @cached_property
    def _by_location(self) -> dict[tuple[str, str, str], list[ReferableDefinition]]:
        by_location: dict[tuple[str, str, str], list[ReferableDefinition]] = defaultdict(list)
        for definition in self._definitions:
            by_location[definition.source, definition.path, definition.context].append(definition)
        return by_location

    @cached_property
    def _names(self) -> dict[tuple[str, str], list[ReferableDefinition]]:
        names: dict[tuple[str, str], list[ReferableDefinition]] = defaultdict(list)
        for definition in self._definitions:
            names[definition.source, definition.name].append(definition)
        return names

    def lines(self, unit: dict[str, Any], calls: Iterable[str]) -> tuple[str, ...]:
        """Comment lines for a prompt: nearest siblings first, then called definitions."""
        comment = LINE_COMMENTS[unit["language"]]
        comment_lines: dict[str, None] = {}
        for sibling in self._siblings(unit):
            comment_lines[f"{comment} {sibling.signature}"] = None
        for called in self._called(unit, calls):
            path_prefix = "" if called.path == unit["path"] else f"{called.path}: "
            comment_lines[f"{comment} {path_prefix}{called.signature}"] = None
        return tuple(comment_lines)

    def _siblings(self, unit: dict[str, Any]) -> list[ReferableDefinition]:
        siblings = [
            other
            for other in self._by_location.get((unit["source"], unit["path"], unit["context"]), ())
            if self._may_show(unit, other)
        ]
        siblings.sort(key=lambda other: (abs(other.start - unit["start_byte"]), other.start))
        return siblings[: self._max_signatures]

    def _called(self, unit: dict[str, Any], calls: Iterable[str]) -> Iterator[ReferableDefinition]:
        yielded = 0
        for call in calls:
            receiver, _, name = call.rpartition(".")
            homonyms = self._names.get((unit["source"], name), [])
            if receiver in _SELF or len(homonyms) > _MOST_HOMONYMS:
                continue  # a method of the same class is a sibling
            if not receiver:
                homonyms = [other for other in homonyms if other.kind != "method"]
            matches = [other for other in homonyms if other.path == unit["path"]] or homonyms
            if len(matches) == 1 and self._may_show(unit, matches[0]):
                yield matches[0]
                yielded += 1
            if yielded == self._max_signatures:
                return

    def _may_show(self, unit: dict[str, Any], other: ReferableDefinition) -> bool:
        inside = unit["start_byte"] <= other.start < unit["end_byte"]
        same_file = (other.source, other.path) == (unit["source"], unit["path"])
        return other.split in ("train", unit["split"]) and not (inside and same_file)
