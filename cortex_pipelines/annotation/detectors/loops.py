"""Costly or non-idiomatic loops."""

from collections.abc import Iterator
from typing import ClassVar

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
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence

_LISTS = frozenset({"list", "list_comprehension", "array", "array_expression"})
_SEARCHES = frozenset({"includes", "indexOf", "contains"})
_MAX_FUNCTION_BYTES = 20_000

_LOOKED_AT = frozenset(
    {
        *("augmented_assignment", "assignment", "assignment_expression", "assignment_statement"),
        *("comparison_operator", "call_expression", "method_invocation"),
    }
)


class LoopCosts(Detector):
    """Strings concatenated or lists searched in each iteration.

    The type of a name is inferred from the function around the loop.
    """

    labels = ("string-concat-in-loop", "list-membership-in-loop")
    types: ClassVar = dict.fromkeys(("python", "javascript", "typescript", "java", "go"), _LOOKED_AT)

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        function = visit.function
        if not visit.loops or function is None or not _may_cost(visit.node):
            return
        if function.end_byte - function.start_byte <= _MAX_FUNCTION_BYTES:
            yield from _costs(visit.node, dict(_kinds(function, context.language)), context.language)


def _may_cost(node: Node) -> bool:
    """Quick check whether types of the names involved need to be known."""
    if node.type == "comparison_operator":
        return any(part.type in ("in", "not in") for part in node.children)
    if node.type in ("call_expression", "method_invocation"):
        return _owner_and_name(node)[1] in _SEARCHES
    right = child(node, "right")
    return right is not None and right.type not in _PLAIN_VALUES


_PLAIN_VALUES = frozenset({"integer", "float", "number", "decimal_integer_literal", "call"})


def _costs(node: Node, kinds: dict[str, str], language: str) -> Iterator[Evidence]:
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
    elif language in ("python", "java", "go") and _grows_text(node, kinds, language):
        yield evidence("string-concat-in-loop", node)


def _grows_text(node: Node, kinds: dict[str, str], language: str) -> bool:
    left, right = child(node, "left"), child(node, "right")
    if left is None or right is None:
        return False
    operator = text(child(node, "operator")) or ("+=" if any(part.type == "+=" for part in node.children) else "=")
    if operator == "=":
        added = _only(right)
        first = child(added, "left") if added.type in ("binary_operator", "binary_expression") else None
        plus = text(child(added, "operator")) == "+"
        return plus and first is not None and text(first) == text(_only(left)) and (kinds.get(text(first)) == "text")
    return operator == "+=" and kinds.get(text(_only(left))) == "text"


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
        if declaration.type == "local_variable_declaration":
            if normalized_text(child(declaration, "type")) == "String":
                yield text(child(child(declaration, "declarator") or declaration, "name")), "text"
            elif normalized_text(child(declaration, "type")).startswith(("List<", "ArrayList<")):
                yield text(child(child(declaration, "declarator") or declaration, "name")), "list"
            continue
        name = child(declaration, "name", "left")
        value = child(declaration, "value", "right")
        if name is None or text(_only(name)) in assigned_names:
            continue
        assigned_names.add(text(_only(name)))
        if value is None:
            if normalized_text(child(declaration, "type")) == "string":
                yield text(name), "text"
            continue
        kind = _kind(bare(_only(value)), language)
        if kind:
            yield text(_only(name)), kind


def _kind(value: Node, language: str) -> str:
    if value.type in STRINGS[language]:
        return "text"
    if value.type in _LISTS:
        return "list"
    if value.type == "call" and text(child(value, "function")) == "list":
        return "list"
    return ""


class AwaitInLoop(Detector):
    labels = ("await-in-loop",)
    types: ClassVar = {
        "python": frozenset({"await"}),
        "javascript": frozenset({"await_expression"}),
        "typescript": frozenset({"await_expression"}),
    }

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        waits = "sleep" in normalized_text(visit.node) or "delay" in normalized_text(visit.node).lower()
        if visit.loops and not waits:
            yield evidence("await-in-loop", visit.node)


class DeferInLoop(Detector):
    """A Go ``defer`` in a loop, which runs only when the function returns."""

    labels = ("defer-in-loop",)
    types: ClassVar = {"go": frozenset({"defer_statement"})}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        if visit.loops:
            yield evidence("defer-in-loop", visit.node)


class RangeLenLoop(Detector):
    """Python loop over indices instead of elements."""

    labels = ("range-len-loop",)
    types: ClassVar = {"python": frozenset({"for_statement"})}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        index, over = (child(visit.node, "left"), normalized_text(child(visit.node, "right")).replace(" ", ""))
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
