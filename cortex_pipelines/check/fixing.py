"""Apply fixes to files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cortex_pipelines.check.findings import Finding, LineEdit

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
