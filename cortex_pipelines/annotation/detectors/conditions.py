"""Duplicate, needless or hard-to-read branches."""

from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    bare,
    child,
    descendants,
    leaves,
    normalized_text,
    statements,
    text,
)
from cortex_pipelines.annotation.complexity.syntax import types_of
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_IFS = {language: types_of("if", language) for language in LANGUAGES}
_TRUTHS = frozenset({"true", "false"})


def _is_head(visit: NodeVisit) -> bool:
    parent = visit.parent
    if parent is None or parent.type == "else_clause":
        return parent is None
    if parent.type == visit.node.type:
        return child(parent, "alternative") != visit.node
    return True


def _chain(head: Node, language: str) -> Iterator[tuple[Node | None, Node | None]]:
    if language == "python":
        yield child(head, "condition"), child(head, "consequence")
        for alternative in head.children_by_field_name("alternative"):
            yield child(alternative, "condition"), child(alternative, "consequence", "body")
        return
    node: Node | None = head
    while node is not None:
        yield child(node, "condition"), child(node, "consequence")
        other = child(node, "alternative")
        if other is not None and other.type == "else_clause":
            other = next((part for part in other.named_children if not part.is_extra), None)
        if other is None or other.type != head.type:
            if other is not None:
                yield None, other
            return
        node = other


class SimilarBranches(Detector):
    """Two branches of a chain with the same condition or the same body."""

    labels = ("duplicate-condition", "duplicate-branches")
    types: ClassVar = _IFS

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        if not _is_head(visit):
            return
        tested_conditions: set[str] = set()
        before = ""
        chain = list(_chain(visit.node, context.language))
        branches = len(chain)
        for condition, body in chain:
            # `if err := f(); err != nil` evaluates again each time
            fresh = condition is not None and "(" not in text(bare(condition))
            question = normalized_text(condition)
            if condition is not None and fresh and question in tested_conditions and context.language != "go":
                yield evidence("duplicate-condition", condition)
            tested_conditions.add(question)
            inside = statements(body)
            body_code = "; ".join(normalized_text(statement) for statement in inside)
            # one statement may well be what two of many cases have in common
            is_long_enough = len(inside) > 1 or (condition is None and branches == 2)
            if body is not None and body_code and body_code == before and is_long_enough:
                yield evidence("duplicate-branches", body)
            before = body_code


class NeedlessBranches(Detector):
    labels = ("collapsible-if", "else-after-return", "redundant-boolean")
    types: ClassVar = _IFS

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        if not _is_head(visit):
            return
        branches = list(_chain(visit.node, context.language))
        bodies = [statements(body) for _, body in branches]
        has_else = branches[-1][0] is None
        if len(branches) == 1 and _is_lone_if(bodies[0], visit.node, context.language):
            yield evidence("collapsible-if", visit.node)
        if len(branches) == 2 and has_else and _hands_on_truth(bodies[0], bodies[1]):
            yield evidence("redundant-boolean", visit.node)
        elif has_else and context.language != "rust" and len(branches) == 2:
            last = bodies[0][-1] if bodies[0] else None
            if leaves(last) and branches[1][1] is not None:
                yield evidence("else-after-return", branches[1][1])


def _is_lone_if(body: list[Node], outer: Node, language: str) -> bool:
    inner = bare(body[0]) if len(body) == 1 else None
    if inner is None or inner.type != outer.type:
        return False
    plain = len(list(_chain(inner, language))) == 1
    # an initialiser of Go, or a pattern of Rust, cannot be joined by `&&`
    simple = all(
        child(branch, "initializer") is None and "let " not in normalized_text(child(branch, "condition"))[:5]
        for branch in (outer, inner)
    )
    return plain and simple


def _hands_on_truth(first: list[Node], second: list[Node]) -> bool:
    values = [_returned_truth(body) for body in (first, second)]
    return None not in values and values[0] != values[1]


