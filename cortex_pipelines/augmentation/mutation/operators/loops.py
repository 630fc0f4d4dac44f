"""Loop bugs: wrong exit, or wrong number of iterations."""

import re
from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import Operator, TextEdit, everywhere, replace_span
from cortex_pipelines.augmentation.mutation.operators.condition import bare
from cortex_pipelines.augmentation.node_table import COMMENTS, FUNCTIONS, NodeTable, split_words

_FAMILY: Literal["control_flow"] = "control_flow"
_LOOPS = split_words(
    "for_statement while_statement do_statement for_in_statement enhanced_for_statement "
    "for_expression while_expression loop_expression"
)
_SWITCHES = split_words(
    "switch_statement switch_expression expression_switch_statement type_switch_statement select_statement"
)


class BreakContinue(Operator):
    name = "break_continue"
    error_type = _FAMILY
    places = everywhere("break_statement continue_statement", rust="break_expression continue_expression")
    explanation = "the loop {wrong} should {old} here, not {new}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        loop = next((above for above in view.ancestors(node) if above.type in _LOOPS | _SWITCHES | FUNCTIONS), None)
        if node.named_child_count or loop is None or loop.type not in _LOOPS:
            return
        word = view.code(node).rstrip("; \n")
        if word == "break" and view.language == "java" and _is_endless(loop, view):
            return  # its compiler refuses what is never reached
        other = "continue" if word == "break" else "break"
        head = view.code(loop).partition("\n")[0]
        start = node.start_byte
        yield TextEdit(start, start + len(word), other, head, head, word, other)

    def is_shown(self, change: TextEdit, view: NodeTable) -> bool:
        """What only sets constants before it ends the loop would do no more in further rounds."""
        if change.old != "break":
            return True
        outside = view.ancestors(view.innermost(change.start, change.start + 1))
        block = next((node for node in outside if node.type in _BLOCKS), None)
        before = [part for part in view.statements(block) if part.end_byte <= change.start] if block else []
        return not before or not all(_SETS_CONSTANT.fullmatch(view.code(part)) for part in before)


_BLOCKS = split_words("block statement_block statement_list")
_SETS_CONSTANT = re.compile(r"\w+\s*:?=\s*(?:-?\d[\w.]*|\"[^\"]*\"|'[^']*'|true|false|True|False|None|null|nil);?")


def _is_endless(loop: Node, view: NodeTable) -> bool:
    condition = loop.child_by_field_name("condition")
    if condition is None:
        return loop.type == "for_statement"
    return view.code(bare(condition) or condition) in _ENDLESS


class RemovedLoop(Operator):
    name = "removed_loop"
    error_type = _FAMILY
    places = everywhere("while_statement", javascript="while_statement", go="for_statement", rust="while_expression")
    explanation = "{wrong} runs its body at most once; it has to loop, so replace {new} with {old}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        condition, body = node.child_by_field_name("condition"), node.child_by_field_name("body")
        if view.language == "go" and node.named_children and condition is None:
            condition = node.named_children[0]
            condition = condition if condition.type.endswith("expression") else None
        if condition is None or body is None or node.child_by_field_name("alternative"):
            return
        if bare(condition) is None or view.code(bare(condition) or condition) in _ENDLESS:
            return
        if any(part.type in _JUMPS for part in view.descendants(body)) or view.parent_type(node) in _LABELS:
            return
        word = node.children[0]
        change = replace_span(view, node, word.start_byte, word.end_byte, "if")
        head = view.between(word.end_byte, condition.end_byte)
        yield TextEdit(change.start, change.end, "if", word.type + head, "if" + head, word.type, "if")


_ENDLESS = ("true", "True", "1")
_JUMPS = split_words("break_statement continue_statement break_expression continue_expression")
_LABELS = split_words("labeled_statement label")


class EarlyReturn(Operator):
    name = "early_return"
    error_type = _FAMILY
    places = everywhere("return_statement", rust="return_expression")
    explanation = "{right} in the loop exits it on its first iteration; it belongs after the loop alone."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        block = view.parent(node)
        if block is None:
            return
        inner = node
        if view.language == "rust":
            if block.type != "expression_statement":
                return
            inner, block = block, view.parent(block)
        siblings = view.statements(block) if block is not None else []
        position = next((index for index, sibling in enumerate(siblings) if sibling.id == inner.id), 0)
        if position == 0:
            return
        loop = siblings[position - 1]
        if loop.type == "expression_statement" and loop.named_children:
            loop = loop.named_children[0]
        body = loop.child_by_field_name("body") if loop.type in _LOOPS else None
        if body is None or loop.child_by_field_name("alternative") is not None:
            return
        text = view.code(inner)
        body_text = _at_end_of(body, text, view)
        if body_text is None:
            return
        yield TextEdit(body.start_byte, body.end_byte, body_text, text, text, text, "")


def _at_end_of(body: Node, text: str, view: NodeTable) -> str | None:
    inside = body.named_children
    if len(inside) == 1 and inside[0].type == "statement_list":
        inside = inside[0].named_children
    parts = [part for part in inside if part.type not in COMMENTS]
    if not parts or body.type not in ("block", "statement_block"):
        return None
    last = parts[-1]
    line = view.text.rfind(b"\n", 0, last.start_byte) + 1
    indent = view.between(line, last.start_byte)
    if indent.strip() or (line <= body.start_byte and view.language != "python"):
        return None
    end = last.end_byte + (1 if view.text[last.end_byte : last.end_byte + 1] == b";" else 0)
    head, tail = view.between(body.start_byte, end), view.between(end, body.end_byte)
    old = view.between(line, line + len(indent))
    return f"{head}\n{old}{text}{tail}"
