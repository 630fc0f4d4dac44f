"""Which function of one version is which of the other: by name and place, then by body."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby, product
from typing import Any

from cortex_pipelines.extraction.refactoring.likeness import names_alike, parameters_alike, shared
from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing import Home, Pairing, home_of
from cortex_pipelines.extraction.refactoring.renames import replaced_calls
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_MAX_OVERLOADS = 50
_MAX_PAIRS = 10_000  # of functions in one container that are all compared
_UNCOMMON = range(1, 11)  # what more functions share says nothing
_COMMON_NAME, _COMMON_STATEMENT = 30, 10  # what more functions share says nothing
_OTHER, _SAME = 0.2, 0.9  # likeness of bodies that are different, and of one body
_CALLED, _MANY = 0.25, 3  # what it says that calls were replaced, and how many say enough
_KEPT = 0.1  # what speaks for a function that kept its name, besides the name


def pair_functions(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions: that kept name and place, then the name changed, then the place."""
    _pair_same(found)
    _pair_renamed(found, settings)
    _pair_same(found)
    _pair_moved(found, settings)


def _pair_same(found: Pairing) -> None:
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


def _pair_renamed(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions of one container by their bodies, also where one took another's name."""
    weak = {id(one): (one, other) for one, other in _weak(found)}
    before = {id(other): one for one, other in weak.values()}
    calls = _replaced_calls(found)
    ones = [*found.gone.values(), *(one for one, _ in weak.values())]
    others = [*found.new.values(), *(other for _, other in weak.values())]
    scored = []
    for one, other in _renamed_candidates(found, ones, others, calls):
        partner = weak[id(one)][1] if id(one) in weak else None
        if other is partner:
            score = _score(found, one, other) + _KEPT
        elif _split(found, one, other, partner, before.get(id(other))):
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
        return 0.0 if calls >= _MANY and name >= 0.5 else least - _CALLED
    if min(one.weight, other.weight) <= settings.small_body and name < 0.34:
        return 0.8 if len(one.parameters) > 1 and parameters_alike(one, other) == 1 else 1.0
    return least - 0.15 if name >= 0.5 else least


def _pair_moved(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions of different containers, outer ones first: inner ones go with them."""
    scored = []
    for one, other in _moved_candidates(found):
        body = found.likeness.bodies(one, other)
        if body >= _least_of_move(one, other, settings):
            depth = len(one.place.around)
            score = body + 0.3 * (one.name == other.name) + 0.1 * parameters_alike(one, other)
            place = one.place.path, one.place.line, other.place.line
            scored.append((depth, -score, *place, one, other))
    scored.sort(key=lambda item: item[:5])
    for _, level in groupby(scored, key=lambda item: item[0]):
        for *_, one, other in level:
            if id(one) in found.gone and id(other) in found.new:
                found.pair_functions(one, other, moved=not _misplaced(found, one, other))
        _pair_same(found)


def _least_of_move(one: Function, other: Function, settings: RefactoringSettings) -> float:
    small = min(one.weight, other.weight) <= settings.small_body
    if one.name == other.name:
        return settings.least_move + 0.25 * small
    return 2.0 if small else settings.least_move_and_rename


def _misplaced(found: Pairing, one: Function, other: Function) -> bool:
    """Whether only a syntax error makes a function seem to have moved."""
    paths = {one.place.path, other.place.path}
    same_file = found.homes.get((one.place.path, ())) == (other.place.path, ())
    return same_file and one.name == other.name and not paths.isdisjoint(found.broken)


def _moved_candidates(found: Pairing) -> Iterable[tuple[Function, Function]]:
    """Functions of one name, or with an uncommon statement in common."""
    by_name: dict[str, list[Function]] = defaultdict(list)
    by_statement: dict[tuple[str, ...], list[Function]] = defaultdict(list)
    for other in found.new.values():
        if other.name and other.statements:
            by_name[other.name].append(other)
            for texts in {one.texts for one in other.statements if one.weight > 2}:
                by_statement[texts].append(other)
    for one in found.gone.values():
        if not one.name or not one.statements:
            continue
        others = {id(other): other for other in by_name[one.name][:_COMMON_NAME]}
        for statement in one.statements:
            sharing = by_statement.get(statement.texts, ())
            if len(sharing) <= _COMMON_STATEMENT:
                others |= {id(other): other for other in sharing}
        for other in others.values():
            if shared(one.words, other.words) >= 0.3:
                yield one, other
