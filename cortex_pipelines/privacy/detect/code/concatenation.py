"""Concatenated literals that form one value."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.expressions import callee, receiver

_CONCATENATED = ("concatenated_string", "binary_operator", "binary_expression")
_INNER = roles.LISTS | {
    *_CONCATENATED,
    "parenthesized_expression",
    "literal_element",
    "composite_literal",
    "array_creation_expression",
    "token_tree",
}
_TYPES = ("slice_type", "array_type", "dimensions", "implicit_length_array_type")
_MOST = 400


def whole_value(literal: Node, data: bytes) -> tuple[Node, list[Node], bool]:
    """The expression around a literal, its literals, and whether it consists of literals alone.

    Args:
        literal: A node of a literal.
        data: The text of the tree.
    """
    top, node = literal, literal.parent
    while node is not None and _is_concatenation(node):
        top, node = node, node.parent
    list_join = _joined_list(top, data)
    if list_join is not None:
        top, call = list_join
    literals = list(_leaves(top))
    are_all = all(leaf.type in roles.STRINGS for leaf in literals) and len(literals) <= _MOST
    strings = [leaf for leaf in literals if leaf.type in roles.STRINGS]
    return (call if list_join is not None else top), strings, are_all


def _is_concatenation(node: Node) -> bool:
    if node.type == "parenthesized_expression":
        return node.parent is not None and _is_concatenation(node.parent)
    if node.type == "concatenated_string":
        return True
    return node.type in _CONCATENATED and any(part.type == "+" for part in node.children)


def _joined_list(element: Node, data: bytes) -> tuple[Node, Node] | None:
    """The list that an expression is an element of, and the call that joins its elements."""
    node = element.parent
    while node is not None and node.type in _INNER and node.type not in _CONCATENATED:
        parent = node.parent
        if parent is None:
            return None
        if parent.type == "macro_invocation":
            macro = parent.child_by_field_name("macro")
            return (node, parent) if macro and macro.text == b"concat" else None
        if parent.type in roles.ARGUMENTS or parent.type in roles.MEMBERS:
            call = parent.parent
        else:
            call = parent if parent.type == "method_invocation" else None
        if call is not None and call.type in roles.CALLS:
            inside = parent.type in roles.ARGUMENTS or receiver(call) == node
            verb = callee(call, data).rpartition(".")[2].lower()
            return (node, call) if inside and verb in roles.JOINS else None
        node = parent
    return None


def _leaves(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        part = stack.pop()
        if part.type in _INNER:
            children = [child for child in part.named_children if child.type not in _TYPES]
            stack += reversed([child for child in children if not child.is_extra])
        else:
            yield part
