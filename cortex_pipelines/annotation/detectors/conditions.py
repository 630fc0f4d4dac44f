"""Duplicate, needless or hard-to-read branches."""

from collections.abc import Iterator
from typing import ClassVar

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    bare,
    child,
    folded,
    leaves,
    statements,
    text,
    within,
)
from cortex_pipelines.annotation.complexity.syntax import types_of
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Detector, Evidence, FileContext, evidence
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_IFS = {language: types_of("if", language) for language in LANGUAGES}
_TRUTHS = frozenset({"true", "false"})


def _is_head(seen: NodeVisit) -> bool:
    """Whether an ``if`` starts its chain, not an ``else if``."""
    parent = seen.parent
    if parent is None or parent.type == "else_clause":
        return parent is None
    if parent.type == seen.node.type:
        return child(parent, "alternative") != seen.node
    return True


def _chain(head: Node, language: str) -> Iterator[tuple[Node | None, Node | None]]:
    """Condition and body of each branch; None as condition of ``else``."""
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
            other = next(
                (part for part in other.named_children if not part.is_extra),
                None,
            )
        if other is None or other.type != head.type:
            if other is not None:
                yield None, other
            return
        node = other


class AlikeBranches(Detector):
    """Two branches of a chain with the same condition or the same body."""

    labels = ("duplicate-condition", "duplicate-branches")
    types: ClassVar = _IFS

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Repeated conditions, and bodies equal to the previous one."""
        if not _is_head(seen):
            return
        asked: set[str] = set()
        before = ""
        chain = list(_chain(seen.node, place.language))
        branches = len(chain)
        for condition, body in chain:
            # `if err := f(); err != nil` asks anew each time
            fresh = condition is not None and "(" not in text(bare(condition))
            question = folded(condition)
            if condition is not None and fresh and question in asked and place.language != "go":
                yield evidence("duplicate-condition", condition)
            asked.add(question)
            inside = statements(body)
            done = "; ".join(folded(statement) for statement in inside)
            # one statement may well be what two of many cases have in common
            enough = len(inside) > 1 or (condition is None and branches == 2)
            if body is not None and done and done == before and enough:
                yield evidence("duplicate-branches", body)
            before = done


class NeedlessBranches(Detector):
    """An ``if`` statement that can be simplified."""

    labels = ("collapsible-if", "else-after-return", "redundant-boolean")
    types: ClassVar = _IFS

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Collapsible conditions, ``else`` after a return, ``if c: return True``."""
        if not _is_head(seen):
            return
        branches = list(_chain(seen.node, place.language))
        bodies = [statements(body) for _, body in branches]
        has_else = branches[-1][0] is None
        if len(branches) == 1 and _is_lone_if(bodies[0], seen.node, place.language):
            yield evidence("collapsible-if", seen.node)
        if len(branches) == 2 and has_else and _hands_on_truth(bodies[0], bodies[1]):
            yield evidence("redundant-boolean", seen.node)
        elif has_else and place.language != "rust" and len(branches) == 2:
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
        child(branch, "initializer") is None
        and "let " not in folded(child(branch, "condition"))[:5]
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
        returned = folded(statement).removeprefix("return").strip(" ;()").lower()
        return returned if returned in _TRUTHS else None
    value = text(statement)
    return value if value in _TRUTHS else None


class NestedTernary(Detector):
    """A conditional expression directly inside another."""

    labels = ("nested-ternary",)
    types: ClassVar = {language: types_of("ternary", language) for language in LANGUAGES}

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Outermost conditional expressions that contain one."""
        parts = [bare(part) for part in seen.node.named_children]
        if any(part.type == seen.node.type for part in parts):
            outer = seen.parent
            if outer is not None and outer.type == "parenthesized_expression":
                outer = seen.grandparent
            if outer is None or outer.type != seen.node.type:
                yield evidence("nested-ternary", seen.node)


class ComplexCondition(Detector):
    """A condition with many ``and`` and ``or`` operators."""

    labels = ("complex-condition",)
    types: ClassVar = {
        language: frozenset({"boolean_operator", "binary_expression"}) for language in LANGUAGES
    }

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Whole conditions above the limit."""
        if not _is_logical(seen.node) or (seen.parent is not None and _is_logical(seen.parent)):
            return
        count, pending = 0, [seen.node]
        while pending:
            node = bare(pending.pop())
            if _is_logical(node):
                count += 1
                pending += [
                    operand for operand in (child(node, "left"), child(node, "right")) if operand
                ]
        if count > place.settings.max_operators:
            yield evidence("complex-condition", seen.node)


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
            "function_declaration",
            "labeled_statement",
            "empty_statement",
            "class_declaration",
            "type_alias_declaration",
            "interface_declaration",
            "function_item",
            "struct_item",
            "enum_item",
            "impl_item",
            "use_declaration",
            "const_item",
        }
    )

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """The first unreachable statements of a block."""
        inside = [part for part in seen.node.named_children if not part.is_extra]
        for number, statement in enumerate(inside[:-1]):
            if not leaves(statement):
                continue
            rest = inside[number + 1 :]
            if any(part.type in self._REACHED or part.type == "ERROR" for part in rest):
                return
            # `return; yield` makes an empty generator
            if place.language == "python" and folded(rest[0]).startswith("yield"):
                return
            yield Evidence(rest[0].start_byte, rest[-1].end_byte, "dead-code")
            return


class BroadHandler(Detector):
    """A handler that catches every exception and does not re-raise it."""

    labels = ("broad-except", "bare-except")
    types: ClassVar = {
        "python": frozenset({"except_clause"}),
        "java": frozenset({"catch_clause"}),
    }
    _BROAD: ClassVar = frozenset({"Exception", "BaseException", "Throwable", "RuntimeException"})

    def find(self, seen: NodeVisit, place: FileContext) -> Iterator[Evidence]:
        """Handlers of a very general exception type without a raise."""
        caught = _caught(seen.node)
        if caught is not None and folded(caught) not in self._BROAD:
            return
        body = child(seen.node, "body") or seen.node.named_children[-1]
        raising = {"raise_statement", "throw_statement"}
        short = body.end_byte - body.start_byte <= _MAX_HANDLER_BYTES
        if short and next(within(body, raising), None) is None:
            if caught is not None:
                yield evidence("broad-except", caught)
            elif seen.node.type == "except_clause":
                yield evidence("bare-except", seen.node)


_MAX_HANDLER_BYTES = 4000


def _caught(handler: Node) -> Node | None:
    """Exception types that a handler catches."""
    if handler.type == "except_clause":
        value = child(handler, "value")
        if value is not None and value.type == "as_pattern":
            value = value.named_children[0]
        return value
    return next(within(handler, {"catch_type"}), None)
