"""Name bugs: wrong variable, callee or attribute."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.namespaces import (
    bound_before,
    is_pair,
    is_use,
    other_attributes,
    other_callees,
    others_before,
)
from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    everywhere,
    on,
    replace_part,
    replace_quoting_around,
)
from cortex_pipelines.augmentation.mutation.operators.similar_methods import CALLS, callee_name
from cortex_pipelines.augmentation.node_table import NodeTable

_FAMILY: Literal["identifier"] = "identifier"
_MOST = 2


class VariableMisuse(Operator):
    name = "variable_misuse"
    error_type = _FAMILY
    weight = 12
    places = everywhere("identifier")
    explanation = "{new} is the wrong variable in {wrong}; it must be {old}: {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if not is_use(node, view):
            return
        name = view.code(node)
        if bound_before(name, node, view):  # what a global or type holds, no local can stand for
            for other in others_before(name, node, view, _MOST):
                yield replace_quoting_around(view, node, other)


class WrongCallee(Operator):
    name = "wrong_callee"
    error_type = _FAMILY
    weight = 7
    places = CALLS
    explanation = "{wrong} calls {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        name = callee_name(node)
        if name is None:
            return
        for other in other_callees(node, view)[:1]:
            yield replace_part(view, node, name, other)


class WrongAttribute(Operator):
    name = "wrong_attribute"
    error_type = _FAMILY
    weight = 6
    places = on(
        python="attribute",
        javascript="member_expression",
        typescript="member_expression",
        java="field_access",
        go="selector_expression",
        rust="field_expression",
    )
    explanation = "{wrong} takes {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        in_tag = view.parent_type(node).startswith("jsx_")  # its two ends name it
        if view.field(node) != "function" and is_pair(node) and not in_tag:
            for other in other_attributes(node, view)[:1]:
                yield replace_part(view, node, node.named_children[1], other)


class LostReceiver(Operator):
    """Replaces ``self.x`` by the function's own ``x``."""

    name = "lost_receiver"
    error_type = _FAMILY
    weight = 2
    places = on(
        python="attribute",
        javascript="member_expression",
        typescript="member_expression",
        java="field_access",
        go="selector_expression",
        rust="field_expression",
    )
    explanation = "{new} is the local variable; the object's own is meant: write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.field(node) in ("function", "left") or not is_pair(node):
            return
        owner, attribute = node.named_children
        name = view.code(attribute)
        if not owner.child_count and bound_before(name, node, view):
            text = view.code(node)
            yield TextEdit(node.start_byte, node.end_byte, name, text, name, text, name)
