"""Duplicate, needless or hard-to-read branches."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import (
    BLOCKS,
    IFS,
    TERNARIES,
    bare,
    child,
    descendants,
    leaves,
    normalized_text,
    statements,
    text,
)
from cortex_pipelines.annotation.complexity.syntax import node_types
from cortex_pipelines.annotation.complexity.treewalk import NodeVisit
from cortex_pipelines.annotation.detector import Evidence, FileContext, detector, evidence

_TRUTHS = frozenset({"true", "false"})


def _is_head(visit: NodeVisit) -> bool:
    parent = visit.parent
    if parent is None or parent.type != visit.node.type:
        return parent is None or parent.type != "else_clause"
    return child(parent, "alternative") != visit.node


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


@detector("duplicate-condition", "duplicate-branches", types=IFS)
def similar_branches(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if not _is_head(visit):
        return
    tested_conditions: set[str] = set()
    before = ""
    branches = list(_chain(visit.node, context.language))
    for condition, body in branches:
        # `if err := f(); err != nil` evaluates again each time
        fresh = condition is not None and "(" not in text(bare(condition))
        question = normalized_text(condition)
        if condition is not None and fresh and question in tested_conditions and context.language != "go":
            yield evidence("duplicate-condition", condition)
        tested_conditions.add(question)
        inside = statements(body)
        body_code = "; ".join(normalized_text(statement) for statement in inside)
        # one statement may well be what two of many cases have in common
        is_long_enough = len(inside) > 1 or (condition is None and len(branches) == 2)
        if body is not None and body_code and body_code == before and is_long_enough:
            yield evidence("duplicate-branches", body)
        before = body_code


@detector("collapsible-if", "else-after-return", "redundant-boolean", types=IFS)
def needless_branches(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    if not _is_head(visit):
        return
    branches = list(_chain(visit.node, context.language))
    bodies = [statements(body) for _, body in branches]
    has_else = branches[-1][0] is None
    inner = bare(bodies[0][0]) if len(branches) == len(bodies[0]) == 1 else None
    if (
        inner is not None
        and inner.type == visit.node.type
        and len(list(_chain(inner, context.language))) == 1
        # an initialiser of Go, or a pattern of Rust, cannot be joined by `&&`
        and all(
            child(branch, "initializer") is None and "let " not in normalized_text(child(branch, "condition"))[:5]
            for branch in (visit.node, inner)
        )
    ):
        yield evidence("collapsible-if", visit.node)
    if len(branches) != 2 or not has_else:
        return
    if {_returned_truth(body) for body in bodies} == _TRUTHS:
        yield evidence("redundant-boolean", visit.node)
    elif context.language != "rust" and bodies[0] and leaves(bodies[0][-1]) and branches[1][1] is not None:
        yield evidence("else-after-return", branches[1][1])


def _returned_truth(body: list[Node]) -> str | None:
    if len(body) != 1:
        return None
    statement = bare(body[0])
    value = text(statement)
    if statement.type.startswith("return"):
        value = normalized_text(statement).removeprefix("return").strip(" ;()").lower()
    return value if value in _TRUTHS else None


@detector("nested-ternary", types=TERNARIES)
def nested_ternary(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    parts = [bare(part) for part in visit.node.named_children]
    if any(part.type == visit.node.type for part in parts):
        outer = visit.parent
        if outer is not None and outer.type == "parenthesized_expression":
            outer = visit.grandparent
        if outer is None or outer.type != visit.node.type:
            yield evidence("nested-ternary", visit.node)


@detector("complex-condition", types="boolean_operator binary_expression")
def complex_condition(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
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


# declarations are hoisted, and a label can be jumped to
_REACHED = node_types(
    "function_declaration labeled_statement empty_statement class_declaration type_alias_declaration "
    "interface_declaration function_item struct_item enum_item impl_item use_declaration const_item"
)


@detector("dead-code", types=dict.fromkeys(IFS, BLOCKS))
def unreachable_code(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    inside = [part for part in visit.node.named_children if not part.is_extra]
    for number, statement in enumerate(inside[:-1]):
        if not leaves(statement):
            continue
        unreachable = inside[number + 1 :]
        if any(part.type in _REACHED or part.type == "ERROR" for part in unreachable):
            return
        # `return; yield` makes an empty generator
        if context.language == "python" and normalized_text(unreachable[0]).startswith("yield"):
            return
        yield Evidence(unreachable[0].start_byte, unreachable[-1].end_byte, "dead-code")
        return


_BROAD = frozenset({"Exception", "BaseException", "Throwable", "RuntimeException"})
_MAX_HANDLER_BYTES = 4000


@detector("broad-except", "bare-except", python="except_clause", java="catch_clause")
def broad_handler(visit: NodeVisit, context: FileContext) -> Iterator[Evidence]:
    """A handler that catches every exception and does not re-raise it."""
    if visit.node.type == "except_clause":
        caught = child(visit.node, "value")
        if caught is not None and caught.type == "as_pattern":
            caught = caught.named_children[0]
    else:
        caught = next(descendants(visit.node, {"catch_type"}), None)
    if caught is not None and normalized_text(caught) not in _BROAD:
        return
    body = child(visit.node, "body") or visit.node.named_children[-1]
    short = body.end_byte - body.start_byte <= _MAX_HANDLER_BYTES
    if short and next(descendants(body, {"raise_statement", "throw_statement"}), None) is None:
        if caught is not None:
            yield evidence("broad-except", caught)
        elif visit.node.type == "except_clause":
            yield evidence("bare-except", visit.node)
