"""Bugs of expressions: wrong operator, swapped operands, missing term, an index off by one, a flipped result."""

import re
from collections.abc import Iterator
from typing import ClassVar, Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.evident_types import COMPILED, NUMBERS, evident_type
from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    TokenSwap,
    everywhere,
    exchange,
    has_text,
    on,
    replace_quoting_around,
    replace_span,
    swapping,
)
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_BINARY = everywhere("binary_expression", python="binary_operator")
_ASSIGNMENT = everywhere(
    "augmented_assignment_expression",
    python="augmented_assignment",
    java="assignment_expression",
    go="assignment_statement",
    rust="compound_assignment_expr",
)
_FAMILY: Literal["operator"] = "operator"
_LITERAL: Literal["literal"] = "literal"
_ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**")
_ORDERED = ("-", "/", "//", "%", "**", "<<", ">>")


class Arithmetic(TokenSwap):
    name = "arithmetic"
    error_type = _FAMILY
    places = _BINARY
    swaps = swapping(("+", "-"), ("*", "/")) | {"//": ("*",), "%": ("*",)}
    explanation = "{wrong} uses the wrong operator; it should be {right}."

    def applies(self, node: Node, view: NodeTable) -> bool:
        return not has_text(node) and _counts(node, view)


def _counts(node: Node, view: NodeTable) -> bool:
    """Whether an operator's operands are numbers: where types are checked, ``+`` of texts has no opposite."""
    operands = [part for part in node.named_children if part.type not in COMMENTS]
    sign = next((part.type for part in node.children if not part.is_named), "")
    if view.language not in COMPILED or sign.rstrip("=") != "+":
        return True
    operands = [part.named_children[0] if part.type == "expression_list" else part for part in operands]
    return any(NUMBERS.fullmatch(evident_type(part, view)) or part.type in _COUNTED for part in operands)


class Bitwise(TokenSwap):
    name = "bitwise"
    error_type = _FAMILY
    places = _BINARY
    swaps = swapping(("&", "|"), ("<<", ">>")) | {"^": ("&",)}
    explanation = "{wrong} uses the wrong bitwise operator; it should be {right}."


class AugmentedAssignment(TokenSwap):
    name = "augmented_assignment"
    error_type = _FAMILY
    places = _ASSIGNMENT
    swaps = swapping(("+=", "-="), ("*=", "/="), ("|=", "&="), ("<<=", ">>="))
    explanation = "{wrong} uses the wrong assignment operator; it should be {right}."

    def applies(self, node: Node, view: NodeTable) -> bool:
        return not any(has_text(part) for part in node.named_children) and _counts(node, view)


class LostAccumulation(Operator):
    name = "lost_accumulation"
    error_type = _FAMILY
    places = _ASSIGNMENT
    explanation = "{wrong} overwrites the value instead of updating it; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        sign = next((part for part in node.children if not part.is_named), None)
        if sign is not None and sign.type.endswith("=") and len(sign.type) > 1:
            yield replace_span(view, node, sign.start_byte, sign.end_byte, "=")


class WrongStep(TokenSwap):
    name = "wrong_step"
    error_type = _FAMILY
    places = on(script="update_expression", java="update_expression", go="inc_statement dec_statement")
    swaps = swapping(("++", "--"))
    explanation = "{wrong} counts in the wrong direction; it should be {right}."


class OperandSwap(Operator):
    name = "operand_swap"
    error_type = _FAMILY
    places = _BINARY
    explanation = "the operands of {wrong} are swapped; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        sign = node.child_by_field_name("operator")
        if left is None or right is None or sign is None or has_text(node):
            return
        if sign.type not in _ORDERED or left.type == node.type or right.type == node.type:
            return
        if view.code(left) != view.code(right):
            yield exchange(view, node, left, right)


class BrokenChain(Operator):
    name = "broken_chain"
    error_type = _FAMILY
    places = everywhere("binary_expression", python="binary_operator comparison_operator")
    explanation = "{wrong} is missing {old}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = node.named_children
        if node.type == "comparison_operator":
            if len(parts) > 2:
                yield replace_span(view, node, parts[-2].end_byte, node.end_byte, "")
            return
        sign = node.child_by_field_name("operator")
        if sign is None or sign.type not in _ARITHMETIC or len(parts) != 2 or has_text(node):
            return
        if parts[0].type == node.type and view.parent_type(node) != node.type:
            yield replace_span(view, node, parts[0].end_byte, node.end_byte, "")


