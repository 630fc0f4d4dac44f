"""Statement bugs: missing or swapped statements."""

from collections.abc import Iterator
from itertools import islice
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.namespaces import bound_before
from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    everywhere,
    on,
    remove_statement,
    replace_span,
)
from cortex_pipelines.augmentation.mutation.operators.calls import CALLS, callee_name
from cortex_pipelines.augmentation.node_table import NodeTable, split_words

_REMOVAL: Literal["removal"] = "removal"
_CONTROL: Literal["control_flow"] = "control_flow"
_STATEMENT = everywhere(
    "expression_statement", go="expression_statement assignment_statement inc_statement dec_statement send_statement"
)
_ASSIGNED = split_words(
    "assignment augmented_assignment assignment_expression augmented_assignment_expression "
    "update_expression compound_assignment_expr"
)
_CALLS = frozenset().union(*CALLS.values())
_WORDS_OF_LOGS = split_words("log logger logging print println debug info warn warning console printf")


def _content(node: Node) -> Node:
    inner = node
    while inner.type in ("expression_statement", "await", "await_expression", "try_expression"):
        if not inner.named_children:
            return inner
        inner = inner.named_children[0]
    return inner


class RemovedAssignment(Operator):
    name = "removed_assignment"
    error_type = _REMOVAL
    weight = 3
    places = _STATEMENT
    explanation = "{right} is missing, so the old value stays; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        inner = _content(node)
        if inner.type not in _ASSIGNED and not node.type.startswith(("assign", "inc", "dec")):
            return
        target = inner.child_by_field_name("left")
        is_new = target is not None and target.type == "identifier" and inner.type == "assignment"
        if not is_new or bound_before(view.code(target or inner), inner, view):
            yield from remove_statement(view, node)


class RemovedCall(Operator):
    name = "removed_call"
    error_type = _REMOVAL
    weight = 3
    places = _STATEMENT
    explanation = "the step {right} is missing; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        inner = _content(node)
        name = callee_name(inner) if inner.type in _CALLS else None
        if name is None or view.code(name).lower() in _WORDS_OF_LOGS:
            return
        callee_words = set(view.code(inner).partition("(")[0].lower().split("."))
        if not callee_words & (_WORDS_OF_LOGS | {"super", "panic"}):
            # these have an operator of their own
            yield from remove_statement(view, node)


class SwappedStatements(Operator):
    name = "swapped_statements"
    error_type = _CONTROL
    weight = 3
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


class RemovedSuper(Operator):
    name = "removed_super_call"
    error_type = _REMOVAL
    weight = 2
    places = on(
        python="expression_statement",
        javascript="expression_statement",
        typescript="expression_statement",
        java="expression_statement explicit_constructor_invocation",
    )
    explanation = "{right} is missing, so the base class does not do its part; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if view.code(node).startswith(("super(", "super.")):
            yield from remove_statement(view, node)


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
