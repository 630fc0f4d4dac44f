"""Literal bugs that the code around them shows: an index off by one, a flipped result."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere, on, replace_quoting_around
from cortex_pipelines.augmentation.node_table import NodeTable, split_words

_FAMILY: Literal["literal"] = "literal"
_SMALL = {"0": ("1",), "1": ("0", "2"), "2": ("1",)}
# Where a small number is an index, a bound or a step, and no setting that might have any value.
_COUNTS = split_words(
    "binary_operator binary_expression comparison_operator unary_operator subscript subscript_expression "
    "index_expression array_access slice slice_expression range_expression augmented_assignment "
    "augmented_assignment_expression"
)
_RETURNS = split_words("return_statement return_expression")


class OffByOne(Operator):
    name = "off_by_one"
    error_type = _FAMILY
    places = on(
        python="integer",
        javascript="number",
        typescript="number",
        java="decimal_integer_literal",
        go="int_literal",
        rust="integer_literal",
    )
    explanation = "{new} in {wrong} is off by one; it must be {old}: {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.parent_type(node) in _COUNTS:
            for number in _SMALL.get(view.code(node), ()):
                yield replace_quoting_around(view, node, number)


class FlippedBoolean(Operator):
    name = "flipped_boolean"
    error_type = _FAMILY
    places = everywhere("true false", rust="boolean_literal")
    explanation = "{wrong} has {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        flipped = {"true": "false", "false": "true", "True": "False", "False": "True"}
        holder = view.parent(node)
        if holder is not None and holder.type == "expression_list":
            holder = view.parent(holder)
        if holder is not None and holder.type in _RETURNS:
            yield replace_quoting_around(view, node, flipped[view.code(node)])
