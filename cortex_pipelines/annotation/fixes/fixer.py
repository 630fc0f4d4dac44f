"""Smells with their source code, and edits that fix them."""

from collections.abc import Callable
from dataclasses import dataclass

from tree_sitter import Node, Tree

from cortex_pipelines.annotation.complexity.nodes import STRINGS, descendants
from cortex_pipelines.annotation.detector import Evidence

Edit = tuple[int, int, bytes]
"""First byte, byte after the last, and what takes their place."""


@dataclass(frozen=True)
class SmellInstance:
    data: bytes  # the code, as it was parsed
    language: str
    tree: Tree
    evidence: Evidence

    def outermost(self, *types: str) -> Node | None:
        """The outermost node of given types that starts at the evidence and lies inside it."""
        start, end = self.evidence.start, self.evidence.end
        node = self.tree.root_node.descendant_for_byte_range(start, end)
        deepest: Node | None = None
        while node is not None and node.start_byte >= start and node.end_byte <= end:
            if not types or node.type in types:
                deepest = node
            node = node.parent
        return deepest

    def enclosing(self, *types: str) -> Node | None:
        node = self.tree.root_node.descendant_for_byte_range(self.evidence.start, self.evidence.end)
        while node is not None and node.type not in types:
            node = node.parent
        return node

    def text(self, node: Node) -> bytes:
        return self.data[node.start_byte : node.end_byte]

    def line_start(self, offset: int) -> int:
        return self.data.rfind(b"\n", 0, offset) + 1

    def margin(self, node: Node) -> bytes | None:
        before = self.data[self.line_start(node.start_byte) : node.start_byte]
        return before if not before.strip() else None

    def shifted(self, node: Node, by: int) -> bytes | None:
        """Text of a node with its further lines unindented by ``by`` bytes.

        None where a line has less, or where a string runs over several lines.
        """
        inside = (node, *descendants(node, STRINGS[self.language]))
        if any(part.type in STRINGS[self.language] and part.start_point[0] != part.end_point[0] for part in inside):
            return None
        first, *lines = self.text(node).split(b"\n")
        if any(line.strip() and line[:by].strip() for line in lines):
            return None
        return b"\n".join([first, *(line[by:] for line in lines)])


Fixer = Callable[[SmellInstance], list[Edit] | None]
"""Gives the edits that take a smell away; None where it is not safe to."""


def applied(data: bytes, edits: list[Edit]) -> bytes:
    """Apply non-overlapping edits to code; edits at the same offset keep their order."""
    parts, copied_end = [], 0
    for start, end, text in sorted(edits, key=lambda edit: edit[:2]):
        parts += [data[copied_end:start], text]
        copied_end = end
    return b"".join([*parts, data[copied_end:]])
