"""Argument bugs: swapped or missing arguments, swapped keyword values."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere, on, replace_span
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable

_FAMILY: Literal["identifier"] = "identifier"
_REMOVAL: Literal["removal"] = "removal"
_NOT_POSITIONAL = COMMENTS | split_words(
    "keyword_argument list_splat dictionary_splat spread_element variadic_argument "
    "parenthesized_expression generator_expression"
)


def _enclosing_call(node: Node, view: NodeTable) -> Node | None:
    call = view.parent(node)
    return None if call is None or call.type == "class_definition" else call


class ArgumentSwap(Operator):
    name = "argument_swap"
    error_type = _FAMILY
    weight = 4
    places = everywhere("argument_list", javascript="arguments", typescript="arguments", rust="arguments")
    explanation = "{wrong} passes {new}, in the wrong order; it must be {old}: {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        call = _enclosing_call(node, view)
        if call is None:
            return
        arguments = [part for part in node.named_children if part.type not in _NOT_POSITIONAL]
        for left, right in pairwise(arguments):
            if view.code(left) != view.code(right):
                between = view.between(left.end_byte, right.start_byte)
                swapped = view.code(right) + between + view.code(left)
                yield replace_span(view, call, left.start_byte, right.end_byte, swapped)


class ArgumentDrop(Operator):
    name = "argument_drop"
    error_type = _REMOVAL
    weight = 3
    places = on(python="argument_list", javascript="arguments", typescript="arguments")
    explanation = "{wrong} lacks the argument {old}; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        call = _enclosing_call(node, view)
        arguments = [part for part in node.named_children if part.type not in COMMENTS]
        if call is None or len(arguments) < 2:
            return
        for before, part in pairwise(arguments):
            if part is arguments[-1] or part.type == "keyword_argument":
                start, end = before.end_byte, part.end_byte
                change = replace_span(view, call, start, end, "")
                yield TextEdit(start, end, "", change.right, change.wrong, view.code(part), "")


class KeywordSwap(Operator):
    name = "keyword_swap"
    error_type = _FAMILY
    weight = 2
    places = on(python="argument_list", javascript="object", typescript="object", rust="field_initializer_list")
    explanation = "{wrong} gives two names each other's value; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        call = _enclosing_call(node, view)
        if call is None:
            return
        named_arguments = [part for part in node.named_children if part.type in _NAMED]
        for argument, following in pairwise(named_arguments):
            left, right = (argument.child_by_field_name("value"), following.child_by_field_name("value"))
            if left is None or right is None or view.code(left) == view.code(right):
                continue
            if not {left.type, right.type} <= _PLAIN:
                continue
            between = view.between(left.end_byte, right.start_byte)
            swapped = view.code(right) + between + view.code(left)
            yield replace_span(view, call, left.start_byte, right.end_byte, swapped)


_NAMED = split_words("keyword_argument pair field_initializer")
_PLAIN = split_words(
    "identifier attribute member_expression field_expression string integer number true false "
    "string_literal integer_literal call call_expression subscript none null none float"
)
