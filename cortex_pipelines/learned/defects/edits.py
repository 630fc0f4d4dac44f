"""Small edits that may mend code: the mutation operators, as many mistakes are undone by their like, and terms."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.inject import is_equivalent, sites
from cortex_pipelines.augmentation.mutation.operator import TextEdit, replace_span
from cortex_pipelines.augmentation.node_table import NodeTable, split_words

_ONE_WAY = split_words(
    "removed_conversion missing_return removed_await removed_optional_chain removed_error_propagation early_return "
    "missing_break lost_receiver removed_loop lost_accumulation wrong_sameness similar_method swapped_branches"
)
"""Operators that only break: what they leave out, none puts back."""
_BINARY = split_words("binary_operator binary_expression")
_VALUES = _BINARY | split_words(
    "identifier attribute member_expression field_access selector_expression field_expression call call_expression "
    "method_invocation"
)
_HOLDERS = _BINARY | split_words(
    "argument_list arguments subscript slice index_expression array_access subscript_expression comparison_operator "
    "assignment return_statement expression_list variable_declarator slice_expression range_expression for_clause"
)
_HELD = ("left", "name", "function", "object", "operand", "value")  # not the place that is assigned, called or indexed
_SIGNS = ("+", "-", "*", "//", "/", "%")
_LONGEST = 120  # bytes of code that an edit replaces


def edits(view: NodeTable) -> Iterator[tuple[str, TextEdit]]:
    """Edits with the family of the mistake that each would mend, each once."""
    keys: set[tuple[int, int, str]] = set()
    for name, family, edit in _all_edits(view):
        key = edit.start, edit.end, edit.replacement
        if key not in keys and edit.end - edit.start <= _LONGEST and not is_equivalent(name, edit, view):
            keys.add(key)
            yield family, edit


def _all_edits(view: NodeTable) -> Iterator[tuple[str, str, TextEdit]]:
    for operator, node in sites(view):
        if operator.name not in _ONE_WAY:
            yield from ((operator.name, operator.error_type, edit) for edit in operator.edits_at(node, view))
    for node in view.nodes:
        yield from (("off_by_one", "literal", edit) for edit in _terms(node, view))


def _terms(node: Node, view: NodeTable) -> Iterator[TextEdit]:
    """A term left out, and one added to a value or taken from it."""
    if node.type in _BINARY and len(node.children) == 3:
        left_operand, sign, right_operand = node.children
        if sign.type in _SIGNS:
            yield replace_span(view, node, left_operand.end_byte, right_operand.end_byte, "")
            yield replace_span(view, node, left_operand.start_byte, right_operand.start_byte, "")
    parent = view.parent_type(node)
    is_initial = parent == "variable_declarator" and view.field(node) == "value"
    if node.type in _VALUES and parent in _HOLDERS and (is_initial or view.field(node) not in _HELD):
        for term in (" + 1", " - 1"):
            yield replace_span(view, node, node.end_byte, node.end_byte, term)
