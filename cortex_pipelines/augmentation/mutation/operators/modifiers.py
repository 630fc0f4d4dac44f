"""Declaration bugs: missing decorator, modifier or default."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, on, replace_span
from cortex_pipelines.augmentation.node_table import NodeTable

_FAMILY: Literal["removal"] = "removal"
_WITHOUT_EFFECT = split_words(
    "override final overload typing.override typing.final typing.overload abstractmethod "
    "abc.abstractmethod Override SuppressWarnings Deprecated inline must_use allow doc"
)


class RemovedDecorator(Operator):
    name = "removed_decorator"
    error_type = _FAMILY
    weight = 3
    places = on(python="decorator", typescript="decorator", java="marker_annotation annotation", rust="attribute_item")
    explanation = "{right} is missing on {new}; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        text = view.code(node)
        name = text.strip("@#[]! ").partition("(")[0].strip()
        parent = view.parent(node)
        if name in _WITHOUT_EFFECT or parent is None or not name.isprintable():
            return
        start, end = node.start_byte, _next_word(view, node.end_byte)
        head = view.between(node.end_byte, parent.end_byte).strip().partition("\n")[0]
        yield TextEdit(start, end, "", text, "", text, head.rstrip("{ "))


def _next_word(view: NodeTable, offset: int) -> int:
    text = view.text
    while offset < len(text) and text[offset : offset + 1] in b" \t\r\n":
        offset += 1
    return offset


class RemovedModifier(Operator):
    name = "removed_modifier"
    error_type = _FAMILY
    weight = 5
    places = on(
        python="function_definition",
        javascript="method_definition function_declaration arrow_function function_expression",
        typescript="method_definition function_declaration arrow_function public_field_definition",
        java="modifiers",
        rust="function_item",
    )
    explanation = "the modifier {old} is missing in {wrong}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        for part in node.children:
            word = view.code(part)
            if word not in _MODIFIERS[view.language] or (word == "async" and _waits(node, view)):
                continue
            if word == "static" and _is_of_record(node, view):
                continue  # a field of a record has to be
            end = _next_word(view, part.end_byte)
            modifiers = node if node.type != "modifiers" else view.parent(node) or node
            before = view.between(modifiers.start_byte, part.start_byte).rpartition("\n")[2].lstrip()
            after = view.between(end, modifiers.end_byte).partition("\n")[0].rstrip("{ ")
            right = f"{before}{word} {after}"
            yield TextEdit(part.start_byte, end, "", right, before + after, word, "")


def _is_of_record(modifiers: Node, view: NodeTable) -> bool:
    kinds = [above.type for above in islice(view.ancestors(modifiers), 3)]
    return kinds[:1] == ["field_declaration"] and "record_declaration" in kinds


def _waits(function: Node, view: NodeTable) -> bool:
    return any(part.type in ("await", "await_expression") for part in view.descendants(function))


_MODIFIERS = {
    "python": split_words("async"),
    "javascript": split_words("static async"),
    "typescript": split_words("static async"),
    "java": split_words("static synchronized volatile transient"),
    "rust": split_words("pub"),
}


class RemovedDefault(Operator):
    name = "removed_default"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="default_parameter typed_default_parameter",
        javascript="assignment_pattern",
        typescript="required_parameter",
    )
    explanation = "the parameter {wrong} lacks its default {old}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        if value is None:
            return
        before = view.text[node.start_byte : value.start_byte].rstrip(b"= \t\r\n")
        start = node.start_byte + len(before)
        change = replace_span(view, node, start, value.end_byte, "")
        yield TextEdit(start, value.end_byte, "", change.right, change.wrong, view.code(value), "")
