"""From what is the same in two versions to the refactorings between them."""

from collections.abc import Iterator

from cortex_pipelines.extraction.refactoring.extracting import Extraction, find_extractions
from cortex_pipelines.extraction.refactoring.inner_changes import (
    inner_changes,
    look_inside,
    renamed_in_extraction,
)
from cortex_pipelines.extraction.refactoring.mapping import StatementMap
from cortex_pipelines.extraction.refactoring.model import OBJECT, Function, Type
from cortex_pipelines.extraction.refactoring.pairing import Pairing, home_of
from cortex_pipelines.extraction.refactoring.purity import Purity
from cortex_pipelines.extraction.refactoring.reporting import (
    Change,
    extraction_codes,
    moved_or_renamed,
    titled,
)
from cortex_pipelines.extraction.refactoring.settings import RefactoringSettings

Mapped = tuple[Function, Function, StatementMap]


class Changes:
    """The refactorings between two versions.

    Args:
        paired: What is the same, and what is left.
        settings: Thresholds.
    """

    def __init__(self, paired: Pairing, settings: RefactoringSettings) -> None:
        self._paired, self._settings, self._purity = paired, settings, Purity(paired)
        self._moved = {id(other) for _, other in paired.moved}
        self._names: dict[int, dict[str, str]] = {}

    def all(self) -> Iterator[Change]:
        """All of them, in no particular order."""
        paired = self._paired
        kept: list[Mapped] = [
            (one, other, paired.likeness.mapped(one, other))
            for one, other in [*paired.functions, *paired.moved]
        ]
        insides = {id(one): look_inside(one, other, mapped) for one, other, mapped in kept}
        self._names = {key: inside.names for key, inside in insides.items()}
        for one, other, mapped in kept:
            yield from self._function(one, other)
            yield from inner_changes(one, other, mapped, insides[id(one)], self._purity)
        for pair in paired.types:
            yield from self._type(*pair)
        for found in find_extractions(paired.new.values(), kept, self._settings):
            yield from self._extracted(found)
        back = [(other, one, mapped.reversed()) for one, other, mapped in kept]
        for found in find_extractions(paired.gone.values(), back, self._settings):
            yield self._inlined(found)

    def _type(self, one: Type, other: Type) -> Iterator[Change]:
        moved, renamed = one.place.path != other.place.path, one.name != other.name
        if one.kind == OBJECT or not (moved or renamed):
            return
        what = _what(moved, renamed)
        yield Change(
            f"{what} Class",
            (one.name, other.name),
            (one.place.owner, other.place.owner),
            (one.place, other.place),
            moved_or_renamed(what, one.kind, (one.name, other.name), (one.place, other.place)),
            self._same_type(one, other),
        )

    def _same_type(self, one: Type, other: Type) -> bool:
        if self._purity.unpaired([*one.methods, *other.methods]):
            return False
        stayed = (self._paired.stayed.get(id(method)) for method in one.methods)
        same = (
            pair is not None and self._purity.function(*pair, self._names[id(pair[0])])
            for pair in stayed
        )
        return self._purity.statements(one.statements, other.statements) and all(same)

    def _function(self, one: Function, other: Function) -> Iterator[Change]:
        moved = id(other) in self._moved
        # what it is assigned to is a part of a function's name
        names = one.full_name, other.full_name
        if not moved and (_same_name(one, other) or _constructors(one, other)):
            return
        if moved and (one.place.inside or other.place.inside) and not self._lifted(one, other):
            return  # a function inside of another goes where its code goes
        what = _what(moved, names[0] != names[1])
        if what == "Move":
            what = self._direction(one, other)
        yield Change(
            f"{what} Method",
            (one.name, other.name),
            (one.place.owner, other.place.owner),
            (one.place, other.place),
            moved_or_renamed(what, one.kind, names, (one.place, other.place)),
            self._purity.function(one, other, self._names[id(one)]),
        )

    def _direction(self, one: Function, other: Function) -> str:
        """Whether a method went to a superclass or subclass, or elsewhere."""
        if one.place.owner and other.place.owner:
            owner = self._owner_after(one)
            if not {one.place.owner, owner}.isdisjoint(self._paired.parents(other.place.owner)):
                return "Push Down"
            if other.place.owner in self._paired.parents(one.place.owner):
                return "Pull Up"
        return "Move"

    def _lifted(self, one: Function, other: Function) -> bool:
        """Whether a function went out of functions or into them, and stayed in their container."""
        home, around = self._paired.home_after(home_of(one))
        path, to = home_of(other)
        short, long = sorted((around, to), key=len)
        return home == path and long[: len(short)] == short

    def _owner_after(self, one: Function) -> str | None:
        """Name that the type around a function goes by after."""
        _, around = self._paired.home_after(home_of(one))
        return around[-1] if around and one.place.owner else one.place.owner

    def _extracted(self, found: Extraction) -> Iterator[Change]:
        away = _within(found) or not self._same_container(found.origin, found.extracted)
        yield Change(
            "Extract And Move Method" if away else "Extract Method",
            (None, found.extracted.name),
            (found.origin.name or None, found.caller.name or None),
            (found.origin.place, found.extracted.place),
            f"{titled(found.extracted)} was extracted from {titled(found.origin)}",
            self._purity.extraction(found, self._names[id(found.origin)]),
            codes=extraction_codes(found),
        )
        yield from renamed_in_extraction(found, self._purity)

    def _inlined(self, found: Extraction) -> Change:
        away = not self._same_container(found.extracted, found.origin)
        before, after = extraction_codes(found)[::-1]
        return Change(
            "Move And Inline Method" if away else "Inline Method",
            (found.extracted.name, None),
            (found.caller.name or None, found.origin.name or None),
            (found.extracted.place, found.origin.place),
            f"{titled(found.extracted)} was inlined into {titled(found.origin)}",
            self._purity.extraction(found, {}),
            codes=(before, after),
        )

    def _same_container(self, one: Function, other: Function) -> bool:
        path, _ = self._paired.home_after(home_of(one))
        return (path, self._owner_after(one)) == (other.place.path, other.place.owner)


def _same_name(one: Function, other: Function) -> bool:
    """Whether functions go by one name, also where what they are assigned to does by another."""
    parts, others = one.full_name.split("."), other.full_name.split(".")
    return one.name == other.name and (parts == others or parts[0] != others[0])


def _within(found: Extraction) -> bool:
    """Whether a function was extracted into one that is inside of its origin."""
    around, place = found.caller.place, found.extracted.place
    lines = around.start_line <= place.start_line and place.end_line <= around.end_line
    inner = place.around[len(around.around) :]  # several may stand in one line
    return found.caller.name in inner and around.path == place.path and lines


def _constructors(one: Function, other: Function) -> bool:
    """Whether both go by the name of their class."""
    return (one.name, other.name) == (one.place.owner, other.place.owner)


def _what(moved: bool, renamed: bool) -> str:
    if moved and renamed:
        return "Move And Rename"
    return "Move" if moved else "Rename"
