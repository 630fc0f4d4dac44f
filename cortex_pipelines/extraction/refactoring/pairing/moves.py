"""Pair moved functions by name, body and calls."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby

from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.pairing.names import pair_unmoved
from cortex_pipelines.extraction.refactoring.pairing.similarity import dice_similarity, parameter_similarity
from cortex_pipelines.extraction.refactoring.pairing.units import Pairing
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

CALLED = 0.25
"""How much the required similarity falls if one function is called in place of the other."""

_MAX_SHARING = 10  # a statement that more functions share is ignored


def pair_moved(pairing: Pairing, calls: Counter[tuple[str, str]], settings: RefactoringSettings) -> None:
    """Pair functions of different containers, outermost first: inner ones move along."""
    scored = []
    for old, new in _moved_candidates(pairing, calls):
        body = pairing.similarity.body_similarity(old, new)
        if body >= _move_threshold(old, new, settings, calls[old.name, new.name]):
            depth = len(old.location.enclosing_names)
            score = body + 0.3 * (old.name == new.name) + 0.1 * parameter_similarity(old, new)
            sort_position = old.location.path, old.location.line, new.location.line
            scored.append((depth, -score, *sort_position, old, new))
    scored.sort(key=lambda item: item[:5])
    for _, level in groupby(scored, key=lambda item: item[0]):
        for *_, old, new in level:
            if id(old) in pairing.removed and id(new) in pairing.added:
                pairing.pair_functions(old, new, is_move=not _seems_moved(pairing, old, new))
        pair_unmoved(pairing)


def _move_threshold(old: Function, new: Function, settings: RefactoringSettings, calls: int) -> float:
    small = min(old.weight, new.weight) <= settings.small_body
    if old.name == new.name:
        return settings.least_move + 0.25 * small
    # if container, name and parameters differ, a replaced call is not enough
    replaced = calls and parameter_similarity(old, new)
    return 2.0 if small else settings.least_move_and_rename - CALLED * bool(replaced)


def _seems_moved(pairing: Pairing, old: Function, new: Function) -> bool:
    """Whether a function seems moved by a syntax error, or by its class becoming one."""
    paths = {old.location.path, new.location.path}
    same_file = pairing.containers.get((old.location.path, ())) == (new.location.path, ())
    if old.name != new.name:
        return same_file and old.constructed_class == new.constructed_class
    return same_file and not paths.isdisjoint(pairing.paths_with_errors)


def _moved_candidates(pairing: Pairing, calls: Counter[tuple[str, str]]) -> Iterable[tuple[Function, Function]]:
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
        candidates = {id(new): new for name in names for new in by_name[name][:MAX_NAMESAKES]}
        for statement in old.statements:
            sharing = by_statement.get(statement.texts, ())
            if len(sharing) <= _MAX_SHARING:
                candidates |= {id(new): new for new in sharing}
        for new in candidates.values():
            if dice_similarity(old.word_counts, new.word_counts) >= 0.3:
                yield old, new