_COMPARISON = everywhere("binary_expression", python="comparison_operator")
_PLAIN = split_words(
    "identifier attribute member_expression field_access selector_expression field_expression "
    "string integer number decimal_integer_literal int_literal call subscript"
)
_COUNTED = split_words("integer_literal float_literal decimal_floating_point_literal")
_SINGLETONS = ("None", "True", "False", "...", "NotImplemented")


class Comparison(TokenSwap):
    name = "comparison"
    error_type = _FAMILY
    weight = 2
    places = _COMPARISON
    swaps = swapping(("==", "!="), ("===", "!=="), ("<", ">"), ("<=", ">="), ("is", "is not"), ("in", "not in"))
    explanation = "the comparison {wrong} is inverted; it should be {right}."


# A size, a position or zero, which have a boundary; a threshold might be above or below.
_EXTENT = re.compile(r"\b(?:len|cap|0)\b|length|size|count|index|idx|offset|\bpos(?:ition)?\b", re.IGNORECASE)


class Boundary(TokenSwap):
    name = "boundary"
    error_type = _FAMILY
    places = _COMPARISON
    swaps = swapping(("<", "<="), (">", ">="))
    explanation = "{wrong} is off by one at the boundary; it should be {right}."

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return _EXTENT.search(change.right) is not None


class WrongSameness(TokenSwap):
    """Replaces equality by identity, or strict equality by loose."""

    name = "wrong_sameness"
    error_type = _FAMILY
    places = on(python="comparison_operator", javascript="binary_expression")
    swaps: ClassVar = {"==": ("is",), "!=": ("is not",), "===": ("==",), "!==": ("!=",)}
    explanation = "compare with {old} instead of {new}: {wrong} should be {right}."

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
    places = _COMPARISON
    explanation = "the sides of {wrong} are swapped; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = node.named_children
        signs = [part.type for part in node.children if not part.is_named]
        if len(parts) != 2 or signs not in (["<="], [">="], ["in"], ["not in"]):
            return
        if signs == ["in"] and view.language == "typescript":
            return
        left, right = parts
        if view.code(left) == view.code(right) or not {left.type, right.type} <= _PLAIN:
            return
        if signs[0] in ("in", "not in") and right.type in ("string", "integer"):
            return
        yield exchange(view, node, left, right)


# What the code around a literal shows.
_SMALL = {"0": ("1",), "1": ("0", "2"), "2": ("1",)}
# Where a small number is an index, a bound or a step, and no setting that might have any value.
_COUNTS = split_words(
    "binary_operator binary_expression comparison_operator unary_operator subscript subscript_expression "
    "index_expression array_access slice slice_expression range_expression augmented_assignment "
    "augmented_assignment_expression"
)
# Of one bit, `> 0` and `> 1` say the same.
_MASKED = re.compile(r"(?<!&)&(?!&)\s*\w.*[<>]")
_RETURNS = split_words("return_statement return_expression")


class OffByOne(Operator):
    name = "off_by_one"
    error_type = _LITERAL
    places = on(
        python="integer", script="number", java="decimal_integer_literal", go="int_literal", rust="integer_literal"
    )
    explanation = "{new} in {wrong} is off by one; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.parent_type(node) in _COUNTS:
            for number in _SMALL.get(view.code(node), ()):
                yield replace_quoting_around(view, node, number)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return _MASKED.search(change.right) is None


class FlippedBoolean(Operator):
    name = "flipped_boolean"
    error_type = _LITERAL
    places = everywhere("true false", rust="boolean_literal")
    explanation = "{new} is the wrong value in {wrong}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        flipped = {"true": "false", "false": "true", "True": "False", "False": "True"}
        holder = view.parent(node)
        if holder is not None and holder.type == "expression_list":
            holder = view.parent(holder)
        if holder is not None and holder.type in _RETURNS:
            yield replace_quoting_around(view, node, flipped[view.code(node)])
