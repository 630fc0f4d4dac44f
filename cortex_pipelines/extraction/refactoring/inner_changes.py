"""Changes inside a matched function: parameters and variables."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction
from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import VARIABLE, Function
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.renames import (
    OWN_PARAMETER,
    MappedFunction,
    RenamedVariable,
    bindings_in,
    callback_maps,
    collect_rename_proof,
    function_bindings,
    renamed_names,
    type_of_rename,
)
from cortex_pipelines.extraction.refactoring.reporting import DetectedChange, describe_function
from cortex_pipelines.extraction.refactoring.signatures import Signature, compare_signatures
from cortex_pipelines.extraction.refactoring.syntax import ASSIGNMENTS


@dataclass(frozen=True)
class LocalRenames:
    renames: list[RenamedVariable]
    signature: Signature

    @property
    def names(self) -> dict[str, str]:
        return {
            **{renamed.before: renamed.after for renamed in self.renames},
            **{old.name: new.name for old, new in self.signature.renamed},
        }


def find_local_renames(
    old: Function, new: Function, statement_map: StatementMap, inner: Iterable[MappedFunction] = ()
) -> LocalRenames:
    """Renamed names in a function or in module-level code; ``inner`` are the functions inside of it."""
    before, after = function_bindings(old), function_bindings(new)
    # uses elsewhere only help if one name was removed and another added
    inner = inner if before.keys() != after.keys() else ()
    renames = []
    if inner or statement_map.changed:
        renames = renamed_names(before, after, collect_rename_proof(statement_map, inner))
    reported_pairs = {(renamed.before, renamed.after) for renamed in renames}
    for scope in callback_maps(statement_map) if statement_map.changed else ():
        names = [
            {name: (kind, line) for name, kind, line in bindings_in(version)} for version in (scope.before, scope.after)
        ]
        if names[0].keys() != names[1].keys():
            candidates = renamed_names(names[0], names[1], collect_rename_proof(scope))
            renames += [rename for rename in candidates if (rename.before, rename.after) not in reported_pairs]
    return LocalRenames(list(dict.fromkeys(renames)), _signature(old, new, renames))


def inner_changes(
    old: Function, new: Function, statement_map: StatementMap, local_renames: LocalRenames, purity: Purity
) -> Iterator[DetectedChange]:
    """Renamed variables; renamed, added, removed and reordered parameters."""
    is_pure = purity.body(old, new, local_renames.names) and purity.parameters(old, new, local_renames.names)
    yield from _variables(old, new, local_renames.renames, statement_map, is_pure)
    if old.name:
        yield from _parameters(old, new, local_renames.signature, is_pure)


def _signature(old: Function, new: Function, renames: list[RenamedVariable]) -> Signature:
    body_renames = {renamed.before: renamed.after for renamed in renames}
    return compare_signatures(old, new, body_renames, (_assigned(old), _assigned(new)))


def _assigned(function: Function) -> set[str]:
    parameter_names = {parameter.name for parameter in function.parameters}
    assigned = (statement for statement in function.statements if statement.kind in ASSIGNMENTS)
    return {name for name, kind, _ in bindings_in(assigned) if kind == VARIABLE} - parameter_names


def _variables(
    old: Function, new: Function, renames: list[RenamedVariable], statement_map: StatementMap, is_pure: bool
) -> Iterator[DetectedChange]:
    for renamed in renames:
        kind = type_of_rename(renamed)
        if kind == "Rename Parameter" and OWN_PARAMETER in (renamed.kind_before, renamed.kind_after):
            continue  # the signature tells
        if not old.name and old.location.language == "python" and _is_global(renamed, statement_map):
            kind = "Rename Attribute"
        word = "parameter" if kind == "Rename Parameter" else "variable"
        yield DetectedChange(
            kind,
            (renamed.before, renamed.after),
            (old.name or None, new.name or None),
            (old.location, new.location),
            f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in {describe_function(new)}",
            is_pure,
            (renamed.line_before, renamed.line_after),
        )


_CAUSE = {
    "Rename Variable": "the {} {} was renamed to {}",
    "Rename Parameter": "the {} {} was renamed to {}",
    "Rename Attribute": "the global {} {} was renamed to {}",
    "Parameterize Variable": "the {} {} became the parameter {}",
    "Localize Parameter": "the parameter {1} became the {0} {2}",
}


def _is_global(renamed: RenamedVariable, statement_map: StatementMap) -> bool:
    return any(statement.line == renamed.line_before and statement.parent < 0 for statement in statement_map.before)


def _parameters(
    old_function: Function, new_function: Function, signature: Signature, is_pure: bool
) -> Iterator[DetectedChange]:
    containers, locations, title = (
        (old_function.name, new_function.name),
        (old_function.location, new_function.location),
        describe_function(new_function),
    )
    for old, new in signature.renamed:
        sentence = f"the parameter {old.name} of {title} was renamed to {new.name}"
        names, lines = (old.name, new.name), (old.line, new.line)
        yield DetectedChange("Rename Parameter", names, containers, locations, sentence, is_pure, lines)
    for new in signature.added:
        sentence, lines = (f"{title} got the parameter {new.name}", (old_function.location.line, new.line))
        yield DetectedChange("Add Parameter", (None, new.name), containers, locations, sentence, is_pure, lines)
    for old in signature.removed:
        sentence, lines = (f"{title} lost the parameter {old.name}", (old.line, new_function.location.line))
        yield DetectedChange("Remove Parameter", (old.name, None), containers, locations, sentence, is_pure, lines)
    for old, parts in signature.split:
        part = ", ".join(new.name for new in parts)
        sentence, lines = (f"the parameter {old.name} of {title} became {part}", (old.line, parts[0].line))
        yield DetectedChange("Split Parameter", (old.name, part), containers, locations, sentence, is_pure, lines)
    if signature.reordered:
        sentence = f"the parameters of {title} were put into another order"
        lists = _parameter_list(old_function), _parameter_list(new_function)
        yield DetectedChange("Reorder Parameter", lists, containers, locations, sentence, is_pure)


def _parameter_list(function: Function) -> str:
    return ", ".join(parameter.name for parameter in function.parameters)


def renamed_in_extraction(extraction: ExtractedFunction, purity: Purity) -> Iterator[DetectedChange]:
    """Variables, and parameters handed on, renamed in a function that was extracted from their code."""
    old_names, new_names = (function_bindings(extraction.origin), function_bindings(extraction.extracted))
    for renamed in renamed_names(old_names, new_names, collect_rename_proof(extraction.extracted_map), merged=True):
        kind = type_of_rename(renamed)
        if kind in ("Rename Variable", "Rename Parameter"):
            word = "variable" if kind == "Rename Variable" else "parameter"
            yield DetectedChange(
                kind,
                (renamed.before, renamed.after),
                (extraction.origin.name or None, extraction.extracted.name),
                (extraction.origin.location, extraction.extracted.location),
                f"{_CAUSE[kind].format(word, renamed.before, renamed.after)} in"
                f" {describe_function(extraction.extracted)}, which was extracted from"
                f" {describe_function(extraction.origin)}",
                purity.extraction(extraction, {renamed.before: renamed.after}),
                (renamed.line_before, renamed.line_after),
            )
