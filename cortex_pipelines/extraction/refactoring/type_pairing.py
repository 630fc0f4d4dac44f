"""Which type of one version is which of the other."""

from collections import defaultdict
from collections.abc import Iterable

from cortex_pipelines.extraction.refactoring.likeness import names_alike, types_alike
from cortex_pipelines.extraction.refactoring.model import Type
from cortex_pipelines.extraction.refactoring.pairing import Home, Pairing, home_of
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

_WEAK = 0.3  # likeness under which a type of the same name may be another that took the name
_TAKEN_OVER = 0.8  # likeness from which it is, and the type went by another name
_COMMON = 30  # a word that more types share says nothing


def pair_types(found: Pairing, settings: RefactoringSettings) -> None:
    """Pair types: of one name in one place first, then by what they hold."""
    gone = {id(one): one for file, _ in found.files if file for one in file.types}
    new = {id(one): one for _, file in found.files if file for one in file.types}
    lost = {one.path for one, other in found.files if one and not other}
    fresh = {other.path for one, other in found.files if other and not one}
    weak = []
    for one, other in _same(found, list(gone.values()), list(new.values())):
        if types_alike(one, other) >= _WEAK:
            _take(found, one, other, gone, new)
        else:
            weak.append((one, other))
    doubtful = {id(kind) for pair in weak for kind in pair}
    scored = []
    for one, other in _candidates(list(gone.values()), list(new.values())):
        same_home = found.home_after(home_of(one)) == home_of(other)
        like = types_alike(one, other)
        if like < _TAKEN_OVER and not doubtful.isdisjoint((id(one), id(other))):
            continue
        along = one.place.path in lost and other.place.path in fresh
        if like >= _least(one, other, same_home or along, settings):
            score = like + 0.2 * names_alike(one.name, other.name) + 0.2 * same_home
            scored.append((-score, one.place.path, one.place.line, other.place.line, one, other))
    best = [(one, other) for *_, one, other in sorted(scored, key=lambda item: item[:4])]
    # a type that nothing else became kept its name
    for one, other in [*best, *weak]:
        if id(one) in gone and id(other) in new:
            _take(found, one, other, gone, new)


def _same(found: Pairing, gone: list[Type], new: list[Type]) -> Iterable[tuple[Type, Type]]:
    """Types of one name in one place, outer ones first: they may give the place of inner ones."""
    places: dict[tuple[Home, str], list[Type]] = defaultdict(list)
    for other in new:
        places[home_of(other), other.name].append(other)
    for one in sorted(gone, key=lambda one: len(one.place.around)):
        others = places[found.home_after(home_of(one)), one.name]
        if others:
            yield one, others.pop(0)


def _candidates(gone: list[Type], new: list[Type]) -> Iterable[tuple[Type, Type]]:
    """Types of one name, of one file, or with a method's name in common."""
    by_word: dict[str, list[Type]] = defaultdict(list)
    for other in new:
        for word in _words(other):
            by_word[word].append(other)
    for one in gone:
        others = {
            id(other): other
            for word in sorted(_words(one))
            for other in by_word[word][:_COMMON]
            if word == one.name or len(by_word[word]) <= _COMMON
        }
        for other in others.values():
            if other.kind == one.kind:
                yield one, other


def _words(one: Type) -> set[str]:
    return {one.name, one.place.path, *(method.name for method in one.methods)}


def _least(one: Type, other: Type, expected: bool, settings: RefactoringSettings) -> float:
    if one.name == other.name:
        return settings.least_move
    # where it was, or from a file that is gone to one that is new
    return settings.least_rename if expected else settings.least_move_and_rename


def _take(
    found: Pairing, one: Type, other: Type, gone: dict[int, Type], new: dict[int, Type]
) -> None:
    found.pair_types(one, other)
    del gone[id(one)], new[id(other)]
