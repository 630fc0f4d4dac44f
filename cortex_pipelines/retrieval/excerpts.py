"""Excerpts of a file: a document in full, its outline, or its signature."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from cortex_pipelines.damage import SkipReason, attempt
from cortex_pipelines.extraction.nesting import Unit
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.retrieval.vectors import ISSUE
from cortex_pipelines.schemas.vocabulary import DEFINITIONS
from cortex_pipelines.syntax.grammars import PARSED

_FUNCTIONS = ("function", "method")
_MOST_HEADER = 15  # lines of a signature with its documentation
_MOST_SIGNATURE = 3  # lines of one without open parentheses
_MOST_PARAMETERS = 12  # lines with parameters
_MOST_SENTENCE = 3
_MOST_ABOVE = 40  # lines of a comment above a unit that are searched for its first sentence
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|\n\s*\n")
_ENDS = ("{", ":", ";", "}")  # what the last line of a signature ends with


@dataclass(frozen=True)
class DocumentLocation:
    kind: str
    name: str
    start_line: int
    end_line: int


class ExcerptSource:
    """A file from which lines are selected by number, from 1."""

    def __init__(
        self,
        text: str,
        path: str,
        language: str | None,
        locations: Sequence[DocumentLocation],
        settings: ExtractionSettings,
    ) -> None:
        self.lines = text.split("\n")
        self._text, self._path, self._language = text, path, language
        self._locations, self._settings = locations, settings

    @cached_property
    def _units(self) -> dict[tuple[str, int], Unit]:
        if self._language not in PARSED:
            return {}
        language, path = str(self._language), self._path
        units = attempt(lambda: file_units(self._text, language, path, self._settings))
        if isinstance(units, SkipReason):
            return {}
        return {(u.qualified_name, u.start_line): u for u in units if u.kind in DEFINITIONS}

    def relocate(self, location: DocumentLocation) -> DocumentLocation | None:
        """The document's location in the changed file; None if unknown."""
        if location.kind == "file":
            return replace(location, end_line=len(self.lines))
        for unit in self._units.values():
            if (unit.kind, unit.qualified_name) == (location.kind, location.name):
                return DocumentLocation(unit.kind, unit.qualified_name, unit.start_line, unit.end_line)
        return None

    def all_lines(self) -> list[int]:
        return self._trim_blanks(range(1, len(self.lines) + 1))

    def full_lines(self, location: DocumentLocation) -> list[int]:
        """All lines of a document; for the document of a file, the lines outside its units."""
        numbers = range(location.start_line, location.end_line + 1)
        if location.kind != "file":
            return self._trim_blanks(numbers)
        covered = {
            number
            for other in self._locations
            if other.kind in DEFINITIONS
            for number in range(other.start_line, other.end_line + 1)
        }
        return self._trim_blanks(number for number in numbers if number not in covered)

    def outline_lines(self, location: DocumentLocation, *, documented: bool = True) -> list[int]:
        """Header of a document and the signatures inside it, if ``documented`` with their first sentences."""
        if location.kind in ("section", ISSUE):
            return []
        inner = [
            other
            for other in self._locations
            if other.kind in DEFINITIONS
            and location.start_line <= other.start_line
            and other.end_line <= location.end_line
            and other != location
        ]
        names = [self._name_line(other) for other in inner]
        end = self._header_end(location)
        if location.kind not in _FUNCTIONS:  # what a type declares before its first method
            end = max(end, min(names, default=location.end_line + 1) - 1)
        end = min(end, location.end_line, location.start_line + _MOST_HEADER - 1)
        numbers = {*range(location.start_line, end + 1), *names}
        if documented:
            numbers.update(number for other in inner for number in self.signature_lines(other))
        return self._trim_blanks(numbers)

    def signature_lines(self, location: DocumentLocation) -> list[int]:
        """The signature of a unit with its parameters, and the first sentence of its documentation; else the title."""
        if location.kind not in DEFINITIONS:
            return self.full_lines(location)[:1]
        first = last = self._name_line(location)
        end, opened = min(location.end_line, len(self.lines)), 0
        while True:
            line = self.lines[last - 1].rstrip()
            opened += line.count("(") - line.count(")")
            most = first + (_MOST_PARAMETERS if opened > 0 else _MOST_SIGNATURE) - 1
            if last >= min(end, most) or (opened <= 0 and line.endswith(_ENDS)):
                break
            last += 1
        numbers = {*range(first, last + 1)}
        unit = self._units.get((location.name, location.start_line))
        if unit is not None and (unit.docstring or "").strip():
            sentence = _SENTENCE_END.split(str(unit.docstring).strip(), maxsplit=1)[0].split("\n")
            above = range(location.start_line - 1, max(0, location.start_line - _MOST_ABOVE), -1)
            below = range(last, min(self._header_end(location) + 1, len(self.lines)) + 1)
            starts = (start for start in (*below, *above) if sentence[0].strip() in self.lines[start - 1])
            start = next(starts, len(self.lines) + 1)
            numbers.update(range(start, min(start + min(len(sentence), _MOST_SENTENCE), len(self.lines) + 1)))
        return self._trim_blanks(numbers)

    def render(self, numbers: Sequence[int]) -> str:
        rendered: list[str] = []
        previous = None
        for number in numbers:
            if previous is not None and number > previous + 1:
                rendered.append(f"… {previous + 1}-{number - 1}")
            rendered.append(self.lines[number - 1].rstrip())
            previous = number
        return "\n".join(rendered)

    def _trim_blanks(self, numbers: Iterable[int]) -> list[int]:
        """Lines that exist, in order, without blank ones at the ends of each run."""
        nonblank = sorted(
            number for number in set(numbers) if 1 <= number <= len(self.lines) and self.lines[number - 1].strip()
        )
        trimmed: list[int] = []
        for number in nonblank:
            between = range(trimmed[-1] + 1, number) if trimmed else range(0)
            if not any(self.lines[line - 1].strip() for line in between):
                trimmed += between
            trimmed.append(number)
        return trimmed

    def _name_line(self, location: DocumentLocation) -> int:
        """The first line with the name: not that of a decorator or an annotation."""
        name = location.name.rpartition(".")[2]
        for number in range(location.start_line, min(location.end_line, len(self.lines)) + 1):
            line = self.lines[number - 1].lstrip()
            if name in line and not line.startswith(("@", "#")):
                return number
        return location.start_line

    def _header_end(self, location: DocumentLocation) -> int:
        """Last line before the body: of the signature, or of a docstring."""
        unit = self._units.get((location.name, location.start_line))
        if unit is None or unit.body_start_byte is None:
            return location.start_line
        header = self._text.encode(errors="replace")[: unit.body_start_byte]
        same_line = header.rpartition(b"\n")[2].strip()
        return header.count(b"\n") + bool(same_line)
