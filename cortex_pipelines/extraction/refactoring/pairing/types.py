"""Pair the types of two versions."""

from collections import defaultdict
from collections.abc import Iterable

from cortex_pipelines.extraction.refactoring.model import Type
from cortex_pipelines.extraction.refactoring.pairing.similarity import names_alike, types_alike
from cortex_pipelines.extraction.refactoring.pairing.units import Home, Pairing, home_of
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_WEAK = 0.3  # likeness under which a type of the same name may be another that took the name
_TAKEN_OVER = 0.8  # likeness from which it is, and the type went by another name
_COMMON = 30  # a word that more types share says nothing


def pair_types(pairing: Pairing, settings: RefactoringSettings) -> None:
    """Pair types: equal name and place first, then by content."""
    removed = {id(kind): kind for file, _ in pairing.files if file for kind in file.types}
    added = {id(kind): kind for _, file in pairing.files if file for kind in file.types}
    lost = {old.path for old, new in pairing.files if old and not new}
    fresh = {new.path for old, new in pairing.files if new and not old}
    weak = []
    for old, new in _same(pairing, list(removed.values()), list(added.values())):
        if types_alike(old, new) >= _WEAK:
            _take(pairing, old, new, removed, added)
        else:
            weak.append((old, new))
    doubtful = {id(kind) for pair in weak for kind in pair}
    scored = []
    for old, new in _candidates(list(removed.values()), list(added.values())):
        same_home = pairing.home_after(home_of(old)) == home_of(new)
        like = types_alike(old, new)
        if like < _TAKEN_OVER and not doubtful.isdisjoint((id(old), id(new))):
            continue
        along = old.place.path in lost and new.place.path in fresh
        if like >= _least(old, new, same_home or along, settings):
            # namesakes inside of renamed functions are told apart by their files
            here = 0.1 * (pairing.homes.get((old.place.path, ())) == (new.place.path, ()))
            score = like + 0.2 * names_alike(old.name, new.name) + 0.2 * same_home + here
            scored.append((-score, old.place.path, old.place.line, new.place.line, old, new))
    best = [(old, new) for *_, old, new in sorted(scored, key=lambda item: item[:4])]
    # a type that nothing else became kept its name
    for old, new in [*best, *weak]:
        if id(old) in removed and id(new) in added:
            _take(pairing, old, new, removed, added)


def _same(pairing: Pairing, removed: list[Type], added: list[Type]) -> Iterable[tuple[Type, Type]]:
    """Types of one name in one place, outermost first: they determine where inner ones are."""
    places: dict[tuple[Home, str], list[Type]] = defaultdict(list)
    for new in added:
        places[home_of(new), new.name].append(new)
    for old in sorted(removed, key=lambda kind: len(kind.place.around)):
        others = places[pairing.home_after(home_of(old)), old.name]
        if others:
            yield old, others.pop(0)


def _candidates(removed: list[Type], added: list[Type]) -> Iterable[tuple[Type, Type]]:
    """Types with a name, file or method name in common."""
    by_word: dict[str, list[Type]] = defaultdict(list)
    for new in added:
        for word in _words(new):
            by_word[word].append(new)
    for old in removed:
        others = {
            id(new): new
            for word in sorted(_words(old))
            for new in by_word[word][:_COMMON]
            if word == old.name or len(by_word[word]) <= _COMMON
        }
        for new in others.values():
            if new.kind == old.kind:
                yield old, new


def _words(kind: Type) -> set[str]:
    return {kind.name, kind.place.path, *(method.name for method in kind.methods)}


def _least(old: Type, new: Type, expected: bool, settings: RefactoringSettings) -> float:
    if old.name == new.name:
        return settings.least_move
    # where it was, or from a file that is gone to one that is new
    return settings.least_rename if expected else settings.least_move_and_rename


def _take(
    pairing: Pairing, old: Type, new: Type, removed: dict[int, Type], added: dict[int, Type]
) -> None:
    pairing.pair_types(old, new)
    del removed[id(old)], added[id(new)]
