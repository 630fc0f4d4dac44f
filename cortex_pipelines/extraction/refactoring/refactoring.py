"""A refactoring: its type, the unit, and the unit's code on both sides."""

from dataclasses import asdict, dataclass

SCORED = (
    "Rename Class",
    "Move Class",
    "Rename Method",
    "Move Method",
    "Extract Method",
    "Inline Method",
    "Rename Parameter",
    "Rename Variable",
    "Add Parameter",
    "Remove Parameter",
    "Reorder Parameter",
)
"""Refactoring types named in the contract; others use RefactoringMiner's names."""

CONTRACT = (
    *("type", "name_before", "name_after", "container_before", "container_after"),
    *("path_before", "path_after", "line_before", "line_after", "description", "purity"),
)
"""The fields that ``cortex refactorings --json`` writes."""


@dataclass(frozen=True, slots=True)
class Refactoring:
    """A refactoring between two versions.

    Args:
        type: One of ``SCORED``, or another of RefactoringMiner's names.
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
