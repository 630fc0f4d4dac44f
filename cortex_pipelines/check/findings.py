"""Findings of a check: location, violated rule, and the edits that fix it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class LineEdit:
    """Replace a span by a text; lines and columns as in `Finding`."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str  # lines end with a line feed


@dataclass(frozen=True)
class Fix:
    """Edits that resolve a finding, in order, without overlaps."""

    description: str
    edits: tuple[LineEdit, ...]
    keeps_behaviour: bool  # else a person should look at it: `--unsafe-fixes`


@dataclass(frozen=True)
class Finding:
    """Lines and columns count from 1, columns in Unicode code points; the end is exclusive."""

    path: str  # as it was given
    line: int
    column: int
    end_line: int
    end_column: int
    rule: str  # name in `RULES`; of a team's pattern `pattern/NAME`
    message: str
    fix: Fix | None = None

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        return self.path, self.line, self.column, self.rule, self.message


_ROUNDS = 10  # a fix may make room for the next


@dataclass(frozen=True)
class FixResult:
    text: str
    findings: tuple[Finding, ...]  # what was fixed, where it was when it was
    edits: tuple[tuple[LineEdit, ...], ...]  # of each round


def fix_text(text: str, fixable: Callable[[str, Sequence[tuple[LineEdit, ...]]], list[Finding]]) -> FixResult:
    """Apply fixes that do not overlap, in rounds, until no finding has one.

    ``fixable``: the findings with fixes in a text, given the edits of earlier rounds.
    """
    fixed: list[Finding] = []
    rounds: list[tuple[LineEdit, ...]] = []
    for _ in range(_ROUNDS):
        apart = disjoint(fixable(text, rounds))
        if not apart:
            break
        edits = tuple(sorted(edit for finding in apart if finding.fix for edit in finding.fix.edits))
        text = with_edits(text, edits)
        fixed += apart
        rounds.append(edits)
    return FixResult(text, tuple(fixed), tuple(rounds))


def disjoint(findings: Sequence[Finding]) -> list[Finding]:
    """Findings whose fixes do not overlap; the first of two that do."""
    occupied: list[tuple[tuple[int, int], tuple[int, int]]] = []
    apart = []
    for finding in findings:
        edits = finding.fix.edits if finding.fix else ()
        spans = [((edit.line, edit.column), (edit.end_line, edit.end_column)) for edit in edits]
        if not any(
            start <= other_end and other_start <= end for start, end in spans for other_start, other_end in occupied
        ):
            apart.append(finding)
            occupied += spans
    return apart


def with_edits(text: str, edits: Sequence[LineEdit]) -> str:
    """A text with edits that do not overlap; what they insert gets the text's own line ends."""
    newline = "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"
    starts = [0]
    while (end := text.find("\n", starts[-1])) >= 0:
        starts.append(end + 1)
    parts, copied = [], 0
    for edit in sorted(edits):
        start, end = starts[edit.line - 1] + edit.column - 1, starts[edit.end_line - 1] + edit.end_column - 1
        parts += [text[copied:start], edit.text.replace("\n", newline)]
        copied = end
    return "".join([*parts, text[copied:]])
