"""Pair the types of two versions."""

from collections import defaultdict
from collections.abc import Iterable

from cortex_pipelines.extraction.refactoring.model import Type
from cortex_pipelines.extraction.refactoring.pairing.similarity import name_similarity, type_similarity
from cortex_pipelines.extraction.refactoring.pairing.units import Container, Pairing, outer_container
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_WEAK_SIMILARITY = 0.3  # less similar types of one name may be different types
_TYPE_TAKEOVER_SIMILARITY = 0.8  # from here a type was renamed and another took its name
_MAX_SHARING_TYPES = 30  # a word that more types share is ignored


def pair_types(pairing: Pairing, settings: RefactoringSettings) -> None:
    removed = {id(kind): kind for file, _ in pairing.files if file for kind in file.types}
    added = {id(kind): kind for _, file in pairing.files if file for kind in file.types}
    removed_paths = {old.path for old, new in pairing.files if old and not new}
    added_paths = {new.path for old, new in pairing.files if new and not old}
    weak_pairs = []
    for old, new in _namesakes(pairing, list(removed.values()), list(added.values())):
        if type_similarity(old, new) >= _WEAK_SIMILARITY:
            _pair(pairing, old, new, removed, added)
        else:
            weak_pairs.append((old, new))
    doubtful_ids = {id(kind) for pair in weak_pairs for kind in pair}
    scored = []
    for old, new in _type_candidates(list(removed.values()), list(added.values())):
        same_container = pairing.container_after(outer_container(old)) == outer_container(new)
        similarity = type_similarity(old, new)
        if similarity < _TYPE_TAKEOVER_SIMILARITY and not doubtful_ids.isdisjoint((id(old), id(new))):
            continue
        file_replaced = old.location.path in removed_paths and new.location.path in added_paths
        if similarity >= _type_threshold(old, new, same_container or file_replaced, settings):
            # namesakes inside of renamed functions are told apart by their files
            same_file_bonus = 0.1 * (pairing.containers.get((old.location.path, ())) == (new.location.path, ()))
            score = similarity + 0.2 * name_similarity(old.name, new.name) + 0.2 * same_container + same_file_bonus
            scored.append((-score, old.location.path, old.location.line, new.location.line, old, new))
    ranked = [(old, new) for *_, old, new in sorted(scored, key=lambda item: item[:4])]
    # a type that was not renamed kept its name
    for old, new in [*ranked, *weak_pairs]:
        if id(old) in removed and id(new) in added:
            _pair(pairing, old, new, removed, added)


def _namesakes(pairing: Pairing, removed: list[Type], added: list[Type]) -> Iterable[tuple[Type, Type]]:
    by_container: dict[tuple[Container, str], list[Type]] = defaultdict(list)
    for new in added:
        by_container[outer_container(new), new.name].append(new)
    for old in sorted(removed, key=lambda kind: len(kind.location.enclosing_names)):
        candidates = by_container[pairing.container_after(outer_container(old)), old.name]
        if candidates:
            yield old, candidates.pop(0)


def _type_candidates(removed: list[Type], added: list[Type]) -> Iterable[tuple[Type, Type]]:
    by_word: dict[str, list[Type]] = defaultdict(list)
    for new in added:
        for word in _index_words(new):
            by_word[word].append(new)
    for old in removed:
        candidates = {
            id(new): new
            for word in sorted(_index_words(old))
            for new in by_word[word][:_MAX_SHARING_TYPES]
            if word == old.name or len(by_word[word]) <= _MAX_SHARING_TYPES
        }
        for new in candidates.values():
            if new.kind == old.kind:
                yield old, new


def _index_words(kind: Type) -> set[str]:
    return {kind.name, kind.location.path, *(method.name for method in kind.methods)}


def _type_threshold(old: Type, new: Type, expected: bool, settings: RefactoringSettings) -> float:
    if old.name == new.name:
        return settings.least_move
    # where it was, or from a file that is gone to one that is new
    return settings.least_rename if expected else settings.least_move_and_rename


def _pair(pairing: Pairing, old: Type, new: Type, removed: dict[int, Type], added: dict[int, Type]) -> None:
    pairing.pair_types(old, new)
    del removed[id(old)], added[id(new)]
