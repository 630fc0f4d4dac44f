"""What is the same in two versions: files first, then types, then functions."""

from collections import defaultdict
from dataclasses import dataclass, field

from cortex_pipelines.extraction.refactoring.likeness import FunctionLikeness
from cortex_pipelines.extraction.refactoring.model import Function, SourceFile, Type

Home = tuple[str, tuple[str, ...]]
"""A container: its file and the names from the outermost in."""


@dataclass
class Pairing:
    """What is the same in two versions, and what is left on each side.

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

    files: list[tuple[SourceFile | None, SourceFile | None]]
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
        """Pairs of functions that stay where they are."""
        return list(self.stayed.values())

    def home_after(self, home: Home) -> Home:
        """Where what is in a container before would be after if nothing in it had moved."""
        path, around = home
        for length in range(len(around), -1, -1):
            to = self.homes.get((path, around[:length]))
            if to is not None:
                return to[0], to[1] + around[length:]
        return home

    def parents(self, name: str) -> set[str]:
        """Names of what types of this name are made from, in either version."""
        return self._parents.get(name, set())

    def pair_types(self, old: Type, new: Type) -> None:
        """Note that two types are versions of each other."""
        self.types.append((old, new))
        self.homes[inside(old)] = inside(new)

    def pair_functions(self, old: Function, new: Function, *, moved: bool = False) -> None:
        """Note that two functions are versions of each other."""
        if moved:
            self.moved.append((old, new))
        else:
            self.stayed[id(old)] = old, new
        if old.name:
            self.homes[inside(old)] = inside(new)
        del self.removed[id(old)], self.added[id(new)]

    def part(self, old: Function) -> None:
        """Take back that a function stayed."""
        _, new = self.stayed.pop(id(old))
        self.homes.pop(inside(old), None)
        self.removed[id(old)], self.added[id(new)] = old, new


def home_of(unit: Function | Type) -> Home:
    """The container of a unit."""
    return unit.place.path, unit.place.around


def inside(unit: Function | Type) -> Home:
    """The container that a unit is."""
    return unit.place.path, (*unit.place.around, unit.name)
