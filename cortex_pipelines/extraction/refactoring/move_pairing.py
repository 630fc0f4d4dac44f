"""Which function of one version went to which place in the other: by name, body and calls."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby

from cortex_pipelines.extraction.refactoring.likeness import parameters_alike, shared
from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.name_pairing import pair_same
from cortex_pipelines.extraction.refactoring.pairing import Pairing
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

CALLED = 0.25
"""How much less alike bodies have to be where one function is called in the other's place."""

_COMMON_NAME, _COMMON_STATEMENT = 30, 10  # what more functions share says nothing


def pair_moved(
    found: Pairing, calls: Counter[tuple[str, str]], settings: RefactoringSettings
) -> None:
    """Pair functions of different containers, outer ones first: inner ones go with them.

    Args:
        found: What is paired already.
        calls: How often one function is called in another's place, by their names.
        settings: Thresholds.
    """
    scored = []
    for one, other in _moved_candidates(found, calls):
        body = found.likeness.bodies(one, other)
        if body >= _least_of_move(one, other, settings, calls[one.name, other.name]):
            depth = len(one.place.around)
            score = body + 0.3 * (one.name == other.name) + 0.1 * parameters_alike(one, other)
            place = one.place.path, one.place.line, other.place.line
            scored.append((depth, -score, *place, one, other))
    scored.sort(key=lambda item: item[:5])
    for _, level in groupby(scored, key=lambda item: item[0]):
        for *_, one, other in level:
            if id(one) in found.gone and id(other) in found.new:
                found.pair_functions(one, other, moved=not _misplaced(found, one, other))
        pair_same(found)


def _least_of_move(
    one: Function, other: Function, settings: RefactoringSettings, calls: int
) -> float:
    small = min(one.weight, other.weight) <= settings.small_body
    if one.name == other.name:
        return settings.least_move + 0.25 * small
    return 2.0 if small else settings.least_move_and_rename - CALLED * bool(calls)


def _misplaced(found: Pairing, one: Function, other: Function) -> bool:
    """Whether only a syntax error makes a function seem to have moved."""
    paths = {one.place.path, other.place.path}
    same_file = found.homes.get((one.place.path, ())) == (other.place.path, ())
    return same_file and one.name == other.name and not paths.isdisjoint(found.broken)


def _moved_candidates(
    found: Pairing, calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    """Functions of one name, called in each other's place, or with an uncommon statement."""
    called: dict[str, list[str]] = defaultdict(list)
    for one_name, other_name in sorted(calls):
        called[one_name].append(other_name)
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
        names = [one.name, *called[one.name]]
        others = {id(other): other for name in names for other in by_name[name][:_COMMON_NAME]}
        for statement in one.statements:
            sharing = by_statement.get(statement.texts, ())
            if len(sharing) <= _COMMON_STATEMENT:
                others |= {id(other): other for other in sharing}
        for other in others.values():
            if shared(one.words, other.words) >= 0.3:
                yield one, other
