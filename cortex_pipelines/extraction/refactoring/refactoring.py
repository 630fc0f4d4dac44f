"""A refactoring: its type, the unit, and the unit's code on both sides."""

from dataclasses import asdict, dataclass, field

from cortex_pipelines.extraction.refactoring.model import Function, UnitLocation

CONTRACT = (
    *("type", "name_before", "name_after", "container_before", "container_after"),
    *("path_before", "path_after", "line_before", "line_after", "description", "purity"),
)
"""The fields that ``cortex refactorings --json`` writes."""


@dataclass(frozen=True, slots=True)
class Refactoring:
    """A refactoring between two versions.

    Args:
        type: One of RefactoringMiner's names.
        name_before, name_after: Simple name of the class, method, parameter or variable; of a
            reordering, the parameters in order; None if missing on a side.
        container_before, container_after: Simple name of the function around a parameter or
            variable, of the function that an extracted one was taken from or an inlined one went
            into, of the class around a method or class; None without one.
        path_before, path_after: Files; both are given always.
        line_before, line_after: First line of what the name names, from 1; of an added (removed)
            thing on the other side, of the unit it is in.
        description: One English sentence.
        purity: ``pure`` if nothing but the refactorings found differs in the units concerned, else
            ``mixed``.
        language: Language of the file after.
        code_before, code_after: The unit concerned on both sides: the function or class; of an
            extraction the origin before, origin and extracted function after (reversed for an
            inlining).
        start_line_before, end_line_before, start_line_after, end_line_after: Lines of the unit (of
            the origin where there are two), inclusive.
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
        values = asdict(self)
        return {field: values[field] for field in CONTRACT}


Pair = tuple[str | None, str | None]


@dataclass(frozen=True)
class DetectedChange:
    """A detected change, before it is described.

    Args:
        type: Type of refactoring.
        names: Names before and after.
        containers: Containers before and after.
        locations: Units concerned.
        sentence: The sentence, without its full stop.
        pure: Whether nothing else differs in the units.
        lines: Lines of the named things, if they differ from those of the units.
        codes: Code before and after, if not that of the units.
    """

    type: str
    names: Pair
    containers: Pair
    locations: tuple[UnitLocation, UnitLocation]
    sentence: str
    pure: bool
    lines: tuple[int, int] | None = None
    codes: tuple[str, str] | None = field(default=None)

    def row(self) -> Refactoring:
        old, new = self.locations
        lines = self.lines or (old.line, new.line)
        codes = self.codes or (old.code, new.code)
        return Refactoring(
            type=self.type,
            name_before=self.names[0],
            name_after=self.names[1],
            container_before=self.containers[0],
            container_after=self.containers[1],
            path_before=old.path,
            path_after=new.path,
            line_before=lines[0],
            line_after=lines[1],
            description=f"{self.sentence[:1].upper()}{self.sentence[1:]}.",
            purity="pure" if self.pure else "mixed",
            language=new.language,
            code_before=codes[0],
            code_after=codes[1],
            start_line_before=old.start_line,
            end_line_before=old.end_line,
            start_line_after=new.start_line,
            end_line_after=new.end_line,
        )


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
