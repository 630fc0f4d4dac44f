"""Scanner findings: locations of private values, never the values."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

SECRET, PERSONAL = "secret", "personal"
"""Categories of findings."""


@dataclass(frozen=True, order=True)
class Span:
    """A private value in a text, with the rule that found it and a severity: low, medium or high."""

    start: int
    end: int
    category: str
    rule: str
    severity: str


@dataclass(frozen=True, order=True)
class Finding:
    """Location of a private value: line from 1 (of a block, the first), columns from 0."""

    line: int
    start: int
    end: int
    category: str
    rule: str
    severity: str


class LineIndex:
    """Line and column of a character; lines end at line feeds only."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0]
        newline = text.find("\n")
        while newline >= 0:
            self._starts.append(newline + 1)
            newline = text.find("\n", newline + 1)

    def location(self, start: int, end: int) -> tuple[int, int, int]:
        """Line from 1, and first and last column (from 0, exclusive) in that line, of a span."""
        line = bisect_right(self._starts, start)
        first = self._starts[line - 1]
        stop = self._starts[line] - 1 if line < len(self._starts) else len(self._text)
        return line, start - first, min(end, stop) - first


def findings_of(text: str, spans: Iterable[Span]) -> list[Finding]:
    """Convert spans to findings, in text order."""
    sorted_spans = sorted(spans)
    if not sorted_spans:
        return []
    lines = LineIndex(text)
    return [
        Finding(*lines.location(span.start, span.end), span.category, span.rule, span.severity) for span in sorted_spans
    ]


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Ordered, non-overlapping spans: the earlier one wins, then the longer."""
    disjoint: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.category, span.rule)):
        if not disjoint or span.start >= disjoint[-1].end:
            disjoint.append(span)
    return disjoint
