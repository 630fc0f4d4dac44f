"""Changes inside a matched function: parameters and variables."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.extracted_functions import ExtractedFunction
from cortex_pipelines.extraction.refactoring.mapping import name_similarity, one_to_one
from cortex_pipelines.extraction.refactoring.model import (
    VARIABLE,
    Function,
    Pair,
    Parameter,
    Refactoring,
    identifier_words,
    refactoring_of,
    titles_of,
)
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.renames import (
    OWN_PARAMETER,
    RenamedVariable,
    bindings_in,
    collect_rename_proof,
    function_bindings,
    renamed_names,
)
from cortex_pipelines.extraction.refactoring.statements import ASSIGNMENTS
from cortex_pipelines.extraction.refactoring.unit_pairing import MappedFunction

_MIN_NAME_SIMILARITY = 0.6
_LONGEST_DECLARATION = 120


@dataclass(frozen=True)
class LocalChanges:
    """Renamed variables, and the difference between two parameter lists.

    A split parameter was replaced by several with suffixes.
    """

    variables: list[RenamedVariable]
    renamed: list[tuple[Parameter, Parameter]]
    added: list[Parameter]
    removed: list[Parameter]
    split: list[tuple[Parameter, list[Parameter]]]
    reordered: bool

    @property
    def names(self) -> dict[str, str]:
        return {
            **{renamed.before: renamed.after for renamed in self.variables},
            **{old.name: new.name for old, new in self.renamed},
        }


_UNCHANGED = LocalChanges([], [], [], [], [], reordered=False)


def _compare_signatures(
    old_function: Function, new_function: Function, variables: list[RenamedVariable]
) -> LocalChanges:
    """Compare the parameters of two versions of a function whose bodies renamed ``variables``.

    A parameter that becomes a variable that the bodies bind is localized, not removed; a parameter
    that was one is not added.
    """
    body_renames = {renamed.before: renamed.after for renamed in variables}
    before = {parameter.name: parameter for parameter in old_function.parameters}
    after = {parameter.name: parameter for parameter in new_function.parameters}
    pairs = {
        name: new_name
        for name, new_name in body_renames.items()
        if name in before and name not in after and new_name in after and new_name not in before
    }
    assigned_before, assigned_after = _assigned(old_function), _assigned(new_function)
    removed = [old for name, old in before.items() if name not in after and name not in assigned_after]
    added = [fresh for name, fresh in after.items() if name not in before and name not in assigned_before]
    split = [(parameter, parts) for parameter in removed if len(parts := _parts(parameter, added)) > 1]
    split_names = {old.name for old, _ in split} | {part.name for _, parts in split for part in parts}
    pairs = {name: to for name, to in pairs.items() if split_names.isdisjoint((name, to))}
    explained_names = split_names | set(body_renames) | set(body_renames.values())
    removed = [parameter for parameter in removed if parameter.name not in explained_names]
    added = [parameter for parameter in added if parameter.name not in explained_names]
    for parameter, partner in _pair_remaining(old_function, new_function, removed, added):
        pairs[parameter.name] = partner.name
    return LocalChanges(
        list(dict.fromkeys(variables)),
        [(before[name], after[to]) for name, to in pairs.items()],
        [parameter for parameter in added if parameter.name not in pairs.values()],
        [parameter for parameter in removed if parameter.name not in pairs],
        split,
        [name for name in before if name in after] != [name for name in after if name in before],
    )


def _parts(parameter: Parameter, added: list[Parameter]) -> list[Parameter]:
    """Added parameters named as this one with a suffix: ``low`` and ``high`` of a ``range``."""
    words = identifier_words(parameter.name)
    return [
        other for other in added if identifier_words(other.name)[: len(words)] == words != identifier_words(other.name)
    ]


def _pair_remaining(
    old_function: Function, new_function: Function, removed: list[Parameter], added: list[Parameter]
) -> list[tuple[Parameter, Parameter]]:
    if not removed or not added:
        return []
    scored = []
    one_sided = min(len(removed), len(added)) == 1
    used_names = [
        {text for statement in function.statements for text in statement.texts}
        for function in (old_function, new_function)
    ]
    for parameter in removed:
        for partner in added:
            # a variadic parameter is never a new name of a single one
            if parameter.variadic_marker != partner.variadic_marker or not _types_agree(parameter.type, partner.type):
                continue
            name = name_similarity(parameter.name, partner.name)
            start = old_function.parameters.index(parameter), new_function.parameters.index(partner)
            end = start[0] - len(old_function.parameters), start[1] - len(new_function.parameters)
            single = len(removed) == len(added) == 1
            same_position = one_sided and (start[0] == start[1] or (single and end[0] == end[1]))
            is_unused = parameter.name not in used_names[0] or partner.name not in used_names[1]
            if same_position or ((is_unused or single) and name >= _MIN_NAME_SIMILARITY):
                scored.append((-name - same_position, parameter.name, partner.name, parameter, partner))
    return one_to_one((parameter, partner) for *_, parameter, partner in sorted(scored, key=lambda item: item[:3]))


def _types_agree(first: str, second: str) -> bool:
    """Whether types are the same, or one is not written or an alternative of the other."""
    short, long = sorted((first.removeprefix(":").strip(), second.removeprefix(":").strip()), key=len)
    if not short or short == long:
        return True
    return long.startswith(f"{short} |") or long.endswith(f"| {short}") or f"| {short} |" in long


def find_local_changes(function: MappedFunction, inner: Collection[MappedFunction]) -> LocalChanges:
    """The changes in a function or in module-level code; ``inner`` are the functions inside of it."""
    old, new, _ = function
    if function.keeps_body and (old.location.code == new.location.code or _have_same_parameters(old, new)):
        return _UNCHANGED
    statement_map = function.statements
    before, after = function_bindings(old), function_bindings(new)
    # uses elsewhere only help if one name was removed and another added
    inner = inner if before.keys() != after.keys() else ()
    renames = []
    if inner or statement_map.changed:
        renames = renamed_names(before, after, collect_rename_proof(statement_map, (before, after), inner))
    reported_pairs = {(renamed.before, renamed.after) for renamed in renames}
    for index, position in statement_map.pairs.items() if statement_map.changed else ():
        # statements with functions without a name are scopes of their own
        if not statement_map.before[index].has_function or not statement_map.after[position].has_function:
            continue
        scope = statement_map.submap(index)
        names = [
            {name: (kind, line) for name, kind, line in bindings_in(version, unit.body_line)}
            for version, unit in ((scope.before, old), (scope.after, new))
        ]
        if names[0].keys() != names[1].keys():
            candidates = renamed_names(names[0], names[1], collect_rename_proof(scope, (names[0], names[1])))
            renames += [rename for rename in candidates if (rename.before, rename.after) not in reported_pairs]
    return _compare_signatures(old, new, renames)


def _have_same_parameters(old: Function, new: Function) -> bool:
    return [parameter.name for parameter in old.parameters] == [parameter.name for parameter in new.parameters]


def _assigned(function: Function) -> set[str]:
    parameter_names = {parameter.name for parameter in function.parameters}
    assigned = (statement for statement in function.statements if statement.kind in ASSIGNMENTS)
    return {name for name, kind, _ in bindings_in(assigned, function.body_line) if kind == VARIABLE} - parameter_names


def inner_changes(function: MappedFunction, changes: LocalChanges, purity: Purity) -> Iterator[Refactoring]:
    if changes == _UNCHANGED:
        return
    old, new, _ = function
    is_pure = purity.body(old, new, changes.names) and purity.parameters(old, new, changes.names)
    for renamed in changes.variables:
        kind = renamed.type
        if kind == "Rename Parameter" and OWN_PARAMETER in (renamed.kind_before, renamed.kind_after):
            continue  # the signature tells
        if "_" in (renamed.before, renamed.after):
            continue  # `_` names nothing
        if (
            not old.name
            and old.location.language == "python"
            and any(old.body_line + line.line == renamed.line_before and line.parent < 0 for line in old.statements)
        ):
            kind = "Rename Attribute"
        names, lines = (renamed.before, renamed.after), (renamed.line_before, renamed.line_after)
        sentence, containers = f"{_CAUSE[kind].format(*names)} in {new.title}", (old.name or None, new.name or None)
        yield refactoring_of(kind, names, containers, (old.location, new.location), sentence, is_pure, lines)
    if old.name:
        yield from _parameter_changes(old, new, changes, is_pure)


_CAUSE = {
    "Rename Variable": "the variable {} was renamed to {}",
    "Rename Parameter": "the parameter {} was renamed to {}",
    "Rename Attribute": "the global variable {} was renamed to {}",
    "Parameterize Variable": "the variable {} became the parameter {}",
    "Localize Parameter": "the parameter {} became the variable {}",
}


def _parameter_changes(old: Function, new: Function, changes: LocalChanges, is_pure: bool) -> Iterator[Refactoring]:
    title, locations = new.title, (old.location, new.location)

    def change(kind: str, names: Pair, sentence: str, lines: tuple[int, int] | None = None) -> Refactoring:
        return refactoring_of(f"{kind} Parameter", names, (old.name, new.name), locations, sentence, is_pure, lines)

    for before, after in changes.renamed:
        sentence = f"the parameter {before.name} of {title} was renamed to {after.name}"
        yield change("Rename", (before.name, after.name), sentence, (before.line, after.line))
    for after in changes.added:
        sentence = f"{title} got the parameter {_declared(after, new)}"
        yield change("Add", (None, after.name), sentence, (old.location.line, after.line))
    for before in changes.removed:
        lines = (before.line, new.location.line)
        yield change("Remove", (before.name, None), f"{title} lost the parameter {before.name}", lines)
    for before, parts in changes.split:
        part = ", ".join(parameter.name for parameter in parts)
        sentence = f"the parameter {before.name} of {title} became {part}"
        yield change("Split", (before.name, part), sentence, (before.line, parts[0].line))
    if changes.reordered:
        before_names, after_names = (", ".join(each.name for each in unit.parameters) for unit in (old, new))
        yield change("Reorder", (before_names, after_names), f"the parameters of {title} became {after_names}")


def _declared(parameter: Parameter, function: Function) -> str:
    """A parameter, how it is declared and where: ``key (key: str = ""), after name``."""
    text = parameter.name
    if text != parameter.declaration and len(parameter.declaration) <= _LONGEST_DECLARATION:
        text += f" ({parameter.declaration})"
    if len(function.parameters) == 1:
        return text
    index = function.parameters.index(parameter)
    return f"{text}, after {function.parameters[index - 1].name}" if index else f"{text}, the first"


def renamed_in_extraction(extraction: ExtractedFunction, purity: Purity) -> Iterator[Refactoring]:
    """Variables, and parameters handed on, renamed in a function that was extracted from their code."""
    origin, extracted = extraction.origin, extraction.extracted
    old_names, new_names = function_bindings(origin), function_bindings(extracted)
    proof = collect_rename_proof(extraction.extracted_map, (old_names, new_names))
    for renamed in renamed_names(old_names, new_names, proof, merged=True):
        kind = renamed.type
        if kind in ("Rename Variable", "Rename Parameter"):
            names, lines = (renamed.before, renamed.after), (renamed.line_before, renamed.line_after)
            cause = _CAUSE[kind].format(*names)
            titles = titles_of(extracted, origin)
            sentence = f"{cause} in {titles[0]}, which was extracted from {titles[1]}"
            is_pure = purity.extraction(extraction, {renamed.before: renamed.after})
            containers, locations = (origin.name or None, extracted.name), (origin.location, extracted.location)
            yield refactoring_of(kind, names, containers, locations, sentence, is_pure, lines)
