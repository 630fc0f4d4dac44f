"""Parse a unit of code on its own, outside of its file."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

from tree_sitter import Node, Tree

from cortex_pipelines.syntax.grammars import error_count, grammar_for, parse

_CLASS = (b"class C {\n", b"\n}")
_OBJECT = (b"({\n", b"\n})")
_METHOD_WRAPPERS = {"java": (_CLASS,), "javascript": (_CLASS, _OBJECT), "typescript": (_CLASS, _OBJECT)}
_LATER_HEADER = re.compile(rb"\n([ \t]+)(?:@|def\b|async\b|class\b)")
_BLOCK_END = ("end of block", b"")
_TRIVIA = frozenset({"comment", "line_comment", "block_comment"})


@dataclass(frozen=True)
class Snippet:
    """A unit of code with the code around it (``prefix``, ``suffix``) that it needs to parse; ``tree`` is of all."""

    code: bytes
    language: str
    path: str
    prefix: bytes
    suffix: bytes
    tree: Tree

    def with_code(self, code: bytes) -> "Snippet":
        return _snippet(code, self.language, self.path, (self.prefix, self.suffix))

    def with_change(self, start: int, end: int, replacement: bytes) -> "Snippet":
        """The snippet with a span replaced, parsed incrementally."""
        code = self.code[:start] + replacement + self.code[end:]
        text = self.prefix + code + self.suffix
        tree = self.tree.copy()
        start_byte = len(self.prefix) + start
        row, column = self._point(start_byte)
        rows, last = replacement.count(b"\n"), replacement.rpartition(b"\n")[2]
        tree.edit(
            start_byte=start_byte,
            old_end_byte=len(self.prefix) + end,
            new_end_byte=start_byte + len(replacement),
            start_point=(row, column),
            old_end_point=self._point(len(self.prefix) + end),
            new_end_point=(row + rows, len(last) if rows else column + len(last)),
        )
        tree = parse(text, grammar_for(self.language, self.path), tree)
        return Snippet(code, self.language, self.path, self.prefix, self.suffix, tree)

    def _point(self, offset: int) -> tuple[int, int]:
        row = bisect_right(self._lines, offset) - 1
        return row, offset - self._lines[row]

    @cached_property
    def _lines(self) -> list[int]:
        text = self.prefix + self.code + self.suffix
        return [0, *(match.end() for match in re.finditer(b"\n", text))]

    def nodes(self) -> Iterator[Node]:
        start, end = len(self.prefix), len(self.prefix) + len(self.code)
        for node in walk(self.tree.root_node):
            if start <= node.start_byte and node.end_byte <= end:
                yield node

    def span(self, node: Node) -> tuple[int, int]:
        return node.start_byte - len(self.prefix), node.end_byte - len(self.prefix)

    @cached_property
    def errors(self) -> int:
        return error_count(self.tree.root_node)

    @cached_property
    def tokens(self) -> list[tuple[str, bytes]]:
        """Type and text of every leaf, and block ends; comments and layout do not count."""
        return list(self._leaves())

    def same_tree(self, other: "Snippet", equal_prefix: int = 0) -> bool:
        start = len(self.prefix) + equal_prefix
        pairs = zip_longest(self._leaves(start), other._leaves(start))
        return all(old_node == new_node for old_node, new_node in pairs)

    def _leaves(self, start: int = 0) -> Iterator[tuple[str, bytes]]:
        text = self.prefix + self.code + self.suffix
        stack: list[Node | None] = [self.tree.root_node]
        while stack:
            node = stack.pop()
            if node is None:
                yield _BLOCK_END
                continue
            if node.type in _TRIVIA or node.end_byte < start:
                continue
            if node.child_count:
                if node.type == "block":  # Python shows where it ends by indentation alone
                    stack.append(None)
                stack.extend(reversed(node.children))
            else:
                yield node.type, text[node.start_byte : node.end_byte]


def walk(root: Node) -> Iterator[Node]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if node.child_count:
            stack.extend(reversed(node.children))


def text_of(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def parse_unit(code: bytes, language: str, kind: str, path: str = "") -> Snippet | None:
    """Parse a unit in the surroundings that its kind needs (a class around a method); None if it does not parse."""
    for wrapper in _wrappers(code, language, kind):
        snippet = _snippet(code, language, path, wrapper)
        if not snippet.tree.root_node.has_error:
            return snippet
    return None


def parse_file(code: bytes, language: str, path: str = "") -> Snippet:
    return _snippet(code, language, path, (b"", b""))


def _wrappers(code: bytes, language: str, kind: str) -> Iterator[tuple[bytes, bytes]]:
    inside = _METHOD_WRAPPERS.get(language, ())
    if kind == "method":
        yield from inside
    # A decorated method of Python: its first line lost its indentation to the file, later ones
    # have theirs, so the decorator and the `def` do not line up. The grammar may not mind.
    later = _LATER_HEADER.search(code) if language == "python" and code[:1] == b"@" else None
    if later:
        yield b"if 1:\n" + later[1], b""
    yield b"", b""
    # A function that is the value of a field or property stands in a class or object as well.
    if kind != "method":
        yield from inside


def _snippet(code: bytes, language: str, path: str, wrapper: tuple[bytes, bytes]) -> Snippet:
    prefix, suffix = wrapper
    tree = parse(prefix + code + suffix, grammar_for(language, path))
    return Snippet(code, language, path, prefix, suffix, tree)


class Edit(NamedTuple):
    """Start, end (exclusive), new text."""

    start: int
    end: int
    replacement: str


def applied(text: bytes, edits: list[Edit]) -> bytes:
    """Apply edits to a text; of overlapping ones the first wins."""
    parts, copied_end = [], 0
    for edit in sorted(edits, key=lambda planned: (planned.start, -planned.end, planned.replacement)):
        if edit.start >= copied_end:
            parts += [text[copied_end : edit.start], edit.replacement.encode()]
            copied_end = edit.end
    return b"".join([*parts, text[copied_end:]])
