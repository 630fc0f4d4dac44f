"""Statement bugs: missing or swapped statements."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere
from cortex_pipelines.augmentation.mutation.operators.calls import CALLS, callee_name
from cortex_pipelines.augmentation.node_table import NodeTable

_CONTROL: Literal["control_flow"] = "control_flow"
_CALLS = frozenset().union(*CALLS.values())


def _content(node: Node) -> Node:
    inner = node
    while inner.type in ("expression_statement", "await", "await_expression", "try_expression"):
        if not inner.named_children:
            return inner
        inner = inner.named_children[0]
    return inner


class SwappedStatements(Operator):
    name = "swapped_statements"
    error_type = _CONTROL
    weight = 2
    places = everywhere(
        "expression_statement",
        javascript="expression_statement lexical_declaration",
        typescript="expression_statement lexical_declaration",
        java="expression_statement local_variable_declaration",
        go="expression_statement short_var_declaration assignment_statement",
        rust="expression_statement let_declaration",
    )
    explanation = "{new} comes too early; {old} has to come first."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        block = view.parent(node)
        if block is None or node.type not in self.places[view.language]:
            return
        following = node.next_named_sibling
        if following is None or following.type not in self.places[view.language]:
            return
        statement, other = view.code(node), view.code(following)
        if not _sets(node, view) & _names(following, view) or statement == other:
            return
        between = view.between(node.end_byte, following.start_byte)
        if between.strip(" \t\r\n"):
            return
        start, end = node.start_byte, following.end_byte
        yield TextEdit(start, end, other + between + statement, statement, other, statement, other)


def _names(node: Node, view: NodeTable) -> set[str]:
    return {view.code(part) for part in view.descendants(node) if part.type.endswith("identifier")}


def _sets(node: Node, view: NodeTable) -> set[str]:
    inner = _content(node)
    target = inner.child_by_field_name("left") or inner.child_by_field_name("pattern")
    if target is None and inner.type in _CALLS:
        function = inner.child_by_field_name("function") or inner.child_by_field_name("object")
        target = function if function is not None and function.named_child_count != 0 else None
        return _names(target, view) - {view.code(n) for n in [callee_name(inner)] if n} if target else set()
    if target is None:
        declared = [part for part in node.named_children if part.type == "variable_declarator"]
        names = [part.child_by_field_name("name") for part in declared]
        return {view.code(name) for name in names if name is not None}
    return _names(target, view)
