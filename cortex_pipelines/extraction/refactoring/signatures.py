"""Compare the parameter lists of a function."""

from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.model import Function, Parameter, words_of
from cortex_pipelines.extraction.refactoring.pairing.similarity import names_alike

_ALIKE = 0.6


@dataclass(frozen=True)
class Signature:
    """The difference between two parameter lists.

    Args:
        renamed: Parameters that go by another name.
        added, removed: Parameters of one side only.
        split: Parameters in whose place stand several of their name with something added.
        reordered: Whether parameters of both sides stand in another order.
    """

    renamed: list[tuple[Parameter, Parameter]]
    added: list[Parameter]
    removed: list[Parameter]
    split: list[tuple[Parameter, list[Parameter]]]
    reordered: bool


def compare_signatures(
    old_function: Function,
    new_function: Function,
    evidence: dict[str, str],
    bound: tuple[set[str], set[str]],
) -> Signature:
    """Compare the parameters of two versions of a function.

    Args:
        old_function, new_function: The versions.
        evidence: Names before that the bodies show as renamed, to their names after.
        bound: Variables that the bodies bind, before and after: a parameter that becomes one is
            localized, not removed; one that was one is no added parameter.
    """
    before = {parameter.name: parameter for parameter in old_function.parameters}
    after = {parameter.name: parameter for parameter in new_function.parameters}
    pairs = {
        name: to
        for name, to in evidence.items()
        if name in before and name not in after and to in after and to not in before
    }
    removed = [old for name, old in before.items() if name not in after and name not in bound[1]]
    added = [fresh for name, fresh in after.items() if name not in before and name not in bound[0]]
    split = [
        (parameter, parts) for parameter in removed if len(parts := _parts(parameter, added)) > 1
    ]
    parted = {old.name for old, _ in split} | {part.name for _, parts in split for part in parts}
    pairs = {name: to for name, to in pairs.items() if parted.isdisjoint((name, to))}
    known = parted | set(evidence) | set(evidence.values())
    removed = [parameter for parameter in removed if parameter.name not in known]
    added = [parameter for parameter in added if parameter.name not in known]
    for parameter, partner in _by_place(old_function, new_function, removed, added):
        pairs[parameter.name] = partner.name
    return Signature(
        [(before[name], after[to]) for name, to in pairs.items()],
        [parameter for parameter in added if parameter.name not in pairs.values()],
        [parameter for parameter in removed if parameter.name not in pairs],
        split,
        _reordered(before, after),
    )


def _parts(parameter: Parameter, new: list[Parameter]) -> list[Parameter]:
    """Added parameters named as this one with a suffix: ``low`` and ``high`` of a ``range``."""
    words = words_of(parameter.name)
    return [
        other
        for other in new
        if words_of(other.name)[: len(words)] == words != words_of(other.name)
    ]


def _by_place(
    old_function: Function, new_function: Function, removed: list[Parameter], added: list[Parameter]
) -> list[tuple[Parameter, Parameter]]:
    """Pair parameters without evidence in the bodies: by similar name or by position."""
    scored = []
    alone = min(len(removed), len(added)) == 1
    used = _used(old_function), _used(new_function)
    for parameter in removed:
        for partner in added:
            # one is no other name of many
            if parameter.form != partner.form or not _types_agree(parameter.type, partner.type):
                continue
            name = names_alike(parameter.name, partner.name)
            place = alone and _same_place(
                old_function, new_function, parameter, partner, len(removed) == len(added)
            )
            silent = parameter.name not in used[0] or partner.name not in used[1]
            single = len(removed) == len(added) == 1
            if place or ((silent or single) and name >= _ALIKE):
                scored.append((-name - place, parameter.name, partner.name, parameter, partner))
    pairs: dict[str, tuple[Parameter, Parameter]] = {}
    taken: set[str] = set()
    for *_, parameter, partner in sorted(scored, key=lambda item: item[:3]):
        if parameter.name not in pairs and partner.name not in taken:
            pairs[parameter.name] = parameter, partner
            taken.add(partner.name)
    return list(pairs.values())


def _types_agree(first: str, second: str) -> bool:
    """Whether types are the same, or one is not written or an alternative of the other."""
    short, long = sorted(
        (first.removeprefix(":").strip(), second.removeprefix(":").strip()), key=len
    )
    if not short or short == long:
        return True
    return long.startswith(f"{short} |") or long.endswith(f"| {short}") or f"| {short} |" in long


def _used(function: Function) -> set[str]:
    return {text for statement in function.statements for text in statement.texts}


def _same_place(
    old_function: Function,
    new_function: Function,
    parameter: Parameter,
    partner: Parameter,
    single: bool,
) -> bool:
    """Whether parameters have the same position, from the start or from the end."""
    place, at = old_function.parameters.index(parameter), new_function.parameters.index(partner)
    from_end = place - len(old_function.parameters) == at - len(new_function.parameters)
    return place == at or (single and from_end)


def _reordered(before: dict[str, Parameter], after: dict[str, Parameter]) -> bool:
    """Whether parameters with unchanged names have a different order."""
    return [name for name in before if name in after] != [name for name in after if name in before]
