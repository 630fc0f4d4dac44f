"""Changes inside a matched function: parameters and variables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction
from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import VARIABLE, Function
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.renames import (
    OWN,
    Mapped,
    RenamedVariable,
    bound_in,
    callbacks,
    evidence,
    names_of,
    renamed_names,
    type_of_rename,
)
from cortex_pipelines.extraction.refactoring.reporting import DetectedChange, titled
from cortex_pipelines.extraction.refactoring.signatures import Signature, compare_signatures
from cortex_pipelines.extraction.refactoring.syntax import ASSIGNMENTS


@dataclass(frozen=True)
class Inside:
    """Renamed names inside a matched function.

    Args:
        renames: What its body shows.
        signature: The difference between its parameters.
    """

    renames: list[RenamedVariable]
    signature: Signature

    @property
    def names(self) -> dict[str, str]:
        """Names before to names after."""
        return {
            **{renamed.before: renamed.after for renamed in self.renames},
            **{old.name: new.name for old, new in self.signature.renamed},
        }


def look_inside(
    old: Function, new: Function, mapped: StatementMap, inner: Iterable[Mapped] = ()
) -> Inside:
    """Find renamed names in a function or in module-level code.

    Args:
        old, new: The versions.
        mapped: Their statements.
        inner: The functions inside of it.
    """
    before, after = names_of(old), names_of(new)
    # only where a name is gone and another is new, others' uses can say something
    inner = inner if before.keys() != after.keys() else ()
    renames = []
    if inner or mapped.changed:
        renames = renamed_names(before, after, evidence(mapped, inner))
    known = {(renamed.before, renamed.after) for renamed in renames}
    for scope in callbacks(mapped) if mapped.changed else ():
        names = [
            {name: (kind, line) for name, kind, line in bound_in(side)}
            for side in (scope.before, scope.after)
        ]
        if names[0].keys() != names[1].keys():
            found = renamed_names(names[0], names[1], evidence(scope))
            renames += [one for one in found if (one.before, one.after) not in known]
    return Inside(list(dict.fromkeys(renames)), _signature(old, new, renames))


def inner_changes(
    old: Function, new: Function, mapped: StatementMap, inside: Inside, purity: Purity
) -> Iterator[DetectedChange]:
    """Renamed variables; renamed, added, removed and reordered parameters."""
    same = purity.body(old, new, inside.names) and purity.parameters(old, new, inside.names)
    yield from _variables(old, new, inside.renames, mapped, same)
    if old.name:
        yield from _parameters(old, new, inside.signature, same)


def _signature(old: Function, new: Function, renames: list[RenamedVariable]) -> Signature:
    bodies = {renamed.before: renamed.after for renamed in renames}
    return compare_signatures(old, new, bodies, (_assigned(old), _assigned(new)))


def _assigned(function: Function) -> set[str]:
    own = {parameter.name for parameter in function.parameters}
    assigned = (statement for statement in function.statements if statement.kind in ASSIGNMENTS)
    return {name for name, kind, _ in bound_in(assigned) if kind == VARIABLE} - own


def _variables(
    old: Function, new: Function, renames: list[RenamedVariable], mapped: StatementMap, same: bool
) -> Iterator[DetectedChange]:
    for renamed in renames:
        kind = type_of_rename(renamed)
        if kind == "Rename Parameter" and OWN in (renamed.kind_before, renamed.kind_after):
            continue  # the signature tells
        if not old.name and old.place.language == "python" and _global(renamed, mapped):
            kind = "Rename Attribute"
        word = "parameter" if kind == "Rename Parameter" else "variable"
        yield DetectedChange(
            kind,
            (renamed.before, renamed.after),
            (old.name or None, new.name or None),
            (old.place, new.place),
            f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in {titled(new)}",
            same,
            (renamed.line_before, renamed.line_after),
        )


_CAUSE = {
    "Rename Variable": "the {} {} was renamed to {}",
    "Rename Parameter": "the {} {} was renamed to {}",
    "Rename Attribute": "the global {} {} was renamed to {}",
    "Parameterize Variable": "the {} {} became the parameter {}",
    "Localize Parameter": "the parameter {1} became the {0} {2}",
}


def _global(renamed: RenamedVariable, mapped: StatementMap) -> bool:
    """Whether a variable is a module attribute, outside any block."""
    return any(
        statement.line == renamed.line_before and statement.parent < 0
        for statement in mapped.before
    )


def _parameters(
    old_function: Function, new_function: Function, signature: Signature, same: bool
) -> Iterator[DetectedChange]:
    containers, places, title = (
        (old_function.name, new_function.name),
        (old_function.place, new_function.place),
        titled(new_function),
    )
    for old, new in signature.renamed:
        words = f"the parameter {old.name} of {title} was renamed to {new.name}"
        names, lines = (old.name, new.name), (old.line, new.line)
        yield DetectedChange("Rename Parameter", names, containers, places, words, same, lines)
    for new in signature.added:
        words, lines = f"{title} got the parameter {new.name}", (old_function.place.line, new.line)
        yield DetectedChange(
            "Add Parameter", (None, new.name), containers, places, words, same, lines
        )
    for old in signature.removed:
        words, lines = f"{title} lost the parameter {old.name}", (old.line, new_function.place.line)
        yield DetectedChange(
            "Remove Parameter", (old.name, None), containers, places, words, same, lines
        )
    for old, parts in signature.split:
        part = ", ".join(new.name for new in parts)
        words, lines = (
            f"the parameter {old.name} of {title} became {part}",
            (old.line, parts[0].line),
        )
        yield DetectedChange(
            "Split Parameter", (old.name, part), containers, places, words, same, lines
        )
    if signature.reordered:
        words = f"the parameters of {title} were put into another order"
        lists = _listed(old_function), _listed(new_function)
        yield DetectedChange("Reorder Parameter", lists, containers, places, words, same)


def _listed(function: Function) -> str:
    return ", ".join(parameter.name for parameter in function.parameters)


def renamed_in_extraction(
    extraction: ExtractedFunction, purity: Purity
) -> Iterator[DetectedChange]:
    """Variables renamed in a function that was extracted from their code.

    So do parameters of the origin that are handed on to it.
    """
    old_names, new_names = names_of(extraction.origin), names_of(extraction.extracted)
    for renamed in renamed_names(old_names, new_names, evidence(extraction.mapped), merged=True):
        kind = type_of_rename(renamed)
        if kind in ("Rename Variable", "Rename Parameter"):
            word = "variable" if kind == "Rename Variable" else "parameter"
            yield DetectedChange(
                kind,
                (renamed.before, renamed.after),
                (extraction.origin.name or None, extraction.extracted.name),
                (extraction.origin.place, extraction.extracted.place),
                f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in"
                f" {titled(extraction.extracted)}, which was extracted from"
                f" {titled(extraction.origin)}",
                purity.extraction(extraction, {renamed.before: renamed.after}),
                (renamed.line_before, renamed.line_after),
            )
