"""Pair functions by name and container."""

from collections import defaultdict

from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing.similarity import parameter_similarity
from cortex_pipelines.extraction.refactoring.pairing.units import Container, Pairing, outer_container

_MAX_OVERLOADS = 50


def pair_unmoved(pairing: Pairing) -> None:
    candidates: dict[tuple[Container, str], list[Function]] = defaultdict(list)
    for new in pairing.added.values():
        candidates[outer_container(new), new.name].append(new)
    groups: dict[tuple[Container, str], list[Function]] = defaultdict(list)
    for old in pairing.removed.values():
        groups[pairing.container_after(outer_container(old)), old.name].append(old)
    for key in sorted(groups):
        for old, new in _overloads(pairing, groups[key], candidates[key]):
            pairing.pair_functions(old, new)


def _overloads(
    pairing: Pairing, old_functions: list[Function], new_functions: list[Function]
) -> list[tuple[Function, Function]]:
    if len(old_functions) == len(new_functions) == 1 or not new_functions:
        return list(zip(old_functions, new_functions, strict=False))
    scored = sorted(
        (
            -(_types(old) == _types(new) and old.has_body == new.has_body)
            - parameter_similarity(old, new)
            - pairing.similarity.body_similarity(old, new),
            abs(old_index - new_index),
            old_index,
            new_index,
        )
        for old_index, old in enumerate(old_functions[:_MAX_OVERLOADS])
        for new_index, new in enumerate(new_functions[:_MAX_OVERLOADS])
    )
    pairs: dict[int, int] = {}
    taken_indices: set[int] = set()
    for _, _, old_number, new_number in scored:
        if old_number not in pairs and new_number not in taken_indices:
            pairs[old_number] = new_number
            taken_indices.add(new_number)
    return [(old_functions[old_number], new_functions[new_number]) for old_number, new_number in pairs.items()]


def _types(function: Function) -> tuple[str, ...]:
    return tuple(parameter.type for parameter in function.parameters)
