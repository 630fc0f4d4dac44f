"""A refactoring: its type, the unit, and the unit's code on both sides."""

from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.model import UnitLocation

CONTRACT = (
    *("type", "name_before", "name_after", "container_before", "container_after"),
    *("path_before", "path_after", "line_before", "line_after", "description", "purity"),
)
"""The fields that ``cortex refactorings --json`` writes."""


@dataclass(frozen=True, slots=True)
class Refactoring:
    """A refactoring between two versions, by RefactoringMiner's names of types.

    Names are simple names (of a reordering, the parameters in order), None on a side without one.
    A container is the function around a parameter or variable, the function that an extracted one was
    taken from or an inlined one went into, or the class around a method or class. The line of an added
    (removed) thing on the other side is that of the unit it is in. ``pure`` is a refactoring if nothing
    but refactorings differs in its units, else ``mixed``. Code is the function or class concerned; of
    an extraction the origin before, origin and extracted function after (reversed for an inlining).
    """

    type: str
    name_before: str | None
    name_after: str | None
    container_before: str | None
    container_after: str | None
    path_before: str
    path_after: str
    line_before: int
    line_after: int
    description: str
    purity: str
    language: str
    code_before: str
    code_after: str
    start_line_before: int
    end_line_before: int
    start_line_after: int
    end_line_after: int

    def contract(self) -> dict[str, str | int | None]:
        return {field: getattr(self, field) for field in CONTRACT}


Pair = tuple[str | None, str | None]


def refactoring_of(
    type_: str,
    names: Pair,
    containers: Pair,
    locations: tuple[UnitLocation, UnitLocation],
    sentence: str,
    is_pure: bool,
    lines: tuple[int, int] | None = None,
    codes: tuple[str, str] | None = None,
) -> Refactoring:
    """A refactoring; ``lines`` and ``codes`` if they are not those of its units."""
    old, new = locations
    return Refactoring(
        type_, *names, *containers, old.path, new.path, *(lines or (old.line, new.line)),
        f"{sentence[:1].upper()}{sentence[1:]}.", "pure" if is_pure else "mixed", new.language,
        *(codes or (old.code, new.code)), old.start_line, old.end_line, new.start_line, new.end_line,
    )  # fmt: skip
