"""Pair the functions of two versions: by name and container, then by body."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby, product
from operator import itemgetter
from typing import Any

from cortex_pipelines.extraction.refactoring.mapping import (
    dice_similarity,
    name_similarity,
    one_to_one,
    parameter_similarity,
)
from cortex_pipelines.extraction.refactoring.model import Function
from cortex_pipelines.extraction.refactoring.renames import replaced_calls
from cortex_pipelines.extraction.refactoring.unit_pairing import Pairing, grouped, outer_container, pair_unmoved
from cortex_pipelines.extraction.settings import RefactoringSettings

CALLED = 0.25
"""How much the required similarity falls if one function is called in place of the other."""

_MAX_SHARING = 10  # a statement that more functions share is ignored


def pair_moved(pairing: Pairing, calls: Counter[tuple[str, str]], settings: RefactoringSettings) -> None:
    """Pair functions of different containers, outermost first: inner ones move along."""
    scored = []
    for old, new in _moved_candidates(pairing, calls):
        body = pairing.body_similarity(old, new)
        is_small = min(old.weight, new.weight) <= settings.small_body
        if old.name == new.name:
            threshold = settings.least_move + 0.25 * is_small
        else:
            # if container, name and parameters differ, a replaced call is not enough
            is_replaced = calls[old.name, new.name] > 0 and parameter_similarity(old, new) > 0
            threshold = 2.0 if is_small else settings.least_move_and_rename - CALLED * is_replaced
        if body >= threshold:
            depth = len(old.location.enclosing_names)
            score = body + 0.3 * (old.name == new.name) + 0.1 * parameter_similarity(old, new)
            sort_position = old.location.path, old.location.line, new.location.line
            scored.append((depth, -score, *sort_position, old, new))
    scored.sort(key=lambda item: item[:5])
    for _, level in groupby(scored, key=lambda item: item[0]):
        for *_, old, new in level:
            if id(old) in pairing.removed and id(new) in pairing.added:
                # a syntax error, or its class becoming a function, only makes it seem moved
                same_file = pairing.containers.get((old.location.path, ())) == (new.location.path, ())
                if old.name == new.name:
                    stays = not {old.location.path, new.location.path}.isdisjoint(pairing.paths_with_errors)
                else:
                    stays = old.constructed_class == new.constructed_class
                pairing.pair_functions(old, new, is_move=not (same_file and stays))
        pair_unmoved(pairing)


def _moved_candidates(pairing: Pairing, calls: Counter[tuple[str, str]]) -> Iterable[tuple[Function, Function]]:
    called = grouped(sorted(calls), itemgetter(0))
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
        names = [old.name, *(name for _, name in called[old.name])]
        candidates = {id(new): new for name in names for new in by_name[name][:_MAX_NAMESAKES]}
        for statement in old.statements:
            sharing = by_statement.get(statement.texts, ())
            if len(sharing) <= _MAX_SHARING:
                candidates |= {id(new): new for new in sharing}
        for new in candidates.values():
            if dice_similarity(old.word_counts, new.word_counts) >= 0.3:
                yield old, new


_MAX_PAIRS = 10_000  # of functions in one container that are all compared
_RARE_COUNTS = range(1, 11)  # features that more functions share do not identify one
_MAX_NAMESAKES = 30  # a name that more functions share is not compared
_DIFFERENT_BODY, _SAME_BODY = 0.2, 0.9  # similarity up to which bodies differ, and from which they are the same
_MANY_CALLS = 3  # so many replaced calls suffice
_KEPT_NAME_BONUS = 0.1  # advantage of a function that kept its name

Namesakes = dict[str, list[Function]]


def pair_functions(pairing: Pairing, settings: RefactoringSettings) -> None:
    """Pair functions: unchanged name and container first, then renamed, then moved."""
    pair_unmoved(pairing)
    _pair_renamed(pairing, settings)
    pair_unmoved(pairing)
    pair_moved(pairing, _replaced_calls(pairing), settings)


def _pair_renamed(pairing: Pairing, settings: RefactoringSettings) -> None:
    partners = dict(_weakly_paired(pairing))
    origins = {new: old for old, new in partners.items()}
    calls = _replaced_calls(pairing)
    namesakes = _by_name(pairing.removed.values()), _by_name(pairing.added.values())
    old_functions = [*pairing.removed.values(), *partners]
    new_functions = [*pairing.added.values(), *origins]
    scored = []
    for old, new in _renamed_candidates(pairing, old_functions, new_functions, calls):
        if new is partners.get(old):
            score = _score(pairing, old, new) + _KEPT_NAME_BONUS
        else:
            was_split = _was_split(pairing, old, new, partners.get(old), origins.get(new))
            if was_split or _has_closer_namesake(pairing, namesakes, old, new):
                continue
            score = _rename_score(pairing, old, new, settings, calls[old.name, new.name])
        if score > 0:
            scored.append((-score, abs(old.location.line - new.location.line), old, new))
    for old, new in one_to_one((old, new) for *_, old, new in sorted(scored, key=lambda item: item[:2])):
        origin = origins.get(new)
        if pairing.in_place.get(id(old), (old, None))[1] is new:
            continue
        if id(old) in pairing.in_place:
            pairing.unpair_functions(old)
        if origin is not None and id(origin) in pairing.in_place and id(new) not in pairing.added:
            pairing.unpair_functions(origin)
        pairing.pair_functions(old, new)


def _renamed_candidates(
    pairing: Pairing, old_functions: list[Function], new_functions: list[Function], calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    by_container = grouped(new_functions, outer_container)
    groups = grouped(old_functions, lambda old: pairing.container_after(outer_container(old)))
    for container, group in groups.items():
        candidates = by_container[container]
        if len(group) * len(candidates) <= _MAX_PAIRS:
            yield from product(group, candidates)
        else:
            yield from _rare_feature_pairs(group, candidates, calls)


def _rare_feature_pairs(
    old_functions: list[Function], new_functions: list[Function], calls: Counter[tuple[str, str]]
) -> Iterable[tuple[Function, Function]]:
    by_feature: dict[Any, list[Function]] = defaultdict(list)
    for new in new_functions:
        for feature in _features(new):
            by_feature[feature].append(new)
    called = grouped(sorted(calls), itemgetter(0))
    for old in old_functions:
        features = [*_features(old), *(name for _, name in called[old.name])]
        groups = [by_feature[mark] for mark in features if len(by_feature.get(mark, ())) in _RARE_COUNTS]
        for new in {id(new): new for group in groups for new in group}.values():
            yield old, new


def _features(function: Function) -> list[Any]:
    return [function.name, *dict.fromkeys(statement.texts for statement in function.statements)]


def _weakly_paired(pairing: Pairing) -> list[tuple[Function, Function]]:
    """Pairs of equal name whose parameters and bodies suggest different functions."""
    containers = {outer_container(old) for old in pairing.added.values()}
    containers |= {pairing.container_after(outer_container(old)) for old in pairing.removed.values()}
    return [
        (old, new)
        for old, new in pairing.in_place.values()
        if old.name
        and outer_container(new) in containers
        and parameter_similarity(old, new) < 1
        and pairing.body_similarity(old, new) < 1
    ]


def _was_split(
    pairing: Pairing, old: Function, new: Function, partner: Function | None, origin: Function | None
) -> bool:
    """Whether a function was split in two, or two were merged: not a rename."""
    if partner is not None and partner.calls[new.name] > old.calls[new.name]:
        return not _took_name(pairing, old, new, (old, partner))
    if origin is not None and origin.calls[old.name] > new.calls[old.name]:
        return not _took_name(pairing, old, new, (origin, new))
    return False


def _has_closer_namesake(
    pairing: Pairing, namesakes: tuple[Namesakes, Namesakes], old: Function, new: Function
) -> bool:
    body = max(pairing.body_similarity(old, new), _DIFFERENT_BODY)
    namesake_pairs = [(old, namesake) for namesake in namesakes[1][old.name]]
    namesake_pairs += [(namesake, new) for namesake in namesakes[0][new.name]]
    return any(pairing.body_similarity(*pair) > body for pair in namesake_pairs)


def _by_name(functions: Iterable[Function]) -> Namesakes:
    namesakes: Namesakes = defaultdict(list)
    for function in functions:
        if function.name and len(namesakes[function.name]) < _MAX_NAMESAKES:
            namesakes[function.name].append(function)
    return namesakes


def _took_name(pairing: Pairing, old: Function, new: Function, caller_pair: tuple[Function, Function]) -> bool:
    if min(len(function.statements) for function in caller_pair) <= 1:
        return False
    if pairing.body_similarity(*caller_pair) >= _DIFFERENT_BODY or parameter_similarity(*caller_pair) == 1:
        return False
    return pairing.body_similarity(old, new) >= _SAME_BODY and parameter_similarity(old, new) == 1


def _score(pairing: Pairing, old: Function, new: Function) -> float:
    name = name_similarity(old.name, new.name)
    body = pairing.body_similarity(old, new)
    return 0.65 * body + 0.2 * name + 0.15 * parameter_similarity(old, new)


def _replaced_calls(pairing: Pairing) -> Counter[tuple[str, str]]:
    removed = {function.name for function in pairing.removed.values() if function.name}
    added = {function.name for function in pairing.added.values() if function.name}
    calls: Counter[tuple[str, str]] = Counter()
    if not removed or not added:
        return calls
    for old, new in pairing.in_place.values():
        if old.has_body_of(new):
            continue
        if not removed.isdisjoint(old.calls) and not added.isdisjoint(new.calls):
            calls.update(replaced_calls(pairing.statement_map(old, new)))
    return calls


def _rename_score(pairing: Pairing, old: Function, new: Function, settings: RefactoringSettings, calls: int) -> float:
    if not old.name or not new.name or old.has_body != new.has_body:
        return 0.0
    name = name_similarity(old.name, new.name)
    if not old.statements and not new.statements:
        is_match = (name >= 0.5 or calls > 0) and parameter_similarity(old, new) == 1
        return _score(pairing, old, new) if is_match else 0.0
    threshold = settings.least_rename
    if calls:
        threshold = 0.0 if calls >= _MANY_CALLS and name >= 0.5 else threshold - CALLED
    elif min(old.weight, new.weight) <= settings.small_body and name < 0.34:
        threshold = 0.8 if len(old.parameters) > 1 and parameter_similarity(old, new) == 1 else 1.0
    elif name >= 0.5:
        threshold -= 0.15
    return _score(pairing, old, new) if pairing.body_similarity(old, new) >= threshold else 0.0
