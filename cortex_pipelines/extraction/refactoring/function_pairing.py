"""Which function of one version is which of the other: by name and place, then by body."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import product
from typing import Any

from cortex_pipelines.extraction.refactoring.likeness import names_alike, parameters_alike
from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.move_pairing import CALLED, pair_moved
from cortex_pipelines.extraction.refactoring.name_pairing import pair_same
from cortex_pipelines.extraction.refactoring.pairing import Home, Pairing, home_of
from cortex_pipelines.extraction.refactoring.renames import replaced_calls
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_MAX_PAIRS = 10_000  # of functions in one container that are all compared
_UNCOMMON = range(1, 11)  # what more functions share says nothing
_COMMON_NAME = 30  # what more functions share says nothing
_OTHER, _SAME = 0.2, 0.9  # likeness of bodies that are different, and of one body
_MANY = 3  # replaced calls that say enough
_KEPT = 0.1  # what speaks for a function that kept its name, besides the name

Namesakes = dict[str, list[Function]]


def pair_functions(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions: that kept name and place, then the name changed, then the place."""
    pair_same(found)
    _pair_renamed(found, settings)
    pair_same(found)
    pair_moved(found, _replaced_calls(found), settings)


def _pair_renamed(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions of one container by their bodies, also where one took another's name."""
    weak = {id(one): (one, other) for one, other in _weak(found)}
    before = {id(other): one for one, other in weak.values()}
    calls = _replaced_calls(found)
    namesakes = _by_name(found.gone.values()), _by_name(found.new.values())
    ones = [*found.gone.values(), *(one for one, _ in weak.values())]
    others = [*found.new.values(), *(other for _, other in weak.values())]
    scored = []
    for one, other in _renamed_candidates(found, ones, others, calls):
        partner = weak[id(one)][1] if id(one) in weak else None
        if other is partner:
            score = _score(found, one, other) + _KEPT
        elif _split(found, one, other, partner, before.get(id(other))) or _elsewhere(
            found, namesakes, one, other
        ):
            continue
        else:
            score = _rename_score(found, one, other, settings, calls[one.name, other.name])
        if score > 0:
            scored.append((-score, abs(one.place.line - other.place.line), one, other))
    taken: set[int] = set()
    for *_, one, other in sorted(scored, key=lambda item: item[:2]):
        if taken.isdisjoint((id(one), id(other))):
            taken |= {id(one), id(other)}
            _rename(found, one, other, before.get(id(other)))


def _renamed_candidates(
    found: Pairing,
    ones: list[Function],
    others: list[Function],
    calls: Counter[tuple[str, str]],
) -> Iterable[tuple[Function, Function]]:
    """Functions of one container: all, or of many those that have something uncommon in common."""
    by_home: dict[Home, list[Function]] = defaultdict(list)
    for other in others:
        by_home[home_of(other)].append(other)
    groups: dict[Home, list[Function]] = defaultdict(list)
    for one in ones:
        groups[found.home_after(home_of(one))].append(one)
    for home, group in groups.items():
        inside = by_home.get(home, [])
        if len(group) * len(inside) <= _MAX_PAIRS:
            yield from product(group, inside)
        else:
            yield from _sharing(group, inside, calls)


def _sharing(
    ones: list[Function], others: list[Function], calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    by_mark: dict[Any, list[Function]] = defaultdict(list)
    for other in others:
        for mark in _marks(other):
            by_mark[mark].append(other)
    called: dict[str, list[str]] = defaultdict(list)
    for one_name, other_name in sorted(calls):
        called[one_name].append(other_name)
    for one in ones:
        marks = [*_marks(one), *called[one.name]]
        alike = [by_mark[mark] for mark in marks if len(by_mark.get(mark, ())) in _UNCOMMON]
        for other in {id(other): other for sharing in alike for other in sharing}.values():
            yield one, other


def _marks(function: Function) -> list[Any]:
    """What a function may be known by: its name, and its statements."""
    return [function.name, *dict.fromkeys(one.texts for one in function.statements)]


def _weak(found: Pairing) -> list[tuple[Function, Function]]:
    """Pairs of one name that may be different functions: with other parameters and bodies."""
    homes = {home_of(one) for one in found.new.values()}
    homes |= {found.home_after(home_of(one)) for one in found.gone.values()}
    return [
        (one, other)
        for one, other in found.functions
        if one.name
        and home_of(other) in homes
        and parameters_alike(one, other) < 1
        and found.likeness.bodies(one, other) < 1
    ]


def _split(
    found: Pairing,
    one: Function,
    other: Function,
    partner: Function | None,
    origin: Function | None,
) -> bool:
    """Whether one was split into two that call each other, or two were merged: no renaming."""
    if partner is not None and partner.calls[other.name] > one.calls[other.name]:
        return not _replaced(found, one, other, (one, partner))
    if origin is not None and origin.calls[one.name] > other.calls[one.name]:
        return not _replaced(found, one, other, (origin, other))
    return False


def _elsewhere(
    found: Pairing, namesakes: tuple[Namesakes, Namesakes], one: Function, other: Function
) -> bool:
    """Whether one of two functions is more like one of its own name in another place."""
    body = found.likeness.bodies(one, other)
    return any(
        found.likeness.bodies(one, kept) > max(body, _OTHER) for kept in namesakes[1][one.name]
    ) or any(
        found.likeness.bodies(kept, other) > max(body, _OTHER) for kept in namesakes[0][other.name]
    )


def _by_name(functions: Iterable[Function]) -> Namesakes:
    found: Namesakes = defaultdict(list)
    for function in functions:
        if function.name and len(found[function.name]) < _COMMON_NAME:
            found[function.name].append(function)
    return found


def _replaced(
    found: Pairing, one: Function, other: Function, kept: tuple[Function, Function]
) -> bool:
    """Whether a function went as it was to another name, and one that calls it took its name.

    One that does no more than call it is a wrapper, and nothing was renamed.
    """
    if min(len(function.statements) for function in kept) <= 1:
        return False
    taken = found.likeness.bodies(*kept) < _OTHER and parameters_alike(*kept) < 1
    same = found.likeness.bodies(one, other) >= _SAME and parameters_alike(one, other) == 1
    return taken and same


def _rename(found: Pairing, one: Function, other: Function, origin: Function | None) -> None:
    if found.stayed.get(id(one), (one, None))[1] is other:
        return
    if id(one) in found.stayed:
        found.part(one)
    if origin is not None and id(origin) in found.stayed and id(other) not in found.new:
        found.part(origin)
    found.pair_functions(one, other)


def _score(found: Pairing, one: Function, other: Function) -> float:
    name = names_alike(one.name, other.name)
    body = found.likeness.bodies(one, other)
    return 0.65 * body + 0.2 * name + 0.15 * parameters_alike(one, other)


def _replaced_calls(found: Pairing) -> Counter[tuple[str, str]]:
    """How often one function is called in another's place in functions that stayed."""
    gone = {function.name for function in found.gone.values() if function.name}
    new = {function.name for function in found.new.values() if function.name}
    calls: Counter[tuple[str, str]] = Counter()
    for one, other in found.functions:
        if not gone.isdisjoint(one.calls) and not new.isdisjoint(other.calls):
            calls.update(replaced_calls(found.likeness.mapped(one, other)))
    return calls


def _rename_score(
    found: Pairing, one: Function, other: Function, settings: RefactoringSettings, calls: int
) -> float:
    """How sure it is that one function became the other, 0 where it is not."""
    if not one.name or not other.name or one.has_body != other.has_body:
        return 0.0
    name = names_alike(one.name, other.name)
    if not one.statements and not other.statements:
        same = name >= 0.5 and parameters_alike(one, other) == 1
        return _score(found, one, other) if same else 0.0
    least = _least_of_rename(one, other, name, settings, calls)
    return _score(found, one, other) if found.likeness.bodies(one, other) >= least else 0.0


def _least_of_rename(
    one: Function, other: Function, name: float, settings: RefactoringSettings, calls: int
) -> float:
    """How alike bodies have to be, given what names and calls say."""
    least = settings.least_rename
    if calls:
        return 0.0 if calls >= _MANY and name >= 0.5 else least - CALLED
    if min(one.weight, other.weight) <= settings.small_body and name < 0.34:
        return 0.8 if len(one.parameters) > 1 and parameters_alike(one, other) == 1 else 1.0
    return least - 0.15 if name >= 0.5 else least
