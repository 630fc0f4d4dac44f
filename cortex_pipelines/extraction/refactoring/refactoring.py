"""A refactoring: its type, the unit, and the unit's code on both sides."""

from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.model import Function, UnitLocation

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


@dataclass(frozen=True)
class DetectedChange:
    """A detected change; ``lines`` and ``codes`` if they are not those of its units."""

    type: str
    names: Pair
    containers: Pair
    locations: tuple[UnitLocation, UnitLocation]
    sentence: str
    pure: bool
    lines: tuple[int, int] | None = None
    codes: tuple[str, str] | None = None

    def row(self) -> Refactoring:
        old, new = self.locations
        lines = self.lines or (old.line, new.line)
        codes = self.codes or (old.code, new.code)
        sentence = f"{self.sentence[:1].upper()}{self.sentence[1:]}."
        purity = "pure" if self.pure else "mixed"
        return Refactoring(
            self.type, *self.names, *self.containers, old.path, new.path, *lines, sentence, purity, new.language,
            *codes, old.start_line, old.end_line, new.start_line, new.end_line,
        )  # fmt: skip


def describe_move(verb: str, kind: str, names: tuple[str, str], locations: tuple[UnitLocation, UnitLocation]) -> str:
    old, new = locations
    parts = []
    if names[0] != names[1]:
        parts.append(f"was renamed to {names[1]}")
    if verb != "Rename":
        parts.append(f"moved from {_container_name(old)} to {_container_name(new)}")
    return f"the {kind} {names[0]} {' and '.join(parts)}"


def _container_name(location: UnitLocation) -> str:
    return f"{location.owner} in {location.path}" if location.owner else location.path


def describe_function(function: Function) -> str:
    return f"the {function.kind} {function.name}" if function.name else "the module"
