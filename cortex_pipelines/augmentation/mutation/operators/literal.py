"""Literal bugs: off by one, flipped, emptied or replaced."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    everywhere,
    on,
    replace_node,
    replace_quoting_around,
    replace_span,
)
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_FAMILY: Literal["literal"] = "literal"
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,17}")
_QUOTES = ('"', "'")
# Where a number or string is not a value: a field of a tuple, a key, an import, a docstring, the
# format of a macro.
_NOT_VALUES = split_words(
    "field_expression expression_statement pair import_statement import_spec import_declaration "
    "export_statement token_tree jsx_attribute field_declaration literal_type concatenated_string "
    "attribute_item case_clause enum_variant inner_attribute_item attribute extern_modifier"
)
_STRINGS = on(
    python="string",
    javascript="string",
    typescript="string",
    java="string_literal",
    go="interpreted_string_literal",
    rust="string_literal",
)
# Text that only a person reads: what it says changes no behaviour.
_MESSAGES = split_words("raise_statement throw_statement assert_statement annotation decorator attribute_item")
_TALKING = re.compile(
    r"\b(log\w*|warn\w*|print\w*|debug|info|error|fatal\w*|panic|console|errorf?|exception|trace|"
    r"fail|expect|assert\w*|die|println|eprintln|unreachable|todo)\b",
    re.IGNORECASE,
)


class OffByOne(Operator):
    name = "off_by_one"
    error_type = _FAMILY
    weight = 5
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
        text, parent = view.code(node), view.parent(node)
        if parent is None or parent.type in _NOT_VALUES or not _DECIMAL.fullmatch(text):
            return
        for number in [int(text) + 1] + ([int(text) - 1] if text != "0" else []):
            yield replace_quoting_around(view, node, str(number))


class FlippedBoolean(Operator):
    name = "flipped_boolean"
    error_type = _FAMILY
    weight = 4
    places = everywhere("true false", rust="boolean_literal")
    explanation = "{wrong} has {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        flipped = {"true": "false", "false": "true", "True": "False", "False": "True"}
        text, parent = view.code(node), view.parent(node)
        if text in flipped and parent is not None and parent.type != "literal_type":
            yield replace_quoting_around(view, node, flipped[text])


class EmptiedString(Operator):
    name = "emptied_string"
    error_type = _FAMILY
    weight = 2
    places = _STRINGS
    explanation = "the string is empty in {wrong}; it must be {old}: {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.parent(node) is not None and is_value(node, view):
            yield replace_quoting_around(view, node, view.code(node)[0] * 2)


class WrongString(Operator):
    name = "wrong_string"
    error_type = _FAMILY
    weight = 2
    places = _STRINGS
    explanation = "{new} stands in {wrong} where {old} belongs; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if not is_value(node, view) or not _WORD.fullmatch(view.code(node)[1:-1]):
            return
        nearby_literals = [view.code(other) for other in _near_strings(node, view)]
        text = view.code(node)
        fitting = [candidate for candidate in nearby_literals if candidate != text and candidate[:1] == text[:1]]
        fitting = [candidate for candidate in fitting if _WORD.fullmatch(candidate[1:-1])]
        if fitting:
            yield replace_quoting_around(view, node, fitting[0])


_WORD = re.compile(r"[\w.\-/:]{1,40}")
_NEAR_STRINGS = 12


def _near_strings(node: Node, view: NodeTable) -> list[Node]:
    home, strings = view.home(node), view.by_type.get(node.type, [])
    index = bisect_left(strings, node.start_byte, key=lambda literal: literal.start_byte)
    after = strings[index + 1 : index + 1 + _NEAR_STRINGS]
    neighbours = [*after, *strings[max(0, index - _NEAR_STRINGS) : index]]
    return [literal for literal in neighbours if view.home(literal) == home and is_value(literal, view)]


def is_value(node: Node, view: NodeTable) -> bool:
    """Whether a string is plain, non-empty, a value, and not a message for people."""
    text = view.code(node)
    if len(text) <= 2 or text[0] not in _QUOTES or text.startswith(('"""', "'''")):
        return False
    if view.parent_type(node) in _NOT_VALUES:
        return False
    for enclosing in view.ancestors(node):
        if enclosing.type in _MESSAGES:
            return False
        if enclosing.type in _CALLS:
            callee = enclosing.named_children[0] if enclosing.named_children else enclosing
            end = callee.end_byte if callee.end_byte <= node.start_byte else node.start_byte
            if _TALKING.search(view.between(enclosing.start_byte, end)):
                return False
        if enclosing.type.endswith(("statement", "declaration")):
            return True
    return True


_CALLS = split_words("call call_expression method_invocation new_expression object_creation_expression")


class EmptiedCollection(Operator):
    name = "emptied_collection"
    error_type = _FAMILY
    weight = 1
    places = on(
        python="list dictionary",
        javascript="array object",
        typescript="array object",
        java="array_initializer",
        go="literal_value",
        rust="array_expression",
    )
    explanation = "{new} has lost its elements; it must be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        text = view.code(node)
        if node.named_child_count and text[0] in "[{" and ";" not in text:
            yield replace_node(view, node, "[]" if text[0] == "[" else "{}")


class DroppedElement(Operator):
    name = "dropped_element"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="list dictionary tuple set",
        javascript="array object",
        typescript="array object",
        java="array_initializer",
        go="literal_value",
        rust="array_expression",
    )
    explanation = "{wrong} lacks the element {old}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        fewest = 3 if node.type in ("tuple", "literal_value") else 2
        if len(parts) < fewest or "comment" in "".join(p.type for p in node.named_children):
            return
        start, end = parts[-2].end_byte, parts[-1].end_byte
        change = replace_span(view, node, start, end, "")
        lost = view.code(parts[-1])
        yield TextEdit(start, end, "", change.right, change.wrong, lost, "")
