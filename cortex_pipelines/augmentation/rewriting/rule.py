"""Rewrites: base classes, each rewrite preserves behaviour."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, NamedTuple

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import NodeTable


class Edit(NamedTuple):
    """Start, end (exclusive), new text."""

    start: int
    end: int
    replacement: str


class Rewrite(ABC):
    """A behaviour-preserving rewrite. Subclasses in ``augmentation/rewriting/rewrites/`` are discovered."""

    name: ClassVar[str]
    """Name in the data, unique."""
    family: ClassVar[str]
    """``comments`` and ``layout`` leave every token as it is, ``structure`` the behaviour."""
    languages: ClassVar[tuple[str, ...]]
    """Languages claimed."""

    @abstractmethod
    def edits(self, view: NodeTable) -> Iterator[Edit]:
        pass


class NodeRewrite(Rewrite):
    family = "structure"
    places: ClassVar[Mapping[str, frozenset[str]]]
    """Language to node types on which it works."""

    @property
    def languages(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.places)

    def edits(self, view: NodeTable) -> Iterator[Edit]:
        for kind in sorted(self.places[view.language]):
            for node in view.by_type.get(kind, ()):
                yield from self.edits_at(node, view)

    @abstractmethod
    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        pass


def applied(text: bytes, edits: list[Edit]) -> bytes:
    """Apply edits to a text; of overlapping ones the first wins."""
    parts, copied_end = [], 0
    for edit in sorted(edits, key=lambda planned: (planned.start, -planned.end, planned.replacement)):
        if edit.start >= copied_end:
            parts += [text[copied_end : edit.start], edit.replacement.encode()]
            copied_end = edit.end
    return b"".join([*parts, text[copied_end:]])
