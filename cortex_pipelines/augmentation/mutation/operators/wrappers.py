"""Missing wrappers: ``await``, checks, locks, copies, handlers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, on, replace_span
from cortex_pipelines.augmentation.mutation.operators.calls import callee_name
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_FAMILY: Literal["removal"] = "removal"


def unwrapped(node: Node, inner: Node, view: NodeTable) -> TextEdit:
    return replace_span(view, node, node.start_byte, node.end_byte, view.code(inner))


class RemovedAwait(Operator):
    name = "removed_await"
    error_type = _FAMILY
    places = on(python="await", javascript="await_expression", rust="await_expression")
    explanation = "{wrong} is not awaited; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        awaited = next((part for part in node.named_children if part.type not in COMMENTS), None)
        is_used = view.parent_type(node) != "expression_statement"
        # a script may go on without waiting; Rust's compiler tells that a future is not of the type that it gives
        is_shown = {"javascript": is_used, "rust": not is_used}.get(view.language, True)
        if awaited is not None and is_shown:
            yield unwrapped(node, awaited, view)


class RemovedOptionalChain(Operator):
    name = "removed_optional_chain"
    error_type = _FAMILY
    places = on(javascript="member_expression call_expression subscript_expression")
    explanation = "{wrong} throws if the value is missing; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        for part in node.children:
            if part.type in ("optional_chain", "?."):
                other = "." if node.type == "member_expression" else ""
                yield replace_span(view, node, part.start_byte, part.end_byte, other)


class RemovedErrorPropagation(Operator):
    name = "removed_error_propagation"
    error_type = _FAMILY
    places = on(rust="try_expression")
    explanation = "{wrong} does not propagate the error; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        inner = node.children[0]
        if view.parent_type(node) == "expression_statement":
            yield unwrapped(node, inner, view)
        yield replace_span(view, node, inner.end_byte, node.end_byte, ".unwrap()")


class RemovedConversion(Operator):
    name = "removed_conversion"
    error_type = _FAMILY
    weight = 4
    places = on(python="call", script="call_expression", rust="call_expression")
    explanation = "{wrong} is missing the conversion {old}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name, arguments = callee_name(node), node.child_by_field_name("arguments")
        if name is None or arguments is None or view.parent_type(node) == "expression_statement":
            return
        parts = [part for part in arguments.named_children if part.type not in COMMENTS]
        text = view.code(name)
        if text in _AS_TRUE and _is_condition(node, view):
            return
        receiver = node.child_by_field_name("object")
        function = node.child_by_field_name("function")
        if function is not None and function.id != name.id:
            receiver = function.named_children[0]
        if receiver is None and len(parts) == 1 and text in _CONVERTERS.get(view.language, ()):
            if parts[0].type in _VALUES:
                yield replace(unwrapped(node, parts[0], view), old=text)
        elif receiver is not None and not parts and text in _CLEANERS[view.language]:
            yield replace(unwrapped(node, receiver, view), old=text)


def _is_condition(node: Node, view: NodeTable) -> bool:
    """Whether only the truth of a value is asked for."""
    inner, outer = node, view.parent(node)
    while outer is not None and outer.type in _JOINING:
        inner, outer = outer, view.parent(outer)
    if outer is None or outer.type == "conditional_expression":  # of Python: value, condition, other value
        return outer is not None and outer.named_children[1:2] == [inner]
    return outer.type in _DENYING or view.field(inner) == "condition"


_VALUES = split_words(
    "identifier attribute call subscript member_expression call_expression subscript_expression "
    "selector_expression index_expression field_expression string binary_operator"
)
_CONVERTERS = {
    "python": split_words("int str float bool list tuple set sorted reversed abs len bytes dict round"),
    "javascript": split_words("Number String parseInt parseFloat Boolean"),
}
# What they give is true whenever what they take is; an iterator, which is always true, is rarely taken.
_AS_TRUE = split_words("bool len abs list tuple set sorted bytes dict Boolean")
_JOINING = split_words("boolean_operator parenthesized_expression")
_DENYING = split_words("not_operator unary_expression assert_statement if_clause")
# In a language whose compiler checks types, only those that give what they take. That blanks or the case of a text
# matter is nowhere to be seen.
_CLEANERS = {
    "python": split_words("copy decode encode items"),
    "javascript": split_words("toString slice reverse sort flat"),
    "typescript": split_words("slice reverse sort"),
    "rust": split_words("abs rev"),
}
