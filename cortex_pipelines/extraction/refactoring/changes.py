"""Derive refactorings from the matched and unmatched units of two versions."""

from collections import defaultdict
from collections.abc import Iterator

from cortex_pipelines.extraction.refactoring.extracted_functions import (
    ExtractedFunction,
    find_extractions,
)
from cortex_pipelines.extraction.refactoring.inner_changes import (
    inner_changes,
    look_inside,
    renamed_in_extraction,
)
from cortex_pipelines.extraction.refactoring.model import OBJECT, WHOLE, Function, Type
from cortex_pipelines.extraction.refactoring.pairing.units import Home, Pairing, home_of, inside
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.renames import Mapped
from cortex_pipelines.extraction.refactoring.reporting import (
    DetectedChange,
    extraction_codes,
    moved_or_renamed,
    titled,
)
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings


class Changes:
    """The refactorings between two versions.

    Args:
        paired: What is the same, and what is left.
        settings: Thresholds.
    """

    def __init__(self, paired: Pairing, settings: RefactoringSettings) -> None:
        self._paired, self._settings, self._purity = paired, settings, Purity(paired)
        self._moved = {id(other) for _, other in paired.moved}
        self._left = {inside(old) for old, _ in paired.moved}
        self._homes_after = set(paired.homes.values())
        self._names: dict[int, dict[str, str]] = {}

    def all(self) -> Iterator[DetectedChange]:
        """All refactorings, unordered."""
        paired = self._paired
        kept: list[Mapped] = [
            (old, new, paired.likeness.mapped(old, new))
            for old, new in [*paired.functions, *paired.moved]
        ]
        within = _within_each(kept)
        insides = {
            id(old): look_inside(old, new, mapped, within.get(inside(old), ()))
            for old, new, mapped in kept
        }
        self._names = {key: inside.names for key, inside in insides.items()}
        for old, new, mapped in kept:
            yield from self._function(old, new)
            yield from inner_changes(old, new, mapped, insides[id(old)], self._purity)
        for pair in paired.types:
            yield from self._type(*pair)
        for extraction in find_extractions(paired.added.values(), kept, self._settings):
            yield from self._extracted(extraction)
        back = [(new, old, mapped.reversed()) for old, new, mapped in kept]
        for extraction in find_extractions(paired.removed.values(), back, self._settings):
            yield self._inlined(extraction)

    def _type(self, old: Type, new: Type) -> Iterator[DetectedChange]:
        moved, renamed = old.place.path != new.place.path, old.name != new.name
        if old.kind == OBJECT or not (moved or renamed):
            return
        what = _what(moved, renamed)
        yield DetectedChange(
            f"{what} Class",
            (old.name, new.name),
            (old.place.owner, new.place.owner),
            (old.place, new.place),
            moved_or_renamed(what, old.kind, (old.name, new.name), (old.place, new.place)),
            self._same_type(old, new),
        )

    def _same_type(self, old: Type, new: Type) -> bool:
        if self._purity.unpaired([*old.methods, *new.methods]):
            return False
        stayed = (self._paired.stayed.get(id(method)) for method in old.methods)
        same = (
            pair is not None and self._purity.function(*pair, self._names[id(pair[0])])
            for pair in stayed
        )
        return self._purity.statements(old.statements, new.statements) and all(same)

    def _function(self, old: Function, new: Function) -> Iterator[DetectedChange]:
        # what is assigned to a function's prototype is not inside of it
        held = not old.place.inside and home_of(old) in self._left
        moved = id(new) in self._moved or held
        # what it is assigned to is a part of a function's name
        names = old.full_name, new.full_name
        if not moved and (_same_name(old, new) or _constructors(old, new)):
            return
        if moved and (old.place.inside or new.place.inside) and not self._moved_alone(old, new):
            return
        what = _what(moved, names[0] != names[1])
        if what == "Move":
            what = self._direction(old, new)
        yield DetectedChange(
            f"{what} Method",
            (old.name, new.name),
            (old.place.owner, new.place.owner),
            (old.place, new.place),
            moved_or_renamed(what, old.kind, names, (old.place, new.place)),
            self._purity.function(old, new, self._names[id(old)]),
        )

    def _direction(self, old: Function, new: Function) -> str:
        """Push Down, Pull Up or Move, by the class hierarchy."""
        if old.place.owner and new.place.owner:
            owner = self._owner_after(old)
            if not {old.place.owner, owner}.isdisjoint(self._paired.parents(new.place.owner)):
                return "Push Down"
            if new.place.owner in self._paired.parents(old.place.owner):
                return "Pull Up"
        return "Move"

    def _moved_alone(self, old: Function, new: Function) -> bool:
        """Whether a function left or entered a function that is in both versions.

        Else it went where the code around it went, or that became a function, or is none any more.
        """
        homes = self._paired.homes
        home, around = self._paired.home_after(home_of(old))
        path, to = home_of(new)
        short, long = sorted((around, to), key=len)
        lifted = home == path and long[: len(short)] == short
        both = bool(old.place.inside and new.place.inside)
        return (
            (lifted or not both)
            and (not old.place.inside or _function_around(old) in homes)
            and (not new.place.inside or _function_around(new) in self._homes_after)
        )

    def _owner_after(self, old: Function) -> str | None:
        """Name of a function's enclosing type after the change."""
        _, around = self._paired.home_after(home_of(old))
        return around[-1] if around and old.place.owner else old.place.owner

    def _extracted(self, extraction: ExtractedFunction) -> Iterator[DetectedChange]:
        away = _within(extraction) or not self._same_container(
            extraction.origin, extraction.extracted
        )
        yield DetectedChange(
            "Extract And Move Method" if away else "Extract Method",
            (None, extraction.extracted.name),
            (extraction.origin.name or None, extraction.caller.name or None),
            (extraction.origin.place, extraction.extracted.place),
            f"{titled(extraction.extracted)} was extracted from {titled(extraction.origin)}",
            self._purity.extraction(extraction, self._names[id(extraction.origin)]),
            codes=extraction_codes(extraction),
        )
        yield from renamed_in_extraction(extraction, self._purity)

    def _inlined(self, extraction: ExtractedFunction) -> DetectedChange:
        away = not self._same_container(extraction.extracted, extraction.origin)
        before, after = extraction_codes(extraction)[::-1]
        return DetectedChange(
            "Move And Inline Method" if away else "Inline Method",
            (extraction.extracted.name, None),
            (extraction.caller.name or None, extraction.origin.name or None),
            (extraction.extracted.place, extraction.origin.place),
            f"{titled(extraction.extracted)} was inlined into {titled(extraction.origin)}",
            self._purity.extraction(extraction, {}),
            codes=(before, after),
        )

    def _same_container(self, old: Function, new: Function) -> bool:
        path, _ = self._paired.home_after(home_of(old))
        return (path, self._owner_after(old)) == (new.place.path, new.place.owner)


