"""A parsed text with parent, field and enclosing function of each node.

tree-sitter finds a parent by walking down from the root; here one walk records all parents.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

from tree_sitter import Node

from cortex_pipelines.augmentation.snippets import Snippet


def split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = split_words(
    "function_definition function_declaration generator_function_declaration function_expression generator_function "
    "arrow_function method_definition method_declaration constructor_declaration function_item func_literal lambda "
    "lambda_expression closure_expression"
)
BLOCKS = split_words(
    "block statement_block statement_list module program constructor_body "
    "switch_case switch_default switch_block_statement_group"
)
"""Node types that hold statements, one after the other."""
COMMENTS = split_words("comment line_comment block_comment")


class NodeTable:
    """All nodes of a snippet, parents first, in source order; ``notes``: what operators computed about functions."""

    def __init__(self, snippet: Snippet) -> None:
        self.snippet = snippet
        self.language = snippet.language
        self.text = snippet.prefix + snippet.code + snippet.suffix
        self.nodes: list[Node] = []
        self._above: list[int] = []
        self._fields: list[str] = []
        self.notes: dict[str, dict[int, Any]] = {}
        self._place: dict[int, int] = {}
        cursor, ancestors = snippet.tree.walk(), [-1]
        while ancestors:
            node = cursor.node
            if node is not None:
                self._place[node.id] = len(self.nodes)
                self.nodes.append(node)
                self._above.append(ancestors[-1])
                self._fields.append(cursor.field_name or "")
            if cursor.goto_first_child():
                ancestors.append(len(self.nodes) - 1)
                continue
            while ancestors and not cursor.goto_next_sibling():
                cursor.goto_parent()
                ancestors.pop()

    def parent(self, node: Node) -> Node | None:
        above = self._above[self._place[node.id]]
        return self.nodes[above] if above >= 0 else None

    def parent_type(self, node: Node) -> str:
        above = self._above[self._place[node.id]]
        return self.nodes[above].type if above >= 0 else ""

    def field(self, node: Node) -> str:
        return self._fields[self._place[node.id]]

    def innermost(self, start: int, end: int) -> Node:
        """The innermost node of a span."""
        node = self.snippet.tree.root_node.descendant_for_byte_range(start, end)
        return node or self.nodes[0]

    def ancestors(self, node: Node) -> Iterator[Node]:
        above = self._above[self._place[node.id]]
        while above >= 0:
            yield self.nodes[above]
            above = self._above[above]

    def descendants(self, node: Node) -> Iterator[Node]:
        root_index = self._place[node.id]
        for index in range(root_index, len(self.nodes)):
            if index > root_index and self._above[index] < root_index:
                return
            yield self.nodes[index]

    def code(self, node: Node) -> str:
        return self.text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def between(self, start: int, end: int) -> str:
        return self.text[start:end].decode("utf-8", "replace")

    def home(self, node: Node) -> Node:
        """The outermost function around a node; the root for a node outside of functions."""
        return self.nodes[self._homes[self._place[node.id]]]

    @cached_property
    def _homes(self) -> list[int]:
        homes = [0]
        for above in self._above[1:]:
            is_home = homes[above] == 0 and self.nodes[above].type in FUNCTIONS
            homes.append(above if is_home else homes[above])
        return homes

    @cached_property
    def by_type(self) -> dict[str, list[Node]]:
        start = len(self.snippet.prefix)
        end = start + len(self.snippet.code)
        nodes_by_type: dict[str, list[Node]] = {}
        for node in self.nodes:
            if start <= node.start_byte and node.end_byte <= end:
                nodes_by_type.setdefault(node.type, []).append(node)
        return nodes_by_type

    def statements(self, block: Node) -> list[Node]:
        return [part for part in block.named_children if part.type not in COMMENTS]

    def lines(self, node: Node) -> tuple[int, int] | None:
        """Span of the lines that a statement occupies alone, with its line break; else None."""
        text = self.text
        start = text.rfind(b"\n", 0, node.start_byte) + 1
        end = node.end_byte
        if text[end : end + 1] == b";":
            end += 1
        line_end = text.find(b"\n", end)
        stop = line_end + 1 if line_end >= 0 else len(text)
        if text[start : node.start_byte].strip() or text[end:stop].strip():
            return None
        inside = len(self.snippet.prefix) <= start and stop <= len(text) - len(self.snippet.suffix)
        return (start, stop) if inside else None


_CLOSING = ("}", ")", "]")


def own_indent(view: NodeTable) -> str | None:
    """Indentation of a unit's first line in its file; None where the other lines do not show it.

    In Python the body is one level deeper; nested blocks show the width of a level.
    """
    if view.language != "python":
        code = view.snippet.code.decode("utf-8", "replace")
        last = code.rstrip().rpartition("\n")[2]
        closing = last.lstrip()
        return last[: len(last) - len(closing)] if "\n" in code and closing.startswith(_CLOSING) else None
    prefix_indent = view.snippet.prefix.rpartition(b"\n")[2].decode()
    if prefix_indent:
        return prefix_indent
    starts = [node.start_byte for node in view.by_type.get("block", ())]
    margins = [view.text[view.text.rfind(b"\n", 0, start) + 1 : start].decode() for start in starts]
    blocks = [margin for margin in margins if margin and not margin.strip()]
    if not blocks:
        return None
    body = blocks[0]
    nested = [indent for indent in blocks if indent.startswith(body) and indent != body]
    level = min(map(len, nested), default=0) - len(body)
    return body[: len(body) - level] if 0 < level <= len(body) else None


_TAB, _SPACES = "\t", " " * 4


def indent_unit(view: NodeTable) -> str:
    """One level of indentation in a unit, by how much its lines step in most often; by its language if none do."""
    lines = [line for line in view.snippet.code.decode("utf-8", "replace").split("\n")[1:] if line.strip()]
    margins = [line[: len(line) - len(line.lstrip())] for line in lines if not line.lstrip().startswith("*")]
    margins.insert(0, own_indent(view) or "")
    steps = Counter(after.removeprefix(before) for before, after in pairwise(margins) if after.startswith(before))
    units = [(step, count) for step, count in steps.items() if step in (_TAB, "  ", _SPACES, 2 * _SPACES)]
    default = _TAB if view.language == "go" else _SPACES
    return max(units, key=lambda unit: unit[1], default=(default, 0))[0]
