"""What of a file is shown: a place whole, by its signatures, or by its first lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cortex_pipelines.damage import Damage, attempt
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import units_of
from cortex_pipelines.retrieval.encoder_text import ISSUE, UNITS
from cortex_pipelines.syntax.grammars import PARSED

_FUNCTIONS = ("function", "method")
_MOST_HEADER = 15
"""Lines of a signature with its documentation."""
_MOST_SIGNATURE = 3
_ENDS = ("{", ":", ";", "}")
"""What the last line of a signature ends with."""


@dataclass(frozen=True)
class DocumentLocation:
    """A document's place in its file.

    Args:
        kind: Kind of document.
        name: Its name.
        start_line: First line, from 1.
        end_line: Last line, inclusive.
    """

    kind: str
    name: str
    start_line: int
    end_line: int


class Excerpts:
    """One file, of which lines are chosen by number, from 1.

    Args:
        text: Its text.
        path: Its path.
        language: Its language.
        places: Where the index has its documents.
        settings: How it is parsed.
    """

    def __init__(
        self,
        text: str,
        path: str,
        language: str | None,
        places: Sequence[DocumentLocation],
        settings: ExtractionSettings,
    ) -> None:
        self.lines = text.split("\n")
        self._text, self._path, self._language = text, path, language
        self._places, self._settings = places, settings

    @cached_property
    def _units(self) -> dict[tuple[str, int], Unit]:
        """Units by name and first line."""
        if self._language not in PARSED:
            return {}
        language, path = str(self._language), self._path
        units = attempt(lambda: units_of(self._text, language, path, self._settings))
        if isinstance(units, Damage):
            return {}
        return {(u.qualified_name, u.start_line): u for u in units if u.kind in UNITS}

    def located(self, place: DocumentLocation) -> DocumentLocation | None:
        """Where a place is now that its file has changed; None if that cannot be known."""
        if place.kind == "file":
            return replace(place, end_line=len(self.lines))
        for unit in self._units.values():
            if (unit.kind, unit.qualified_name) == (place.kind, place.name):
                return DocumentLocation(
                    unit.kind, unit.qualified_name, unit.start_line, unit.end_line
                )
        return None

    def all(self) -> list[int]:
        """All lines."""
        return self._kept(range(1, len(self.lines) + 1))

    def whole(self, place: DocumentLocation) -> list[int]:
        """All lines of a place; of what is in no unit, the lines that are in none."""
        numbers = range(place.start_line, place.end_line + 1)
        if place.kind != "file":
            return self._kept(numbers)
        covered = {
            number
            for other in self._places
            if other.kind in UNITS
            for number in range(other.start_line, other.end_line + 1)
        }
        return self._kept(number for number in numbers if number not in covered)

    def outline(self, place: DocumentLocation) -> list[int]:
        """Signature and documentation of a place, and the signatures of what is in it."""
        if place.kind in ("section", ISSUE):
            return []
        inner = [
            self._name_line(other)
            for other in self._places
            if other.kind in UNITS
            and place.start_line <= other.start_line
            and other.end_line <= place.end_line
            and other != place
        ]
        end = self._header_end(place)
        if place.kind not in _FUNCTIONS:  # what a type declares before its first method
            end = max(end, min(inner, default=place.end_line + 1) - 1)
        end = min(end, place.end_line, place.start_line + _MOST_HEADER - 1)
        return self._kept({*range(place.start_line, end + 1), *inner})

    def signature(self, place: DocumentLocation) -> list[int]:
        """The lines that name a place, at most a few."""
        if place.kind not in UNITS:
            return self.whole(place)[:1]
        first = last = self._name_line(place)
        most = min(place.end_line, first + _MOST_SIGNATURE - 1, len(self.lines))
        while last < most and not self.lines[last - 1].rstrip().endswith(_ENDS):
            last += 1
        return self._kept(range(first, last + 1))

    def show(self, numbers: Sequence[int]) -> str:
        """The lines, and between them which are left out."""
        shown: list[str] = []
        before = None
        for number in numbers:
            if before is not None and number > before + 1:
                shown.append(f"… {before + 1}-{number - 1}")
            shown.append(self.lines[number - 1].rstrip())
            before = number
        return "\n".join(shown)

    def _kept(self, numbers: Iterable[int]) -> list[int]:
        """Lines that exist, in order, without blank ones where a stretch begins and ends."""
        written = sorted(
            number
            for number in set(numbers)
            if 1 <= number <= len(self.lines) and self.lines[number - 1].strip()
        )
        kept: list[int] = []
        for number in written:
            between = range(kept[-1] + 1, number) if kept else range(0)
            if not any(self.lines[line - 1].strip() for line in between):
                kept += between
            kept.append(number)
        return kept

    def _name_line(self, place: DocumentLocation) -> int:
        """The first line with the name: not that of a decorator or an annotation."""
        name = place.name.rpartition(".")[2]
        for number in range(place.start_line, min(place.end_line, len(self.lines)) + 1):
            line = self.lines[number - 1].lstrip()
            if name in line and not line.startswith(("@", "#")):
                return number
        return place.start_line

    def _header_end(self, place: DocumentLocation) -> int:
        """Last line before the body: of the signature, or of a docstring."""
        unit = self._unit(place)
        if unit is None or unit.body_start_byte is None:
            return place.start_line
        before = self._text.encode(errors="replace")[: unit.body_start_byte]
        own = before.rpartition(b"\n")[2].strip()
        return before.count(b"\n") + bool(own)

    def _unit(self, place: DocumentLocation) -> Unit | None:
        return self._units.get((place.name, place.start_line))
