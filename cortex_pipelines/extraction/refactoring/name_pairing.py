"""Which function of one version is which of the other by name and place."""

from collections import defaultdict

from cortex_pipelines.extraction.refactoring.likeness import parameters_alike
from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing import Home, Pairing, home_of

_MAX_OVERLOADS = 50


def pair_same(found: Pairing) -> None:
    """Pair functions of one name in one container."""
    places: dict[tuple[Home, str], list[Function]] = defaultdict(list)
    for other in found.new.values():
        places[home_of(other), other.name].append(other)
    groups: dict[tuple[Home, str], list[Function]] = defaultdict(list)
    for one in found.gone.values():
        groups[found.home_after(home_of(one)), one.name].append(one)
    for key in sorted(groups):
        for one, other in _overloads(found, groups[key], places[key]):
            found.pair_functions(one, other)


def _overloads(
    found: Pairing, ones: list[Function], others: list[Function]
) -> list[tuple[Function, Function]]:
    """Pair functions of one name: by equal parameters first, then by what is most alike."""
    if len(ones) == len(others) == 1 or not others:
        return list(zip(ones, others, strict=False))
    scored = sorted(
        (
            -(_types(one) == _types(other) and one.has_body == other.has_body)
            - parameters_alike(one, other)
            - found.likeness.bodies(one, other),
            abs(at - place),
            at,
            place,
        )
        for at, one in enumerate(ones[:_MAX_OVERLOADS])
        for place, other in enumerate(others[:_MAX_OVERLOADS])
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, at, place in scored:
        if at not in pairs and place not in taken:
            pairs[at] = place
            taken.add(place)
    return [(ones[at], others[place]) for at, place in pairs.items()]


def _types(function: Function) -> tuple[str, ...]:
    return tuple(parameter.type for parameter in function.parameters)
