"""Matched units of two versions: files first, then types, then functions."""

from collections import defaultdict
from dataclasses import dataclass, field

from cortex_pipelines.extraction.refactoring.model import WHOLE, Function, ParsedFile, Type
from cortex_pipelines.extraction.refactoring.pairing.similarity import FunctionLikeness

Home = tuple[str, tuple[str, ...]]
"""A container: its file and the names from the outermost in."""


@dataclass
class Pairing:
    """Matched units of two versions, and the unmatched ones of each side.

    Args:
        files: Versions of a file; None where there is none.
        types: Pairs of types.
        functions: Functions that stay where they are, whatever their name: by the id of the one
            before.
        moved: Pairs of functions that went to another container.
        gone, new: Functions without a partner, by their ids.
        homes: Where the inside of a container went.
        likeness: Likeness of functions.
    """

    files: list[tuple[ParsedFile | None, ParsedFile | None]]
    types: list[tuple[Type, Type]] = field(default_factory=list)
    stayed: dict[int, tuple[Function, Function]] = field(default_factory=dict)
    moved: list[tuple[Function, Function]] = field(default_factory=list)
    removed: dict[int, Function] = field(default_factory=dict)
    added: dict[int, Function] = field(default_factory=dict)
    homes: dict[Home, Home] = field(default_factory=dict)
    likeness: FunctionLikeness = field(default_factory=FunctionLikeness)

    def __post_init__(self) -> None:
        for old, new in self.files:
            self.removed |= {id(function): function for function in (old.functions if old else ())}
            self.added |= {id(function): function for function in (new.functions if new else ())}
            if old is not None and new is not None:
                self.homes[old.path, ()] = new.path, ()
        self.broken = {
            file.path for pair in self.files for file in pair if file is not None and file.has_error
        }
        self._parents: dict[str, set[str]] = defaultdict(set)
        for file in (file for pair in self.files for file in pair if file is not None):
            for kind in file.types:
                self._parents[kind.name] |= kind.parents

    @property
    def functions(self) -> list[tuple[Function, Function]]:
        """Pairs of functions that did not move."""
        return list(self.stayed.values())

    def home_after(self, home: Home) -> Home:
        """Where a container of the old version is in the new one."""
        path, around = home
        for length in range(len(around), -1, -1):
            to = self.homes.get((path, around[:length]))
            if to is not None:
                return to[0], to[1] + around[length:]
        return home

    def parents(self, name: str) -> set[str]:
        """Base types of all types of this name, in either version."""
        return self._parents.get(name, set())

    def pair_types(self, old: Type, new: Type) -> None:
        """Record that two types match."""
        self.types.append((old, new))
        self.homes[inside(old)] = inside(new)

    def pair_functions(self, old: Function, new: Function, *, moved: bool = False) -> None:
        """Record that two functions match."""
        if moved:
            self.moved.append((old, new))
        else:
            self.stayed[id(old)] = old, new
        if old.name:
            self.homes[inside(old)] = inside(new)
        del self.removed[id(old)], self.added[id(new)]

    def part(self, old: Function) -> None:
        """Undo the match of a function."""
        _, new = self.stayed.pop(id(old))
        self.homes.pop(inside(old), None)
        self.removed[id(old)], self.added[id(new)] = old, new


def home_of(unit: Function | Type) -> Home:
    """The container that holds a unit."""
    return unit.place.path, unit.place.around


def inside(unit: Function | Type) -> Home:
    """The container that a unit forms."""
    whole = isinstance(unit, Function) and unit.full_name == WHOLE
    names = () if whole else (unit.name,)
    return unit.place.path, (*unit.place.around, *names)
