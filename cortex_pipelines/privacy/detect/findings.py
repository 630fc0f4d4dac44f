"""Scanner findings: locations of private values, never the values."""

import re
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


@dataclass(frozen=True, order=True)
class Redaction:
    """A value that was replaced."""

    category: str
    rule: str
    severity: str
    placeholder: str


@dataclass(frozen=True, order=True)
class PlacedRedaction(Redaction):
    """A value that was replaced, where its placeholder stands; in a block of lines each has one."""

    line: int
    start: int
    end: int


def findings_of(text: str, spans: Iterable[Span]) -> list[Finding]:
    """Convert spans to findings, in text order; lines end at line feeds only."""
    sorted_spans = sorted(spans)
    starts = [0, *(match.end() for match in re.finditer("\n", text))] if sorted_spans else []
    findings = []
    for span in sorted_spans:
        line = bisect_right(starts, span.start)
        first = starts[line - 1]
        stop = starts[line] - 1 if line < len(starts) else len(text)
        columns = span.start - first, min(span.end, stop) - first
        findings.append(Finding(line, *columns, span.category, span.rule, span.severity))
    return findings
