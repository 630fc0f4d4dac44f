"""Three-way joins of plain values: mappings by key, lists by item.

A value that only one side changed is taken; one that both changed differently is decided by the caller, or is ours.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

K = TypeVar("K")

ABSENT: Final = object()
"""Stands for a key that a version does not have."""

Decide = Callable[[Any, Any], Any]
"""Takes our value and theirs, which differ from the base and from each other."""


def choose(base: Any, ours: Any, theirs: Any, decide: Decide) -> Any:
    if _equal(ours, theirs) or _equal(base, theirs):
        return ours
    if _equal(base, ours):
        return theirs
    return decide(ours, theirs)


def join_keys(base: Mapping[K, Any], ours: Mapping[K, Any], theirs: Mapping[K, Any]) -> list[K]:
    """The keys of all versions: in our order, those of theirs after the key they follow there."""
    return _merge_order(list(ours), list(theirs), list(base))


def join_values(base: Any, ours: Any, theirs: Any) -> Any:
    def decide(our_value: Any, their_value: Any) -> Any:
        if our_value is ABSENT or their_value is ABSENT:
            return their_value if our_value is ABSENT else our_value
        if isinstance(our_value, Mapping) and isinstance(their_value, Mapping):
            return _join_mappings(base if isinstance(base, Mapping) else {}, our_value, their_value)
        if isinstance(our_value, list) and isinstance(their_value, list):
            return join_lists(base if isinstance(base, list) else [], our_value, their_value)
        return our_value

    return choose(base, ours, theirs, decide)


def join_lists(
    base: Sequence[Any],
    ours: Sequence[Any],
    theirs: Sequence[Any],
    key: Callable[[Any], Hashable] | None = None,
    decide: Decide = lambda ours, theirs: theirs if ours is ABSENT else ours,
) -> list[Any]:
    """Join lists whose items are known by a key; by default by all that they say."""
    of = key or (lambda item: json.dumps(item, sort_keys=True, default=str))
    base_items, our_items, their_items = ({of(item): item for item in items} for items in (base, ours, theirs))
    merged = []
    for name in _merge_order(list(our_items), list(their_items), list(base_items)):
        item = choose(base_items.get(name, ABSENT), our_items.get(name, ABSENT), their_items.get(name, ABSENT), decide)
        if item is not ABSENT:
            merged.append(item)
    return merged


def _join_mappings(base: Mapping[str, Any], ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    merged = {}
    for key in join_keys(base, ours, theirs):
        value = join_values(*(each.get(key, ABSENT) for each in (base, ours, theirs)))
        if value is not ABSENT:
            merged[key] = value
    return merged


def _merge_order(ours: list[Any], theirs: Iterable[Hashable], base: Iterable[Hashable]) -> list[Any]:
    order, previous = list(ours), None
    present = set(ours)
    for name in theirs:
        if name not in present:
            order.insert(order.index(previous) + 1 if previous in present else 0, name)
            present.add(name)
        previous = name
    return order + [name for name in base if name not in present]


def _equal(first: Any, second: Any) -> bool:
    if first is ABSENT or second is ABSENT:
        return first is second
    # 1, 1.0 and true are equal to Python, but not the same in a file
    return bool(first == second) and json.dumps(first, sort_keys=True, default=str) == json.dumps(
        second, sort_keys=True, default=str
    )
