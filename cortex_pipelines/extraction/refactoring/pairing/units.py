"""Matched units of two versions: files first, then types, then functions."""

from collections import defaultdict
from dataclasses import dataclass, field

from cortex_pipelines.extraction.refactoring.model import MODULE_EXPORT, Function, ParsedFile, Type
from cortex_pipelines.extraction.refactoring.pairing.similarity import FunctionSimilarity

Container = tuple[str, tuple[str, ...]]
"""A container: its file and the names from the outermost in."""


@dataclass
class Pairing:
    """Matched units of two versions, and the unmatched ones of each side.

    Args:
        files: Versions of a file; None if it is missing in one.
        types: Pairs of types.
        in_place: Functions that stay in their container, renamed or not: by the id of the one
            before.
        moved: Pairs of functions that went to another container.
        gone, new: Functions without a partner, by their ids.
        containers: Container after, by the container before.
        similarity: Similarity of functions, cached.
    """

    files: list[tuple[ParsedFile | None, ParsedFile | None]]
    types: list[tuple[Type, Type]] = field(default_factory=list)
    in_place: dict[int, tuple[Function, Function]] = field(default_factory=dict)
    moved: list[tuple[Function, Function]] = field(default_factory=list)
    removed: dict[int, Function] = field(default_factory=dict)
    added: dict[int, Function] = field(default_factory=dict)
    containers: dict[Container, Container] = field(default_factory=dict)
    similarity: FunctionSimilarity = field(default_factory=FunctionSimilarity)

    def __post_init__(self) -> None:
        for old, new in self.files:
            self.removed |= {id(function): function for function in (old.functions if old else ())}
            self.added |= {id(function): function for function in (new.functions if new else ())}
            if old is not None and new is not None:
                self.containers[old.path, ()] = new.path, ()
        self.paths_with_errors = {
            file.path for pair in self.files for file in pair if file is not None and file.has_error
        }
        self._base_types: dict[str, set[str]] = defaultdict(set)
        for file in (file for pair in self.files for file in pair if file is not None):
            for kind in file.types:
                self._base_types[kind.name] |= kind.parents

    @property
    def functions(self) -> list[tuple[Function, Function]]:
        return list(self.in_place.values())

    def container_after(self, container: Container) -> Container:
        """The container in the new version that corresponds to one of the old."""
        path, enclosing = container
        for length in range(len(enclosing), -1, -1):
            moved_to = self.containers.get((path, enclosing[:length]))
            if moved_to is not None:
                return moved_to[0], moved_to[1] + enclosing[length:]
        return container

    def base_types(self, name: str) -> set[str]:
        return self._base_types.get(name, set())

    def pair_types(self, old: Type, new: Type) -> None:
        self.types.append((old, new))
        self.containers[inner_container(old)] = inner_container(new)

    def pair_functions(self, old: Function, new: Function, *, is_move: bool = False) -> None:
        if is_move:
            self.moved.append((old, new))
        else:
            self.in_place[id(old)] = old, new
        if old.name:
            self.containers[inner_container(old)] = inner_container(new)
        del self.removed[id(old)], self.added[id(new)]

    def unpair_functions(self, old: Function) -> None:
        _, new = self.in_place.pop(id(old))
        self.containers.pop(inner_container(old), None)
        self.removed[id(old)], self.added[id(new)] = old, new


def outer_container(unit: Function | Type) -> Container:
    return unit.location.path, unit.location.enclosing_names


def inner_container(unit: Function | Type) -> Container:
    is_module_export = isinstance(unit, Function) and unit.full_name == MODULE_EXPORT
    names = () if is_module_export else (unit.name,)
    return unit.location.path, (*unit.location.enclosing_names, *names)
