"""What changed inside of a function that stayed: its parameters and variables."""

from collections.abc import Iterator
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.extracting import Extraction
from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import VARIABLE, Function
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.renames import (
    OWN,
    Renamed,
    bound_in,
    evidence,
    names_of,
    renamed_names,
    type_of_rename,
)
from cortex_pipelines.extraction.refactoring.reporting import Change, titled
from cortex_pipelines.extraction.refactoring.signatures import Signature, compare_signatures
from cortex_pipelines.extraction.refactoring.syntax import ASSIGNMENTS


@dataclass(frozen=True)
class Inside:
    """What goes by another name in a function that stayed.

    Args:
        renames: What its body shows.
        signature: The difference between its parameters.
    """

    renames: list[Renamed]
    signature: Signature

    @property
    def names(self) -> dict[str, str]:
        """Names before to names after."""
        return {
            **{renamed.before: renamed.after for renamed in self.renames},
            **{old.name: new.name for old, new in self.signature.renamed},
        }


def look_inside(one: Function, other: Function, mapped: StatementMap) -> Inside:
    """What goes by another name in a function, or in the code of a module outside of functions."""
    renames = renamed_names(names_of(one), names_of(other), evidence(mapped))
    return Inside(renames, _signature(one, other, renames))


def inner_changes(
    one: Function, other: Function, mapped: StatementMap, inside: Inside, purity: Purity
) -> Iterator[Change]:
    """Renamed variables, and renamed, added, removed and reordered parameters of a function."""
    same = purity.body(one, other, inside.names) and purity.parameters(one, other, inside.names)
    yield from _variables(one, other, inside.renames, mapped, same)
    if one.name:
        yield from _parameters(one, other, inside.signature, same)


def _signature(one: Function, other: Function, renames: list[Renamed]) -> Signature:
    bodies = {renamed.before: renamed.after for renamed in renames}
    return compare_signatures(one, other, bodies, (_assigned(one), _assigned(other)))


def _assigned(function: Function) -> set[str]:
    own = {parameter.name for parameter in function.parameters}
    assigned = (one for one in function.statements if one.kind in ASSIGNMENTS)
    return {name for name, kind, _ in bound_in(assigned) if kind == VARIABLE} - own


def _variables(
    one: Function, other: Function, renames: list[Renamed], mapped: StatementMap, same: bool
) -> Iterator[Change]:
    for renamed in renames:
        kind = type_of_rename(renamed)
        if kind == "Rename Parameter" and OWN in (renamed.kind_before, renamed.kind_after):
            continue  # the signature tells
        if not one.name and one.place.language == "python" and _global(renamed, mapped):
            kind = "Rename Attribute"
        word = "parameter" if kind == "Rename Parameter" else "variable"
        yield Change(
            kind,
            (renamed.before, renamed.after),
            (one.name or None, other.name or None),
            (one.place, other.place),
            f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in {titled(other)}",
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


def _global(renamed: Renamed, mapped: StatementMap) -> bool:
    """Whether a variable of a module is not inside of a block: an attribute of the module."""
    return any(
        statement.line == renamed.line_before and statement.parent < 0
        for statement in mapped.before
    )


def _parameters(
    one: Function, other: Function, signature: Signature, same: bool
) -> Iterator[Change]:
    containers, places, title = (one.name, other.name), (one.place, other.place), titled(other)
    for old, new in signature.renamed:
        words = f"the parameter {old.name} of {title} was renamed to {new.name}"
        names, lines = (old.name, new.name), (old.line, new.line)
        yield Change("Rename Parameter", names, containers, places, words, same, lines)
    for new in signature.added:
        words, lines = f"{title} got the parameter {new.name}", (one.place.line, new.line)
        yield Change("Add Parameter", (None, new.name), containers, places, words, same, lines)
    for old in signature.removed:
        words, lines = f"{title} lost the parameter {old.name}", (old.line, other.place.line)
        yield Change("Remove Parameter", (old.name, None), containers, places, words, same, lines)
    for old, parts in signature.split:
        part = ", ".join(new.name for new in parts)
        words, lines = (
            f"the parameter {old.name} of {title} became {part}",
            (old.line, parts[0].line),
        )
        yield Change("Split Parameter", (old.name, part), containers, places, words, same, lines)
    if signature.reordered:
        words = f"the parameters of {title} were put into another order"
        lists = _listed(one), _listed(other)
        yield Change("Reorder Parameter", lists, containers, places, words, same)


def _listed(function: Function) -> str:
    return ", ".join(parameter.name for parameter in function.parameters)


def renamed_in_extraction(found: Extraction, purity: Purity) -> Iterator[Change]:
    """Variables that go by another name in the function that was made of their code.

    So do parameters of the origin that are handed on to it.
    """
    ones, others = names_of(found.origin), names_of(found.extracted)
    for renamed in renamed_names(ones, others, evidence(found.mapped), merged=True):
        kind = type_of_rename(renamed)
        if kind in ("Rename Variable", "Rename Parameter"):
            word = "variable" if kind == "Rename Variable" else "parameter"
            yield Change(
                kind,
                (renamed.before, renamed.after),
                (found.origin.name or None, found.extracted.name),
                (found.origin.place, found.extracted.place),
                f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in"
                f" {titled(found.extracted)}, which was extracted from {titled(found.origin)}",
                purity.extraction(found, {renamed.before: renamed.after}),
                (renamed.line_before, renamed.line_after),
            )