def _returned_truth(body: list[Node]) -> str | None:
    if len(body) != 1:
        return None
    statement = bare(body[0])
    if statement.type.startswith("return"):
        returned = normalized_text(statement).removeprefix("return").strip(" ;()").lower()
        return returned if returned in _TRUTHS else None
    value = text(statement)
    return value if value in _TRUTHS else None


class NestedTernary(Detector):
    """A conditional expression directly inside another."""

    labels = ("nested-ternary",)
    types: ClassVar = {language: types_of("ternary", language) for language in LANGUAGES}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        parts = [bare(part) for part in visit.node.named_children]
        if any(part.type == visit.node.type for part in parts):
            outer = visit.parent
            if outer is not None and outer.type == "parenthesized_expression":
                outer = visit.grandparent
            if outer is None or outer.type != visit.node.type:
                yield evidence("nested-ternary", visit.node)


class ComplexCondition(Detector):
    labels = ("complex-condition",)
    types: ClassVar = {language: frozenset({"boolean_operator", "binary_expression"}) for language in LANGUAGES}

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        if not _is_logical(visit.node) or (visit.parent is not None and _is_logical(visit.parent)):
            return
        count, pending = 0, [visit.node]
        while pending:
            node = bare(pending.pop())
            if _is_logical(node):
                count += 1
                pending += [operand for operand in (child(node, "left"), child(node, "right")) if operand]
        if count > context.settings.max_operators:
            yield evidence("complex-condition", visit.node)


def _is_logical(node: Node) -> bool:
    if node.type == "parenthesized_expression":
        node = bare(node)
    operator = child(node, "operator")
    return operator is not None and operator.type in ("and", "or", "&&", "||")


class UnreachableCode(Detector):
    """Code after a return, raise, break or continue in its block."""

    labels = ("dead-code",)
    types: ClassVar = {
        language: frozenset({"block", "statement_block", "statement_list", "constructor_body"})
        for language in LANGUAGES
    }
    # declarations are hoisted, and a label can be jumped to
    _REACHED: ClassVar = frozenset(
        {
            *("function_declaration", "labeled_statement", "empty_statement", "class_declaration"),
            *("type_alias_declaration", "interface_declaration", "function_item", "struct_item", "enum_item"),
            *("impl_item", "use_declaration", "const_item"),
        }
    )

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        inside = [part for part in visit.node.named_children if not part.is_extra]
        for number, statement in enumerate(inside[:-1]):
            if not leaves(statement):
                continue
            unreachable = inside[number + 1 :]
            if any(part.type in self._REACHED or part.type == "ERROR" for part in unreachable):
                return
            # `return; yield` makes an empty generator
            if context.language == "python" and normalized_text(unreachable[0]).startswith("yield"):
                return
            yield Evidence(unreachable[0].start_byte, unreachable[-1].end_byte, "dead-code")
            return


class BroadHandler(Detector):
    """A handler that catches every exception and does not re-raise it."""

    labels = ("broad-except", "bare-except")
    types: ClassVar = {"python": frozenset({"except_clause"}), "java": frozenset({"catch_clause"})}
    _BROAD: ClassVar = frozenset({"Exception", "BaseException", "Throwable", "RuntimeException"})

    def find(self, visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
        caught = _caught(visit.node)
        if caught is not None and normalized_text(caught) not in self._BROAD:
            return
        body = child(visit.node, "body") or visit.node.named_children[-1]
        raising = {"raise_statement", "throw_statement"}
        short = body.end_byte - body.start_byte <= _MAX_HANDLER_BYTES
        if short and next(descendants(body, raising), None) is None:
            if caught is not None:
                yield evidence("broad-except", caught)
            elif visit.node.type == "except_clause":
                yield evidence("bare-except", visit.node)


_MAX_HANDLER_BYTES = 4000


def _caught(handler: Node) -> Node | None:
    if handler.type == "except_clause":
        value = child(handler, "value")
        if value is not None and value.type == "as_pattern":
            value = value.named_children[0]
        return value
    return next(descendants(handler, {"catch_type"}), None)
