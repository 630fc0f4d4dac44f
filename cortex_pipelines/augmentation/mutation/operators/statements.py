"""Statement and branching bugs: missing or swapped statements and branches, a missing ``break`` or ``return``."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere, on
from cortex_pipelines.augmentation.mutation.operators.condition import BINDS
from cortex_pipelines.augmentation.node_table import COMMENTS, NodeTable, split_words

_FAMILY: Literal["control_flow"] = "control_flow"
_WRAPPERS = split_words("expression_statement await await_expression try_expression")
_HOLDERS = split_words("block statement_block statement_list expression_statement else_clause")
_IF = everywhere("if_statement", rust="if_expression")


def branches(node: Node) -> tuple[Node, Node] | None:
    """Both blocks of an ``if`` with a plain ``else``."""
    consequence, alternative = (node.child_by_field_name("consequence"), node.child_by_field_name("alternative"))
    if consequence is None or alternative is None or len(node.children_by_field_name("alternative")) != 1:
        return None
    if alternative.type == "else_clause":
        field = alternative.child_by_field_name("body")
        inner = [part for part in alternative.named_children if part.type not in COMMENTS]
        if field is None and len(inner) != 1:
            return None
        alternative = field or inner[0]
    if alternative.type not in _HOLDERS or consequence.type not in _HOLDERS:
        return None
    return consequence, alternative


class SwappedBranches(Operator):
    name = "swapped_branches"
    error_type = _FAMILY
    places = _IF
    explanation = "the branches of {right} are swapped; exchange {new} and {old}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        pair = branches(node)
        if pair is None:
            return
        consequence, alternative = pair
        condition = node.child_by_field_name("condition")
        if condition is not None and any(part.type in BINDS for part in view.descendants(condition)):
            return
        first, second = view.code(consequence), view.code(alternative)
        if first == second:
            return
        between = view.between(consequence.end_byte, alternative.start_byte)
        head = view.between(node.start_byte, consequence.start_byte)
        yield TextEdit(
            consequence.start_byte,
            alternative.end_byte,
            second + between + first,
            head.rstrip("{ \n"),
            head,
            _first_line(first),
            _first_line(second),
        )


def _first_line(block: str) -> str:
    return block.strip("{} \n\t").partition("\n")[0]


class MissingBreak(Operator):
    name = "missing_break"
    error_type = _FAMILY
    places = on(script="break_statement", java="break_statement")
    explanation = "{right} falls through to the next case; add the missing {old}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        case = view.parent(node)
        if case is None or node.named_child_count or case.type not in _CASES:
            return
        body = view.parent(case)
        if body is None or body.named_children[-1].id == case.id:
            return
        head = view.code(case).partition("\n")[0]
        start, end = view.lines(node) or (node.start_byte, node.end_byte)
        yield TextEdit(start, end, "", head, "", "break;", "")


_CASES = split_words("switch_case switch_default switch_block_statement_group")


class MissingReturn(Operator):
    name = "missing_return"
    error_type = _FAMILY
    places = on(python="return_statement", javascript="return_statement")
    explanation = "{new} is computed but not returned; it should be {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        if len(parts) != 1 or view.code(parts[0]) in ("None", "null", "undefined"):
            return
        if parts[0].type in ("object", "function_expression", "class"):
            return
        value = view.code(parts[0])
        before = node.prev_named_sibling
        while before is not None and before.type in COMMENTS:
            before = before.prev_named_sibling
        is_open = before is not None and before.type in _SCRIPT_LINES and not view.code(before).endswith(";")
        if is_open and view.language != "python" and value[0] in "([`+-/":
            return  # without a semicolon between them, both would be one expression
        start, end = node.start_byte, parts[0].start_byte
        yield TextEdit(start, end, "", view.code(node), value, "return", value)


_SCRIPT_LINES = split_words("expression_statement lexical_declaration variable_declaration")


class SwappedStatements(Operator):
    name = "swapped_statements"
    error_type = _FAMILY
    weight = 2
    places = everywhere(
        "expression_statement",
        javascript="expression_statement lexical_declaration",
        go="expression_statement assignment_statement",
    )
    explanation = "{new} runs too early; move it after {old}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        block = view.parent(node)
        if block is None or node.type not in self.places[view.language]:
            return
        following = node.next_named_sibling
        if following is None or following.type not in self.places[view.language]:
            return
        statement, other = view.code(node), view.code(following)
        target = _set_by(node, view)
        if target is None or statement == other or not _reads_text(following, view.code(target), view):
            return
        after = _set_by(following, view)
        if after is not None and view.code(after) == view.code(target) and _reads_text(node, view.code(target), view):
            return  # two steps of one value, whose order nothing tells
        between = view.between(node.end_byte, following.start_byte)
        if between.strip(" \t\r\n"):
            return
        start, end = node.start_byte, following.end_byte
        yield TextEdit(start, end, other + between + statement, statement, other, statement, other)


def _reads_text(statement: Node, text: str, view: NodeTable) -> bool:
    set_here = _set_by(statement, view)
    is_only_written = (
        set_here is not None and view.between(set_here.end_byte, statement.end_byte).lstrip()[:1] in _SIGNS
    )
    written_id = set_here.id if set_here is not None and is_only_written else None
    return any(part.id != written_id and view.code(part) == text for part in view.descendants(statement))


_SIGNS = (":", "=")


def _set_by(statement: Node, view: NodeTable) -> Node | None:
    """What a statement gives a value: the left side of an assignment, or the one name that it declares."""
    inner = statement
    while inner.type in _WRAPPERS and inner.named_children:
        inner = inner.named_children[0]
    declared = [part for part in inner.named_children if part.type == "variable_declarator"]
    if declared:
        return declared[0].child_by_field_name("name") if len(declared) == 1 else None
    target = inner.child_by_field_name("left")
    if target is not None and target.type == "expression_list":
        target = target.named_children[0] if target.named_child_count == 1 else None
    return target
