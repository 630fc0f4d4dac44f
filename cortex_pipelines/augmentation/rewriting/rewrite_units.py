"""Rewrite units with unchanged behaviour and verify it."""

import ast
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import NodeTable
from cortex_pipelines.augmentation.python_code import compiled, header_for
from cortex_pipelines.augmentation.registry import instances_in
from cortex_pipelines.augmentation.rewriting import rewrites as folder
from cortex_pipelines.augmentation.rewriting.equivalence import canonical
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.snippets import Snippet, parse_unit


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


# Structural rewrites are more instructive than layout, and rarer.
_WEIGHTS = {"structure": 16, "comments": 4, "layout": 1}
_NAMES_OR_LITERALS = ("identifier", "literal", "content", "fragment", "integer", "float", "number")


@dataclass(frozen=True)
class Rewritten:
    """The rewrite's name, its family (``comments``, ``layout`` or ``structure``) and the code."""

    rewrite: str
    family: str
    code: str


@cache
def rewrites() -> tuple[Rewrite, ...]:
    return instances_in(folder, Rewrite)  # type: ignore[type-abstract]


def rewritten(
    code: str, language: str, kind: str, path: str, limit: int, *seed: object, first: str | None = None
) -> list[Rewritten]:
    """At most ``limit`` distinct rewrites of a unit, drawn by hash; those of the family ``first`` come first."""
    if not limit:
        return []
    snippet = parse_unit(code.encode(), language, kind, path)
    if snippet is None:
        return []
    by_code: dict[str, Rewritten] = {}
    for other in _variants(NodeTable(snippet), seed, first):
        by_code.setdefault(other.code, other)
        if len(by_code) >= limit:
            break
    return sorted(by_code.values(), key=lambda variant: variant.rewrite)


def _variants(view: NodeTable, seed: tuple[object, ...], first: str | None) -> Iterator[Rewritten]:
    def rank(candidate: Rewrite) -> tuple[bool, int]:
        return candidate.family != first, draw(*seed, candidate.name) // _WEIGHTS[candidate.family]

    for rewrite in sorted((candidate for candidate in rewrites() if view.language in candidate.languages), key=rank):
        snippet = view.snippet
        edits = list(rewrite.edits(view))
        if not edits:
            continue
        shift, end = len(snippet.prefix), len(snippet.prefix) + len(snippet.code)
        inside = [edit for edit in edits if shift <= edit.start and edit.end <= end]
        full_text = applied(view.text, inside)
        changed = full_text[shift : len(full_text) - len(snippet.suffix)]
        if changed != snippet.code and is_same(rewrite.family, view, changed):
            yield Rewritten(rewrite.name, rewrite.family, changed.decode("utf-8", "replace"))


def is_same(family: str, view: NodeTable, changed: bytes) -> bool:
    """Whether a rewritten unit is equivalent to the original, as far as can be verified.

    Comments and layout: the same tokens and, for Python, the same syntax tree. Structure: the code
    parses and has the same names and literals, except a new name for a result; for Python both
    syntax trees have the same canonical form, and the code compiles.
    """
    snippet = view.snippet
    other = snippet.with_code(changed)
    if other.errors or not _same_words(family, snippet, other):
        return False
    if view.language != "python":
        return True
    sources = [header_for(view.nodes, snippet.prefix) + code for code in (snippet.code, changed)]
    if any(compiled(source) is None for source in sources):
        return False
    form = canonical if family == "structure" else ast.dump
    try:
        before, after = (form(ast.parse(source)) for source in sources)
        return before == after
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _same_words(family: str, before: Snippet, after: Snippet) -> bool:
    if family != "structure":
        return before.tokens == after.tokens
    first, second = (
        Counter(token for token in each.tokens if token[0].endswith(_NAMES_OR_LITERALS)) for each in (before, after)
    )
    lost, new = first - second, second - first
    return not lost and len(new) <= 1
