"""Smells with their source code, and edits that fix them."""

from collections.abc import Callable
from dataclasses import dataclass

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.nodes import STRINGS, child, descendants
from cortex_pipelines.annotation.detector import Evidence

Edit = tuple[int, int, bytes]
"""First byte, byte after the last, and what takes their place."""


class NotFixableError(ValueError):
    """The code does not have the form that a fix is made for."""


def part(node: Node, *fields: str) -> Node:
    """The first of a node's fields that it has. Raises NotFixableError: it has none."""
    if (field_node := child(node, *fields)) is None:
        raise NotFixableError
    return field_node


@dataclass(frozen=True)
class SmellInstance:
    data: bytes  # the code, as it was parsed
    language: str
    tree: Tree
    evidence: Evidence

    def outermost(self, *types: str) -> Node:
        """The outermost node of given types that starts at the evidence and lies inside it."""
        start, end = self.evidence.start, self.evidence.end
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        outermost: Node | None = None
        while node is not None and node.start_byte >= start and node.end_byte <= end:
            if node.type in types:
                outermost = node
            node = node.parent
        if outermost is None:
            raise NotFixableError
        return outermost

    def enclosing(self, *types: str) -> Node:
        node = self.tree.root_node.descendant_for_byte_range(self.evidence.start, self.evidence.end)
        while node is not None and node.type not in types:
            node = node.parent
        if node is None:
            raise NotFixableError
        return node

    def text(self, node: Node) -> bytes:
        return self.data[node.start_byte : node.end_byte]

    def line_start(self, offset: int) -> int:
        return self.data.rfind(b"\n", 0, offset) + 1

    def margin(self, node: Node) -> bytes:
        """White space before a node that begins its line."""
        before = self.data[self.line_start(node.start_byte) : node.start_byte]
        if before.strip():
            raise NotFixableError
        return before

    def shifted(self, node: Node, by: int) -> bytes:
        """Text of a node with its further lines unindented by ``by`` bytes.

        Raises NotFixableError: a line has less, or a string runs over several lines.
        """
        inside = (node, *descendants(node, STRINGS[self.language]))
        first, *lines = self.text(node).split(b"\n")
        if any(line.strip() and line[:by].strip() for line in lines) or any(
            string.type in STRINGS[self.language] and string.start_point[0] != string.end_point[0] for string in inside
        ):
            raise NotFixableError
        return b"\n".join([first, *(line[by:] for line in lines)])


Fixer = Callable[[SmellInstance], list[Edit]]
"""Gives the edits that take a smell away; none where it is not safe to, or raises NotFixableError."""


def replaced(node: Node, text: bytes) -> Edit:
    return (node.start_byte, node.end_byte, text)


def inserted(offset: int, text: bytes) -> Edit:
    return (offset, offset, text)


def applied(data: bytes, edits: list[Edit]) -> bytes:
    """Apply non-overlapping edits to code; edits at the same offset keep their order."""
    parts, copied_end = [], 0
    for start, end, text in sorted(edits, key=lambda edit: edit[:2]):
        parts += [data[copied_end:start], text]
        copied_end = end
    return b"".join([*parts, data[copied_end:]])