def _function_around(function: Function) -> Home:
    """The innermost function around a function, as a container."""
    path, around = home_of(function)
    names = list(around)
    while names and names[-1] != function.place.inside:
        names.pop()
    return path, tuple(names)


def _within_each(kept: list[Mapped]) -> dict[Home, list[Mapped]]:
    """The functions in each container, at any depth; what a file holds is in its module."""
    within: dict[Home, list[Mapped]] = defaultdict(list)
    for pair in kept:
        path, around = home_of(pair[0])
        if pair[0].name:
            within[path, ("",)].append(pair)
            for length in range(1, len(around) + 1):
                within[path, around[:length]].append(pair)
    return within


def _same_name(old: Function, new: Function) -> bool:
    """Whether functions have one name, ignoring what they are assigned to."""
    old_parts, new_parts = old.full_name.split("."), new.full_name.split(".")
    if old.full_name == new.full_name == WHOLE:
        return True
    # of paths of one length, only a holder was renamed
    one_length = len(old_parts) == len(new_parts)
    return old.name == new.name and (one_length or old_parts[0] != new_parts[0])


def _within(extraction: ExtractedFunction) -> bool:
    """Whether the extracted function lies inside its origin."""
    around, place = extraction.caller.place, extraction.extracted.place
    lines = around.start_line <= place.start_line and place.end_line <= around.end_line
    inner = place.around[len(around.around) :]  # several may stand in one line
    return extraction.caller.name in inner and around.path == place.path and lines


def _constructors(old: Function, new: Function) -> bool:
    """Whether both are constructors: named as their class, or of one class."""
    named = (old.name, new.name) == (old.place.owner, new.place.owner)
    return named or (old.name != new.name and old.constructed == new.constructed)


def _what(moved: bool, renamed: bool) -> str:
    if moved and renamed:
        return "Move And Rename"
    return "Move" if moved else "Rename"
