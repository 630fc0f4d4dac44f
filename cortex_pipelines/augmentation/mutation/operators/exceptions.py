"""Exception bugs: wrong type, swallowed, or never raised."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, on, remove_statement, replace_node
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable

_FAMILY: Literal["removal"] = "removal"

# Exceptions of the standard library that are taken for each other; both take a message.
_PYTHON = {
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "KeyError": "IndexError",
    "IndexError": "KeyError",
    "AttributeError": "KeyError",
    "OSError": "ValueError",
    "IOError": "ValueError",
    "FileNotFoundError": "PermissionError",
    "RuntimeError": "ValueError",
    "NotImplementedError": "RuntimeError",
    "ImportError": "AttributeError",
    "ModuleNotFoundError": "AttributeError",
    "StopIteration": "IndexError",
    "UnicodeDecodeError": "KeyError",
    "ZeroDivisionError": "ValueError",
    "LookupError": "ValueError",
    "Exception": "ValueError",
    "AssertionError": "ValueError",
}
_JAVASCRIPT = {
    "Error": "TypeError",
    "TypeError": "RangeError",
    "RangeError": "TypeError",
    "SyntaxError": "TypeError",
    "ReferenceError": "TypeError",
}
_JAVA = {
    "IllegalArgumentException": "IllegalStateException",
    "IllegalStateException": "IllegalArgumentException",
    "NullPointerException": "IllegalArgumentException",
    "RuntimeException": "IllegalStateException",
    "IOException": "RuntimeException",
    "Exception": "RuntimeException",
    "IndexOutOfBoundsException": "IllegalArgumentException",
    "UnsupportedOperationException": "IllegalStateException",
    "NumberFormatException": "NullPointerException",
    "ClassCastException": "NullPointerException",
    "InterruptedException": "RuntimeException",
    "NoSuchElementException": "IllegalStateException",
}
_OTHERS = {"python": _PYTHON, "javascript": _JAVASCRIPT, "typescript": _JAVASCRIPT, "java": _JAVA}


class ExceptionType(Operator):
    name = "exception_type"
    error_type = _FAMILY
    weight = 3
    places = on(
        python="raise_statement except_clause",
        javascript="throw_statement",
        typescript="throw_statement",
        java="throw_statement catch_type",
    )
    explanation = "{wrong} names {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        other_types, end = _OTHERS[view.language], _head_end(node)
        present = view.between(node.start_byte, end)
        for part in view.descendants(node):
            if part.start_byte >= end:
                return
            other = other_types.get(view.code(part), "") if part.type in _NAMES else ""
            if other and other not in present and view.parent_type(part) in _CLASS_PLACES:
                yield _replace_type(node.start_byte, end, part, other, view)


def _head_end(node: Node) -> int:
    body = next((part for part in node.named_children if part.type == "block"), None)
    return node.end_byte if body is None else body.start_byte


def _replace_type(start: int, end: int, part: Node, other: str, view: NodeTable) -> TextEdit:
    head, tail = view.between(start, part.start_byte), view.between(part.end_byte, end).rstrip()
    old = view.code(part)
    return TextEdit(part.start_byte, part.end_byte, other, head + old + tail, head + other + tail, old, other)


_NAMES = split_words("identifier type_identifier")
_CLASS_PLACES = split_words(
    "raise_statement except_clause as_pattern tuple call new_expression object_creation_expression catch_type"
)


class SwallowedException(Operator):
    name = "swallowed_exception"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="raise_statement",
        javascript="throw_statement",
        typescript="throw_statement",
        java="throw_statement",
        go="expression_statement",
        rust="expression_statement",
    )
    explanation = "{right} is missing, so the error goes unnoticed; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if node.type != "expression_statement" or view.code(node).startswith(_ENDING):
            yield from remove_statement(view, node)


_ENDING = ("panic(", "panic!(", "log.Fatal", "return Err(")


class BroadenedHandler(Operator):
    name = "broad_handler"
    error_type = _FAMILY
    weight = 2
    places = on(python="except_clause", java="catch_type")
    explanation = "{wrong} also hides errors that it was not written for; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        if view.language == "java":
            if view.code(node) not in _BROAD:
                yield replace_node(view, node, "Exception")
            return
        value = parts[0] if parts and parts[0].type != "block" else None
        if value is not None and value.type == "as_pattern":
            value = value.named_children[0]
        if value is not None and view.code(value) not in _BROAD:
            yield _replace_type(node.start_byte, _head_end(node), value, "Exception", view)


_BROAD = ("Exception", "BaseException", "Throwable")
