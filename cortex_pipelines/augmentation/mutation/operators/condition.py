"""Condition bugs: wrong connective, negation, missing operand."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    TokenSwap,
    everywhere,
    exchange,
    on,
    replace_span,
    swapping,
)
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_OPERATOR: Literal["operator"] = "operator"
_CONTROL: Literal["control_flow"] = "control_flow"
_COMPARING = frozenset({"==", "!=", "===", "!==", "is", "is not", "in", "not in"})
BINDS = split_words("named_expression let_condition let_chain")
_BOOLEAN = everywhere("binary_expression", python="boolean_operator")
_CONDITIONS = everywhere(
    "if_statement while_statement",
    python="if_statement elif_clause while_statement conditional_expression",
    go="if_statement for_clause",
    rust="if_expression while_expression",
)


class BooleanConnective(TokenSwap):
    name = "boolean_connective"
    error_type = _OPERATOR
    places = _BOOLEAN
    swaps = swapping(("and", "or"), ("&&", "||"))
    explanation = "{wrong} uses the wrong logical operator; it should be {right}."

    def applies(self, node: Node, view: NodeTable) -> bool:
        return all(part.type not in BINDS for part in node.named_children)


class NegatedCondition(Operator):
    name = "negated_condition"
    error_type = _OPERATOR
    places = _CONDITIONS
    explanation = "the condition {wrong} is inverted; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        condition = node.child_by_field_name("condition")
        if node.type == "conditional_expression":
            parts = [part for part in node.named_children if part.type not in COMMENTS]
            condition = parts[1] if len(parts) == 3 else None
        inner = bare(condition)
        if condition is None or inner is None or inner.type in BINDS:
            return
        text, signs = view.code(inner), [part.type for part in inner.children if not part.is_named]
        # for a comparison the opposite sign is the more natural bug
        is_comparison = len(inner.named_children) == 2 and len(signs) == 1 and signs[0] in _COMPARING
        if inner.type == "not_operator" or text.startswith("!") or is_comparison:
            return
        sign = "not " if view.language == "python" else "!"
        simple = inner.type in _NEED_NO_BRACKETS
        yield replace_span(
            view, inner, inner.start_byte, inner.end_byte, f"{sign}{text}" if simple else f"{sign}({text})"
        )

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        return not change.replacement.startswith(("!(", "not ("))  # a form that hardly anybody writes


_NEED_NO_BRACKETS = split_words(
    "identifier call attribute subscript call_expression member_expression method_invocation field_access "
    "selector_expression field_expression index_expression true false subscript_expression array_access"
)


def bare(condition: Node | None) -> Node | None:
    while condition is not None and condition.type == "parenthesized_expression":
        parts = [part for part in condition.named_children if part.type not in COMMENTS]
        condition = parts[0] if len(parts) == 1 else None
    return condition


class RemovedNegation(Operator):
    name = "removed_negation"
    error_type = _OPERATOR
    places = everywhere("unary_expression", python="not_operator unary_operator")
    explanation = "{wrong} is missing {old}; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if node.child_count != 2 or node.children[0].type not in ("not", "!", "-", "~"):
            return
        sign, argument = node.children
        if node.type not in (argument.type, view.parent_type(node)):
            text = view.code(argument)
            yield TextEdit(node.start_byte, node.end_byte, text, view.code(node), text, sign.type, text)


class SwappedTernary(Operator):
    name = "swapped_ternary"
    error_type = _CONTROL
    places = on(python="conditional_expression", script="ternary_expression", java="ternary_expression")
    explanation = "the two results of {wrong} are swapped; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        if len(parts) != 3:
            return
        first, last = (parts[0], parts[2]) if view.language == "python" else (parts[1], parts[2])
        if view.code(first) == view.code(last) or node.type in (first.type, last.type) or last.type == "lambda":
            return
        yield exchange(view, node, first, last)
