"""Costly or non-idiomatic loops."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    FUNCTIONS,
    STRINGS,
    bare,
    child,
    descendants,
    normalized_text,
    text,
)
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence

_LISTS = frozenset({"list", "list_comprehension", "array", "array_expression"})
_SEARCHES = frozenset({"includes", "indexOf", "contains"})
_PLAIN_VALUES = frozenset({"integer", "float", "number", "decimal_integer_literal", "call"})
_MAX_FUNCTION_BYTES = 20_000


@detector(
    *("string-concat-in-loop", "list-membership-in-loop"),
    python="assignment augmented_assignment comparison_operator",
    script="assignment_expression call_expression",
    java="assignment_expression method_invocation",
    go="assignment_statement call_expression",
)
def loop_costs(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    """Strings concatenated or lists searched in each iteration, by the names' types in the function around it."""
    function = visit.function
    if not visit.loops or function is None or not _may_cost(visit.node):
        return
    if function.end_byte - function.start_byte > _MAX_FUNCTION_BYTES:
        return
    node, language = visit.node, context.language
    kinds = dict(_kinds(function, language))
    if node.type == "comparison_operator":
        operands = node.named_children
        operators = node.children_by_field_name("operators")
        if len(operands) == 2 and [operator.type for operator in operators] in (["in"], ["not in"]):
            searches_list = operands[1].type in _LISTS or kinds.get(text(operands[1])) == "list"
            # searching a short literal costs nothing
            if searches_list and operands[1].named_child_count not in range(1, 4):
                yield evidence("list-membership-in-loop", node)
    elif node.type in ("call_expression", "method_invocation"):
        owner, name = _owner_and_name(node)
        if name in _SEARCHES and kinds.get(owner) == "list" and language != "rust":
            yield evidence("list-membership-in-loop", node)
    elif language in ("python", "java", "go") and _grows_text(node, kinds):
        yield evidence("string-concat-in-loop", node)


def _may_cost(node: Node) -> bool:
    """Quick check whether types of the names involved need to be known."""
    if node.type == "comparison_operator":
        return any(part.type in ("in", "not in") for part in node.children)
    if node.type in ("call_expression", "method_invocation"):
        return _owner_and_name(node)[1] in _SEARCHES
    right = child(node, "right")
    return right is not None and right.type not in _PLAIN_VALUES


def _grows_text(node: Node, kinds: dict[str, str]) -> bool:
    left, right = child(node, "left"), child(node, "right")
    if left is None or right is None:
        return False
    operator = text(child(node, "operator")) or ("+=" if any(part.type == "+=" for part in node.children) else "=")
    name = text(_only(left))
    if operator == "=":
        added = _only(right)
        first = child(added, "left") if added.type in ("binary_operator", "binary_expression") else None
        if first is None or text(first) != name or text(child(added, "operator")) != "+":
            return False
    return operator in ("=", "+=") and kinds.get(name) == "text"


def _only(node: Node) -> Node:
    if node.type == "expression_list" and node.named_child_count == 1:
        return node.named_children[0]
    return node


def _owner_and_name(call: Node) -> tuple[str, str]:
    name_node = child(call, "name")
    if name_node is not None:
        return normalized_text(child(call, "object")), text(name_node)
    function = child(call, "function")
    if function is None:
        return "", ""
    return normalized_text(child(function, "object")), text(child(function, "property"))


_DECLARATIONS = frozenset(
    {"assignment", "variable_declarator", "short_var_declaration", "var_spec", "local_variable_declaration"}
)


def _kinds(function: Node, language: str) -> Iterator[tuple[str, str]]:
    """Names of a function that hold text or a list, by their first assignment."""
    assigned_names: set[str] = set()
    for declaration in descendants(function, _DECLARATIONS, FUNCTIONS[language]):
        declared = normalized_text(child(declaration, "type"))
        if declaration.type == "local_variable_declaration":
            if declared == "String" or declared.startswith(("List<", "ArrayList<")):
                kind = "text" if declared == "String" else "list"
                yield text(child(child(declaration, "declarator") or declaration, "name")), kind
            continue
        name_node, value = child(declaration, "name", "left"), child(declaration, "value", "right")
        name = text(_only(name_node)) if name_node is not None else ""
        if name_node is None or name in assigned_names:
            continue
        assigned_names.add(name)
        if value is None:
            if declared == "string":
                yield name, "text"
            continue
        value = bare(_only(value))
        if value.type in STRINGS[language]:
            yield name, "text"
        elif value.type in _LISTS or (value.type == "call" and text(child(value, "function")) == "list"):
            yield name, "list"


@detector("await-in-loop", python="await", script="await_expression")
def await_in_loop(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    waits = "sleep" in normalized_text(visit.node) or "delay" in normalized_text(visit.node).lower()
    if visit.loops and not waits:
        yield evidence("await-in-loop", visit.node)


@detector("defer-in-loop", go="defer_statement")
def defer_in_loop(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if visit.loops:
        yield evidence("defer-in-loop", visit.node)


@detector("range-len-loop", python="for_statement")
def range_len_loop(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    index, over = child(visit.node, "left"), normalized_text(child(visit.node, "right")).replace(" ", "")
    if index is None or not (over.startswith("range(len(") and over.endswith("))")):
        return
    body, sequence = child(visit.node, "body"), over[10:-2]
    if body is None or body.end_byte - body.start_byte > _MAX_FUNCTION_BYTES:
        return
    used = [reference for reference in descendants(body, {"identifier"}) if reference.text == index.text]
    plain = [
        reference
        for reference in descendants(body, {"subscript"})
        if normalized_text(reference).replace(" ", "") == f"{sequence}[{text(index)}]"
    ]
    if used and len(used) == len(plain):
        yield Evidence(visit.node.start_byte, body.start_byte, "range-len-loop")
