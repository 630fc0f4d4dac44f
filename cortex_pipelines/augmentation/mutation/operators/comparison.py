"""Comparison bugs: inverted, off-by-one boundary, wrong equality."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    TokenSwap,
    everywhere,
    on,
    replace_node,
    swapping,
)
from cortex_pipelines.augmentation.node_table import NodeTable

_COMPARISON = everywhere("binary_expression", python="comparison_operator")
_FAMILY: Literal["operator"] = "operator"
_PLAIN = split_words(
    "identifier attribute member_expression field_access selector_expression field_expression "
    "string integer number decimal_integer_literal int_literal call subscript"
)
_SINGLETONS = ("None", "True", "False", "...", "NotImplemented")


class Comparison(TokenSwap):
    name = "comparison"
    error_type = _FAMILY
    weight = 3
    places = _COMPARISON
    swaps = swapping(("==", "!="), ("===", "!=="), ("<", ">"), ("<=", ">="), ("is", "is not"), ("in", "not in"))
    explanation = "{wrong} tests {new}, the opposite of what is meant; {old} is right: {right}."


class Boundary(TokenSwap):
    name = "boundary"
    error_type = _FAMILY
    weight = 4
    places = _COMPARISON
    swaps = swapping(("<", "<="), (">", ">="))
    explanation = "{wrong} decides the case of equality wrongly; put {old} for {new}: {right}."


class WrongSameness(TokenSwap):
    """Replaces equality by identity, or strict equality by loose."""

    name = "wrong_sameness"
    error_type = _FAMILY
    weight = 2
    places = on(python="comparison_operator", javascript="binary_expression", typescript="binary_expression")
    swaps: ClassVar = {"==": ("is",), "!=": ("is not",), "===": ("==",), "!==": ("!=",)}
    explanation = "{wrong} takes {new} for {old}, another sort of sameness; write {right}."

    def applies(self, node: Node, view: NodeTable) -> bool:
        if view.language != "python":  # Python's == is not the == of JavaScript
            signs = [part.type for part in node.children if not part.is_named]
            if not {"===", "!=="} & set(signs):
                return False
        return not any(part.type in _SELF_EVIDENT or view.code(part) in _SINGLETONS for part in node.named_children)


_SELF_EVIDENT = split_words(
    "string integer float tuple list none true false null undefined unary_expression number "
    "unary_operator concatenated_string dictionary"
)


class SwappedComparison(Operator):
    name = "swapped_comparison"
    error_type = _FAMILY
    weight = 2
    places = _COMPARISON
    explanation = "{wrong} compares {new}, the sides exchanged; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = node.named_children
        signs = [part.type for part in node.children if not part.is_named]
        if len(parts) != 2 or signs not in (["<="], [">="], ["in"], ["not in"]):
            return
        left, right = parts
        if view.code(left) == view.code(right) or not {left.type, right.type} <= _PLAIN:
            return
        if signs[0] in ("in", "not in") and right.type in ("string", "integer"):
            return
        between = view.between(left.end_byte, right.start_byte)
        yield replace_node(view, node, view.code(right) + between + view.code(left))
