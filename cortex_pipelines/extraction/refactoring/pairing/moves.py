"""Pair moved functions by name, body and calls."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby

from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing.names import pair_same
from cortex_pipelines.extraction.refactoring.pairing.similarity import parameters_alike, shared
from cortex_pipelines.extraction.refactoring.pairing.units import Pairing
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

CALLED = 0.25
"""How much the required similarity falls if one function is called in place of the other."""

_COMMON_NAME, _COMMON_STATEMENT = 30, 10  # what more functions share says nothing


def pair_moved(
    pairing: Pairing, calls: Counter[tuple[str, str]], settings: RefactoringSettings
) -> None:
    """Pair functions of different containers, outermost first: inner ones move along.

    Args:
        pairing: What is paired already.
        calls: How often one function is called in another's place, by their names.
        settings: Thresholds.
    """
    scored = []
    for old, new in _moved_candidates(pairing, calls):
        body = pairing.likeness.bodies(old, new)
        if body >= _least_of_move(old, new, settings, calls[old.name, new.name]):
            depth = len(old.place.around)
            score = body + 0.3 * (old.name == new.name) + 0.1 * parameters_alike(old, new)
            place = old.place.path, old.place.line, new.place.line
            scored.append((depth, -score, *place, old, new))
    scored.sort(key=lambda item: item[:5])
    for _, level in groupby(scored, key=lambda item: item[0]):
        for *_, old, new in level:
            if id(old) in pairing.removed and id(new) in pairing.added:
                pairing.pair_functions(old, new, moved=not _misplaced(pairing, old, new))
        pair_same(pairing)


def _least_of_move(
    old: Function, new: Function, settings: RefactoringSettings, calls: int
) -> float:
    small = min(old.weight, new.weight) <= settings.small_body
    if old.name == new.name:
        return settings.least_move + 0.25 * small
    # with another place, name and parameters, a call in its place is not enough
    replaced = calls and parameters_alike(old, new)
    return 2.0 if small else settings.least_move_and_rename - CALLED * bool(replaced)


def _misplaced(pairing: Pairing, old: Function, new: Function) -> bool:
    """Whether a function seems moved by a syntax error, or by its class becoming one."""
    paths = {old.place.path, new.place.path}
    same_file = pairing.homes.get((old.place.path, ())) == (new.place.path, ())
    if old.name != new.name:
        return same_file and old.constructed == new.constructed
    return same_file and not paths.isdisjoint(pairing.broken)


def _moved_candidates(
    pairing: Pairing, calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    """Functions with one name, replaced calls, or a rare statement in common."""
    called: dict[str, list[str]] = defaultdict(list)
    for old_name, new_name in sorted(calls):
        called[old_name].append(new_name)
    by_name: dict[str, list[Function]] = defaultdict(list)
    by_statement: dict[tuple[str, ...], list[Function]] = defaultdict(list)
    for new in pairing.added.values():
        if new.name and new.statements:
            by_name[new.name].append(new)
            for texts in {line.texts for line in new.statements if line.weight > 2}:
                by_statement[texts].append(new)
    for old in pairing.removed.values():
        if not old.name or not old.statements:
            continue
        names = [old.name, *called[old.name]]
        others = {id(new): new for name in names for new in by_name[name][:_COMMON_NAME]}
        for statement in old.statements:
            sharing = by_statement.get(statement.texts, ())
            if len(sharing) <= _COMMON_STATEMENT:
                others |= {id(new): new for new in sharing}
        for new in others.values():
            if shared(old.words, new.words) >= 0.3:
                yield old, new
