"""Rewrite the comments and layout of units, and verify that the code is the same."""

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from cortex_pipelines.augmentation.node_table import NodeTable
from cortex_pipelines.augmentation.python_code import header_for, same_tree
from cortex_pipelines.augmentation.registry import instances_in
from cortex_pipelines.augmentation.rewriting import rewrites as folder
from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.augmentation.snippets import Edit, Snippet, applied, parse_unit


class Rewrite(ABC):
    """A behaviour-preserving rewrite. Subclasses in ``augmentation/rewriting/rewrites/`` are discovered."""

    name: ClassVar[str]
    """Name in the data, unique."""
    family: ClassVar[str]
    """``comments`` or ``layout``: what it changes besides the tokens, which stay."""
    languages: ClassVar[tuple[str, ...]]
    """Languages claimed."""

    @abstractmethod
    def edits(self, view: NodeTable) -> Iterator[Edit]:
        pass


@dataclass(frozen=True)
class Rewritten:
    """The rewrite's name, its family (``comments`` or ``layout``) and the code."""

    rewrite: str
    family: str
    code: str


@cache
def rewrites() -> tuple[Rewrite, ...]:
    return instances_in(folder, Rewrite)  # type: ignore[type-abstract]


def rewritten(code: str, language: str, kind: str, path: str, limit: int, *seed: object) -> list[Rewritten]:
    """At most ``limit`` distinct rewrites of a unit, drawn by hash."""
    snippet = parse_unit(code.encode(), language, kind, path) if limit else None
    if snippet is None:
        return []
    by_code: dict[str, Rewritten] = {}
    view, shift, end = NodeTable(snippet), len(snippet.prefix), len(snippet.prefix) + len(snippet.code)
    claimed = [rewrite for rewrite in rewrites() if language in rewrite.languages]
    for rewrite in sorted(claimed, key=lambda candidate: draw(*seed, candidate.name)):
        inside = [edit for edit in rewrite.edits(view) if shift <= edit.start and edit.end <= end]
        full_text = applied(view.text, inside)
        changed = full_text[shift : len(full_text) - len(snippet.suffix)]
        if changed != snippet.code and is_same(view, changed):
            variant = changed.decode("utf-8", "replace")
            by_code.setdefault(variant, Rewritten(rewrite.name, rewrite.family, variant))
        if len(by_code) >= limit:
            break
    return sorted(by_code.values(), key=lambda variant: variant.rewrite)


def is_same(view: NodeTable, changed: bytes) -> bool:
    """Whether a rewritten unit has the same tokens, but for trailing commas, and in Python the same syntax tree."""
    snippet = view.snippet
    other = snippet.with_code(changed)
    if other.errors or _without_trailing_commas(snippet) != _without_trailing_commas(other):
        return False
    if view.language != "python":
        return True
    header = header_for(view.nodes, snippet.prefix)
    try:
        before, after = (ast.parse(header + code) for code in (snippet.code, changed))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return same_tree(before, after)


def _without_trailing_commas(snippet: Snippet) -> list[tuple[str, bytes]]:
    tokens = snippet.tokens
    followed = zip(tokens, [*tokens[1:], ("", b"")], strict=True)
    return [token for token, (after, _) in followed if (token[0], after) != (",", ")")]
