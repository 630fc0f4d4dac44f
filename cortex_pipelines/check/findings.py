"""Findings of a check: location, violated rule, and the edits that fix it."""

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
