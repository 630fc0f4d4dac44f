"""Pair functions by name and place."""

from collections import defaultdict

from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing.similarity import parameters_alike
from cortex_pipelines.extraction.refactoring.pairing.units import Home, Pairing, home_of

_MAX_OVERLOADS = 50


def pair_same(pairing: Pairing) -> None:
    """Pair functions of one name in one container."""
    places: dict[tuple[Home, str], list[Function]] = defaultdict(list)
    for new in pairing.added.values():
        places[home_of(new), new.name].append(new)
    groups: dict[tuple[Home, str], list[Function]] = defaultdict(list)
    for old in pairing.removed.values():
        groups[pairing.home_after(home_of(old)), old.name].append(old)
    for key in sorted(groups):
        for old, new in _overloads(pairing, groups[key], places[key]):
            pairing.pair_functions(old, new)


def _overloads(
    pairing: Pairing, old_functions: list[Function], new_functions: list[Function]
) -> list[tuple[Function, Function]]:
    """Pair overloads: by equal parameters first, then by similarity."""
    if len(old_functions) == len(new_functions) == 1 or not new_functions:
        return list(zip(old_functions, new_functions, strict=False))
    scored = sorted(
        (
            -(_types(old) == _types(new) and old.has_body == new.has_body)
            - parameters_alike(old, new)
            - pairing.likeness.bodies(old, new),
            abs(at - place),
            at,
            place,
        )
        for at, old in enumerate(old_functions[:_MAX_OVERLOADS])
        for place, new in enumerate(new_functions[:_MAX_OVERLOADS])
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, at, place in scored:
        if at not in pairs and place not in taken:
            pairs[at] = place
            taken.add(place)
    return [(old_functions[at], new_functions[place]) for at, place in pairs.items()]


def _types(function: Function) -> tuple[str, ...]:
    return tuple(parameter.type for parameter in function.parameters)
