"""Mutation operators: base classes, each operator models one kind of bug."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.node_table import NodeTable, split_words
from cortex_pipelines.schemas.vocabulary import LANGUAGES

ErrorType = Literal["operator", "literal", "identifier", "control_flow", "removal"]

_LONGEST_QUOTE = 80
_ROOM = _LONGEST_QUOTE // 3
# Of a line, as far as a quote has room; no word is cut that is not as long itself.
_FIRST_WORDS = re.compile(rf"\A.{{,{_ROOM}}}\w{{,{_ROOM}}}")
_LAST_WORDS = re.compile(rf"\w{{,{_ROOM}}}.{{,{_ROOM}}}\Z")


@dataclass(frozen=True)
class TextEdit:
    """One text replacement, with the correct and the mistaken code as the explanation quotes them."""

    start: int
    end: int
    replacement: str
    right: str
    wrong: str
    old: str
    new: str


class Operator(ABC):
    """A mutation operator for one kind of bug. Subclasses in ``augmentation/mutation/operators/`` are discovered."""

    name: ClassVar[str]
    """Name in the data, unique."""
    error_type: ClassVar[ErrorType]
    """Family of the mistake."""
    places: ClassVar[Mapping[str, frozenset[str]]]
    """Language to node types on which the operator works; its keys are the languages claimed."""
    weight: ClassVar[int] = 1
    """How often it is drawn against the others that a unit has a place for, however many places there are. The order
    is that of one-line fixes in the history of requests, cobra, ky and ripgrep: of 511 that an operator can undo, 287
    change a variable, 126 a function, 32 a conversion, 29 an attribute and 37 anything else."""
    explanation: ClassVar[str]
    """What is wrong and what puts it right; ``{right}``, ``{wrong}``, ``{old}``, ``{new}`` stand
    for the quoted fields of the change."""

    @abstractmethod
    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        pass

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        """Whether the code around a change tells that it is a mistake; where edits mend a mistake nobody asks."""
        return True

    def explain(self, change: TextEdit) -> str:
        return self.explanation.format(
            right=_quote(change.right), wrong=_quote(change.wrong), old=_quote(change.old), new=_quote(change.new)
        )


class TokenSwap(Operator):
    swaps: ClassVar[Mapping[str, tuple[str, ...]]]
    """Token to what may take its place."""

    def applies(self, node: Node, view: NodeTable) -> bool:
        return True

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        tokens = [part for part in node.children if part.type in self.swaps and not part.is_named]
        if tokens and self.applies(node, view):
            for token in tokens:
                for other in self.swaps[token.type]:
                    yield replace_part(view, node, token, other)


def replace_part(view: NodeTable, quoted_node: Node, part: Node, replacement: str) -> TextEdit:
    return replace_span(view, quoted_node, part.start_byte, part.end_byte, replacement)


def exchange(view: NodeTable, quoted_node: Node, left: Node, right: Node) -> TextEdit:
    """Two parts in each other's place."""
    between = view.between(left.end_byte, right.start_byte)
    swapped = view.code(right) + between + view.code(left)
    return replace_span(view, quoted_node, left.start_byte, right.end_byte, swapped)


def replace_span(view: NodeTable, quoted_node: Node, start: int, end: int, replacement: str) -> TextEdit:
    head = view.between(quoted_node.start_byte, start)
    tail = view.between(end, quoted_node.end_byte)
    old = view.between(start, end)
    right = head + old + tail
    if len(right) > _LONGEST_QUOTE:  # the start of something long would not show the difference
        head = _LAST_WORDS.findall(head.rpartition("\n")[2][-2 * _ROOM :])[0].lstrip()
        tail = _FIRST_WORDS.findall(tail)[0].rstrip()
    return TextEdit(start, end, replacement, head + old + tail, head + replacement + tail, old, replacement)


def replace_quoting_around(view: NodeTable, node: Node, replacement: str) -> TextEdit:
    quoted_node = node
    for quoted_node in view.ancestors(node):
        length = quoted_node.end_byte - quoted_node.start_byte
        if quoted_node.type not in _LISTS and length > node.end_byte - node.start_byte:
            break
    return replace_part(view, quoted_node, node, replacement)


_LISTS = split_words("argument_list arguments expression_list")


def swapping(*pairs: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    replacements: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        for original, replacement in (pair, pair[::-1]):
            replacements[original] = (*replacements.get(original, ()), replacement)
    return replacements


def on(script: str = "", **places: str) -> dict[str, frozenset[str]]:
    """Node types by language, from words; ``script`` stands for JavaScript and TypeScript."""
    both = dict.fromkeys(("javascript", "typescript"), script) if script else {}
    return {language: split_words(types) for language, types in (both | places).items()}


def everywhere(types: str, **exceptions: str) -> dict[str, frozenset[str]]:
    """The same node types in all six languages, with exceptions."""
    return dict.fromkeys(LANGUAGES, split_words(types)) | on(**exceptions)


def has_text(node: Node) -> bool:
    """Whether a node or operand is a string, where ``+`` and ``%`` have other meanings."""
    stack = [node]
    while stack:
        part = stack.pop()
        if "string" in part.type or part.type == "template":
            return True
        if part.type.startswith(("binary_", "parenthesized_")):
            stack.extend(part.named_children)
    return False


def _quote(code: str) -> str:
    collapsed = " ".join(code.split())
    if len(collapsed) > _LONGEST_QUOTE:
        collapsed = collapsed[: _LONGEST_QUOTE - 3] + "..."
    return f"`{collapsed}`"
