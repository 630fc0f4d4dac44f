"""What happened to the parameters of a function."""

from dataclasses import dataclass

from cortex_pipelines.extraction.refactoring.likeness import names_alike
from cortex_pipelines.extraction.refactoring.model import Function, Parameter, words_of

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
    one: Function, other: Function, evidence: dict[str, str], bound: tuple[set[str], set[str]]
) -> Signature:
    """Compare the parameters of two versions of a function.

    Args:
        one, other: The versions.
        evidence: Names before that the bodies show as renamed, to their names after.
        bound: Variables that the bodies bind, before and after: a parameter that becomes one is
            localized, not removed; one that was one is no added parameter.
    """
    before = {parameter.name: parameter for parameter in one.parameters}
    after = {parameter.name: parameter for parameter in other.parameters}
    pairs = {
        name: to
        for name, to in evidence.items()
        if name in before and name not in after and to in after and to not in before
    }
    gone = [old for name, old in before.items() if name not in after and name not in bound[1]]
    new = [fresh for name, fresh in after.items() if name not in before and name not in bound[0]]
    split = [(parameter, parts) for parameter in gone if len(parts := _parts(parameter, new)) > 1]
    parted = {one.name for one, _ in split} | {part.name for _, parts in split for part in parts}
    pairs = {name: to for name, to in pairs.items() if parted.isdisjoint((name, to))}
    known = parted | set(evidence) | set(evidence.values())
    gone = [parameter for parameter in gone if parameter.name not in known]
    new = [parameter for parameter in new if parameter.name not in known]
    for parameter, partner in _by_place(one, other, gone, new):
        pairs[parameter.name] = partner.name
    return Signature(
        [(before[name], after[to]) for name, to in pairs.items()],
        [parameter for parameter in new if parameter.name not in pairs.values()],
        [parameter for parameter in gone if parameter.name not in pairs],
        split,
        _reordered(before, after),
    )


def _parts(parameter: Parameter, new: list[Parameter]) -> list[Parameter]:
    """Parameters named as this one with something added: ``low`` and ``high`` of a ``range``."""
    words = words_of(parameter.name)
    return [
        other
        for other in new
        if words_of(other.name)[: len(words)] == words != words_of(other.name)
    ]


def _by_place(
    one: Function, other: Function, gone: list[Parameter], new: list[Parameter]
) -> list[tuple[Parameter, Parameter]]:
    """Parameters that the bodies say nothing of: alike by name, or the only one in their place."""
    scored = []
    alone = min(len(gone), len(new)) == 1
    used = _used(one), _used(other)
    for parameter in gone:
        for partner in new:
            if parameter.type and partner.type and parameter.type != partner.type:
                continue
            name = names_alike(parameter.name, partner.name)
            place = alone and _same_place(one, other, parameter, partner, len(gone) == len(new))
            silent = parameter.name not in used[0] or partner.name not in used[1]
            single = len(gone) == len(new) == 1
            if place or ((silent or single) and name >= _ALIKE and parameter.form == partner.form):
                scored.append((-name - place, parameter.name, partner.name, parameter, partner))
    pairs: dict[str, tuple[Parameter, Parameter]] = {}
    taken: set[str] = set()
    for *_, parameter, partner in sorted(scored, key=lambda item: item[:3]):
        if parameter.name not in pairs and partner.name not in taken:
            pairs[parameter.name] = parameter, partner
            taken.add(partner.name)
    return list(pairs.values())


def _used(function: Function) -> set[str]:
    return {text for statement in function.statements for text in statement.texts}


def _same_place(
    one: Function, other: Function, parameter: Parameter, partner: Parameter, single: bool
) -> bool:
    """Whether parameters are as far from the start, or as far from the end if no other changed."""
    place, at = one.parameters.index(parameter), other.parameters.index(partner)
    from_end = place - len(one.parameters) == at - len(other.parameters)
    return place == at or (single and from_end)


def _reordered(before: dict[str, Parameter], after: dict[str, Parameter]) -> bool:
    """Whether parameters that kept their names stand in another order."""
    return [name for name in before if name in after] != [name for name in after if name in before]
