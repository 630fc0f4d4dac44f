"""Pair the functions of two versions: by name and place, then by body."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import product
from typing import Any

from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing.moves import CALLED, pair_moved
from cortex_pipelines.extraction.refactoring.pairing.names import pair_same
from cortex_pipelines.extraction.refactoring.pairing.similarity import names_alike, parameters_alike
from cortex_pipelines.extraction.refactoring.pairing.units import Home, Pairing, home_of
from cortex_pipelines.extraction.refactoring.renames import replaced_calls
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_MAX_PAIRS = 10_000  # of functions in one container that are all compared
_UNCOMMON = range(1, 11)  # what more functions share says nothing
_COMMON_NAME = 30  # what more functions share says nothing
_OTHER, _SAME = 0.2, 0.9  # likeness of bodies that are different, and of one body
_MANY = 3  # replaced calls that say enough
_KEPT = 0.1  # what speaks for a function that kept its name, besides the name

Namesakes = dict[str, list[Function]]


def pair_functions(pairing: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions: unchanged name and place first, then renamed, then moved."""
    pair_same(pairing)
    _pair_renamed(pairing, settings)
    pair_same(pairing)
    pair_moved(pairing, _replaced_calls(pairing), settings)


def _pair_renamed(pairing: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions of one container by body, even if one took another's name."""
    weak = {id(old): (old, new) for old, new in _weak(pairing)}
    before = {id(new): old for old, new in weak.values()}
    calls = _replaced_calls(pairing)
    namesakes = _by_name(pairing.removed.values()), _by_name(pairing.added.values())
    old_functions = [*pairing.removed.values(), *(old for old, _ in weak.values())]
    new_functions = [*pairing.added.values(), *(new for _, new in weak.values())]
    scored = []
    for old, new in _renamed_candidates(pairing, old_functions, new_functions, calls):
        partner = weak[id(old)][1] if id(old) in weak else None
        if new is partner:
            score = _score(pairing, old, new) + _KEPT
        elif _split(pairing, old, new, partner, before.get(id(new))) or _elsewhere(
            pairing, namesakes, old, new
        ):
            continue
        else:
            score = _rename_score(pairing, old, new, settings, calls[old.name, new.name])
        if score > 0:
            scored.append((-score, abs(old.place.line - new.place.line), old, new))
    taken: set[int] = set()
    for *_, old, new in sorted(scored, key=lambda item: item[:2]):
        if taken.isdisjoint((id(old), id(new))):
            taken |= {id(old), id(new)}
            _rename(pairing, old, new, before.get(id(new)))


def _renamed_candidates(
    pairing: Pairing,
    old_functions: list[Function],
    new_functions: list[Function],
    calls: Counter[tuple[str, str]],
) -> Iterable[tuple[Function, Function]]:
    """Candidate pairs in one container; in large ones only those with rare features in common."""
    by_home: dict[Home, list[Function]] = defaultdict(list)
    for new in new_functions:
        by_home[home_of(new)].append(new)
    groups: dict[Home, list[Function]] = defaultdict(list)
    for old in old_functions:
        groups[pairing.home_after(home_of(old))].append(old)
    for home, group in groups.items():
        inside = by_home.get(home, [])
        if len(group) * len(inside) <= _MAX_PAIRS:
            yield from product(group, inside)
        else:
            yield from _sharing(group, inside, calls)


def _sharing(
    old_functions: list[Function], new_functions: list[Function], calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    by_mark: dict[Any, list[Function]] = defaultdict(list)
    for new in new_functions:
        for mark in _marks(new):
            by_mark[mark].append(new)
    called: dict[str, list[str]] = defaultdict(list)
    for old_name, new_name in sorted(calls):
        called[old_name].append(new_name)
    for old in old_functions:
        marks = [*_marks(old), *called[old.name]]
        alike = [by_mark[mark] for mark in marks if len(by_mark.get(mark, ())) in _UNCOMMON]
        for new in {id(new): new for sharing in alike for new in sharing}.values():
            yield old, new


def _marks(function: Function) -> list[Any]:
    """Features to find candidates by: a function's name and statements."""
    return [function.name, *dict.fromkeys(statement.texts for statement in function.statements)]


def _weak(pairing: Pairing) -> list[tuple[Function, Function]]:
    """Pairs of equal name whose parameters and bodies suggest different functions."""
    homes = {home_of(old) for old in pairing.added.values()}
    homes |= {pairing.home_after(home_of(old)) for old in pairing.removed.values()}
    return [
        (old, new)
        for old, new in pairing.functions
        if old.name
        and home_of(new) in homes
        and parameters_alike(old, new) < 1
        and pairing.likeness.bodies(old, new) < 1
    ]


def _split(
    pairing: Pairing,
    old: Function,
    new: Function,
    partner: Function | None,
    origin: Function | None,
) -> bool:
    """Whether a function was split in two, or two were merged, which is no renaming."""
    if partner is not None and partner.calls[new.name] > old.calls[new.name]:
        return not _replaced(pairing, old, new, (old, partner))
    if origin is not None and origin.calls[old.name] > new.calls[old.name]:
        return not _replaced(pairing, old, new, (origin, new))
    return False


def _elsewhere(
    pairing: Pairing, namesakes: tuple[Namesakes, Namesakes], old: Function, new: Function
) -> bool:
    """Whether either function is more similar to a namesake elsewhere."""
    body = pairing.likeness.bodies(old, new)
    return any(
        pairing.likeness.bodies(old, kept) > max(body, _OTHER) for kept in namesakes[1][old.name]
    ) or any(
        pairing.likeness.bodies(kept, new) > max(body, _OTHER) for kept in namesakes[0][new.name]
    )


def _by_name(functions: Iterable[Function]) -> Namesakes:
    namesakes: Namesakes = defaultdict(list)
    for function in functions:
        if function.name and len(namesakes[function.name]) < _COMMON_NAME:
            namesakes[function.name].append(function)
    return namesakes


def _replaced(
    pairing: Pairing, old: Function, new: Function, kept: tuple[Function, Function]
) -> bool:
    """Whether a function was renamed and a caller of it took its name.

    One that does no more than call it is a wrapper, and nothing was renamed.
    """
    if min(len(function.statements) for function in kept) <= 1:
        return False
    taken = pairing.likeness.bodies(*kept) < _OTHER and parameters_alike(*kept) < 1
    same = pairing.likeness.bodies(old, new) >= _SAME and parameters_alike(old, new) == 1
    return taken and same


def _rename(pairing: Pairing, old: Function, new: Function, origin: Function | None) -> None:
    if pairing.stayed.get(id(old), (old, None))[1] is new:
        return
    if id(old) in pairing.stayed:
        pairing.part(old)
    if origin is not None and id(origin) in pairing.stayed and id(new) not in pairing.added:
        pairing.part(origin)
    pairing.pair_functions(old, new)


def _score(pairing: Pairing, old: Function, new: Function) -> float:
    name = names_alike(old.name, new.name)
    body = pairing.likeness.bodies(old, new)
    return 0.65 * body + 0.2 * name + 0.15 * parameters_alike(old, new)


def _replaced_calls(pairing: Pairing) -> Counter[tuple[str, str]]:
    """Count calls to one function that replaced calls to another in unmoved functions."""
    removed = {function.name for function in pairing.removed.values() if function.name}
    added = {function.name for function in pairing.added.values() if function.name}
    calls: Counter[tuple[str, str]] = Counter()
    for old, new in pairing.functions:
        if not removed.isdisjoint(old.calls) and not added.isdisjoint(new.calls):
            calls.update(replaced_calls(pairing.likeness.mapped(old, new)))
    return calls


def _rename_score(
    pairing: Pairing, old: Function, new: Function, settings: RefactoringSettings, calls: int
) -> float:
    """Score of a renaming; 0 if it is none."""
    if not old.name or not new.name or old.has_body != new.has_body:
        return 0.0
    name = names_alike(old.name, new.name)
    if not old.statements and not new.statements:
        same = (name >= 0.5 or calls > 0) and parameters_alike(old, new) == 1
        return _score(pairing, old, new) if same else 0.0
    least = _least_of_rename(old, new, name, settings, calls)
    return _score(pairing, old, new) if pairing.likeness.bodies(old, new) >= least else 0.0


def _least_of_rename(
    old: Function, new: Function, name: float, settings: RefactoringSettings, calls: int
) -> float:
    """Required similarity of bodies, given names and calls."""
    least = settings.least_rename
    if calls:
        return 0.0 if calls >= _MANY and name >= 0.5 else least - CALLED
    if min(old.weight, new.weight) <= settings.small_body and name < 0.34:
        return 0.8 if len(old.parameters) > 1 and parameters_alike(old, new) == 1 else 1.0
    return least - 0.15 if name >= 0.5 else least
