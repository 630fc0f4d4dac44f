"""Headers of the blocks that enclose a definition, as they stand in the file.

A header runs from the beginning of a statement or element up to the bracket that a block opens: of a class or function,
and as well of an object, a condition or a function that is passed on (``describe("x", () => {``). The tree is walked
once in all, from definition to definition, however deep it is.
"""

from bisect import bisect_left
from typing import NamedTuple

from tree_sitter import Node

from cortex_pipelines.extraction.one_line import on_one_line
from cortex_pipelines.extraction.outline import Definition, Outline
from cortex_pipelines.extraction.settings import ExtractionSettings

# Enclosing headers of full length that a unit repeats at most: long ones of many levels would be gigabytes.
_MAX_REPEATED = 4
# Bytes of a header for each of its characters, and nodes where it may begin.
_MAX_SPACING, _MAX_STARTS = 16, 64


class _Block(NamedTuple):
    level: int
    header: str


class EnclosingBlocks:
    """Follows the definitions of a file, which come outer ones first."""

    def __init__(self, data: bytes, root: Node, file_outline: Outline, settings: ExtractionSettings) -> None:
        self._data, self._outline, self._settings = data, file_outline, settings
        self._comments = sorted((start, end) for end, start in file_outline.comments.items())
        self._attributes = sorted((start, end) for end, start in file_outline.attributes.items())
        self._owners = {}
        for definition in file_outline.definitions.values():
            body = definition.first("body")
            if body is not None and "name" in definition.captures and definition.kind != "test":
                self._owners[definition.node.id if body.type == "{" else body.id] = definition
        self._cursor, self._path = root.walk(), [root]
        self._blocks: list[_Block] = []

    def around(self, node: Node) -> str:
        """Headers of the innermost blocks around a node, a line each, outermost first."""
        self._move_to(node)
        innermost = self._blocks[-self._settings.max_nesting - 1 :]
        lines = [block.header for block in innermost if block.level < len(self._path) - 1 and block.header]
        while sum(map(len, lines)) > _MAX_REPEATED * self._settings.max_header_chars:
            lines.pop(0)
        return "\n".join(lines)

    def header(self, definition: Definition, end: int) -> str:
        """Text of a definition up to ``end``, without comments and decorators, on one line."""
        start, name = self._outline.widest(definition.node).start_byte, definition.captures["name"][0].start_byte
        # an annotation before the name decorates the unit; one behind it, a parameter
        return self._text(start, end, name)

    def _move_to(self, target: Node) -> None:
        """Move the cursor on; no child is passed twice, or wide nodes would cost the square of their children."""
        cursor, path = self._cursor, self._path
        while len(path) > 1 and not _holds(path[-1], target):
            path.pop()
            if self._blocks and self._blocks[-1].level == len(path):
                self._blocks.pop()
            if not (_holds(path[-1], target) and self._enter_sibling(target)):
                cursor.goto_parent()
        while path[-1].id != target.id and cursor.goto_first_child_for_byte(target.start_byte) is not None:
            node = cursor.node
            if node is None or not _holds(node, target):
                cursor.goto_parent()
                break
            self._enter(node)

    def _enter_sibling(self, target: Node) -> bool:
        while self._cursor.goto_next_sibling():
            node = self._cursor.node
            if node is not None and node.end_byte > target.start_byte:
                if _holds(node, target):
                    self._enter(node)
                    return True
                break
        return False

    def _enter(self, node: Node) -> None:
        definition = self._owners.get(node.id)
        body = (definition and definition.first("body")) or node
        has_brace = _opening(body).type == "{"
        self._path.append(node)
        if has_brace or (definition and body.type == "block"):
            end = body.start_byte + has_brace
            header = self._owned_header(definition, end) if definition else self._statement_header(end)
            self._blocks.append(_Block(len(self._path) - 1, header or "{" * has_brace))

    def _owned_header(self, definition: Definition, end: int) -> str:
        is_near = end - self._outline.widest(definition.node).start_byte <= self._most_bytes
        header = self.header(definition, end) if is_near else ""
        if header and len(header) <= self._settings.max_header_chars:
            return header
        name = definition.captures["name"][0]  # of a long header what tells most
        is_braced = self._data[end - 1 : end] == b"{"
        header = self.header(definition, name.end_byte) + (" {" if is_braced else ":")
        return header if len(header) <= self._settings.max_header_chars else ""

    def _statement_header(self, end: int) -> str:
        """The longest header that ends with a bracket and is short enough."""
        first = self._blocks[-1].level + 1 if self._blocks else 1
        nodes = [self._path[first], *self._path[max(first, len(self._path) - _MAX_STARTS) :]]
        # `else {` is nothing without what it follows; a list of statements begins with others
        starts = [node.start_byte for node in nodes if not node.type.endswith(("_clause", "statement_list"))]

        def fits(start: int) -> bool:
            is_near = end - start <= self._most_bytes
            return is_near and len(self._text(start, end)) <= self._settings.max_header_chars

        return self._text(starts[bisect_left(starts, True, key=fits)], end)

    @property
    def _most_bytes(self) -> int:
        return _MAX_SPACING * self._settings.max_header_chars

    def _text(self, start: int, end: int, decorated: int | None = None) -> str:
        """Text of a span on one line, without its comments and the decorators before a position or at its beginning."""
        data = self._data
        if decorated is None:
            decorated = start
            for first, last in _between(self._attributes, start, end):
                if data[decorated:first].strip():
                    break
                decorated = last
        removed = [*_between(self._attributes, start, decorated), *_between(self._comments, start, end)]
        removed.sort()
        text = remove_spans(data, start, end, removed) if removed else data[start:end]
        return on_one_line(text.decode(errors="replace"))


def remove_spans(data: bytes, start: int, end: int, cuts: list[tuple[int, int]]) -> bytes:
    segments, position = [], start
    for cut_start, cut_end in cuts:
        if position <= cut_start < end:
            segments.append(data[position:cut_start])
            position = cut_end
    return b" ".join([*segments, data[position:end]])


def _opening(node: Node) -> Node:
    return (node.child(0) if node.child_count else None) or node


def _holds(node: Node, other: Node) -> bool:
    return node.start_byte <= other.start_byte and other.end_byte <= node.end_byte


def _between(items: list[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    first = bisect_left(items, (start,))
    return items[first : bisect_left(items, (end,), first)]
