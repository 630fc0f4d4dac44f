"""Loop bugs: wrong exit, or wrong number of iterations."""

from collections.abc import Iterator
from typing import Literal

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import (
    Operator,
    TextEdit,
    everywhere,
    on,
    reindented,
    remove_statement,
    replace_node,
    replace_span,
)
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


def in_loop(node: Node, view: NodeTable) -> Node | None:
    for above in view.ancestors(node):
        if above.type in _LOOPS:
            return above
        if above.type in _SWITCHES or above.type in FUNCTIONS:
            return None
    return None


class BreakContinue(Operator):
    name = "break_continue"
    error_type = _FAMILY
    weight = 2
    places = everywhere("break_statement continue_statement", rust="break_expression continue_expression")
    explanation = "the loop {wrong} meets {new} where it must {old}; write {old}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        loop = in_loop(node, view)
        if node.named_child_count or loop is None:
            return
        word = view.code(node).rstrip("; \n")
        other = "continue" if word == "break" else "break"
        head = view.code(loop).partition("\n")[0]
        start = node.start_byte
        yield TextEdit(start, start + len(word), other, head, head, word, other)


class ZeroIterations(Operator):
    name = "zero_iterations"
    error_type = _FAMILY
    weight = 1
    places = everywhere(
        "while_statement for_statement",
        python="while_statement for_statement",
        javascript="while_statement for_statement for_in_statement",
        typescript="while_statement for_statement for_in_statement",
        java="while_statement for_statement",
        go="for_clause for_statement range_clause",
        rust="while_expression for_expression",
    )
    explanation = "the loop never runs: {new} stands where {old} decides; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        condition = bare(node.child_by_field_name("condition"))
        if condition is None and node.type == "for_statement" and view.language == "go":
            first = node.named_children[0] if node.named_children else None
            condition = first if first is not None and first.type.endswith("expression") else None
        if condition is not None and condition.type not in ("true", "false", "let_condition", ";"):
            if any(part.type in ("let_condition", "named_expression") for part in view.descendants(condition)):
                return
            word = "False" if view.language == "python" else "false"
            yield _quoted(view, node, condition, word)
        elif view.language in _EMPTY:
            field = "right" if view.language != "rust" else "value"
            sequence = node.child_by_field_name(field)
            if sequence is not None and view.code(sequence) not in _EMPTY.values():
                yield _quoted(view, node, sequence, _EMPTY[view.language])


_EMPTY = {"python": "()", "javascript": "[]", "typescript": "[]"}


def _quoted(view: NodeTable, loop: Node, part: Node, text: str) -> TextEdit:
    head = view.between(loop.start_byte, part.start_byte)
    tail = view.between(part.end_byte, loop.end_byte).partition("\n")[0][:20]
    old = view.code(part)
    return TextEdit(part.start_byte, part.end_byte, text, head + old + tail, head + text + tail, old, text)


class RemovedLoop(Operator):
    name = "removed_loop"
    error_type = _FAMILY
    weight = 1
    places = everywhere("while_statement", javascript="while_statement", go="for_statement", rust="while_expression")
    explanation = "{wrong} runs at most once where {right} has to repeat; put {old} for {new}."

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
    weight = 2
    places = everywhere("return_statement", rust="return_expression")
    explanation = "{right} stands in the loop and ends it in its first pass; move it behind the loop."

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
        moved_text = _at_end_of(body, text, view)
        if moved_text is None:
            return
        start, end = body.start_byte, inner.end_byte
        between = view.between(body.end_byte, inner.start_byte).rstrip()
        yield TextEdit(start, end, moved_text + between, text, text, text, "")


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
    return f"{head}\n{old}{reindented(view, text, '', '')}{tail}"


_EXCEPTIONS: Literal["removal"] = "removal"

# Exceptions of the standard library that are taken for each other; both take a message.
_PYTHON = {
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "KeyError": "IndexError",
    "IndexError": "KeyError",
    "AttributeError": "KeyError",
    "OSError": "ValueError",
    "IOError": "ValueError",
    "FileNotFoundError": "PermissionError",
    "RuntimeError": "ValueError",
    "NotImplementedError": "RuntimeError",
    "ImportError": "AttributeError",
    "ModuleNotFoundError": "AttributeError",
    "StopIteration": "IndexError",
    "UnicodeDecodeError": "KeyError",
    "ZeroDivisionError": "ValueError",
    "LookupError": "ValueError",
    "Exception": "ValueError",
    "AssertionError": "ValueError",
}
_JAVASCRIPT = {
    "Error": "TypeError",
    "TypeError": "RangeError",
    "RangeError": "TypeError",
    "SyntaxError": "TypeError",
    "ReferenceError": "TypeError",
}
_JAVA = {
    "IllegalArgumentException": "IllegalStateException",
    "IllegalStateException": "IllegalArgumentException",
    "NullPointerException": "IllegalArgumentException",
    "RuntimeException": "IllegalStateException",
    "IOException": "RuntimeException",
    "Exception": "RuntimeException",
    "IndexOutOfBoundsException": "IllegalArgumentException",
    "UnsupportedOperationException": "IllegalStateException",
    "NumberFormatException": "NullPointerException",
    "ClassCastException": "NullPointerException",
    "InterruptedException": "RuntimeException",
    "NoSuchElementException": "IllegalStateException",
}
_OTHERS = {"python": _PYTHON, "javascript": _JAVASCRIPT, "typescript": _JAVASCRIPT, "java": _JAVA}


class ExceptionType(Operator):
    name = "exception_type"
    error_type = _EXCEPTIONS
    weight = 3
    places = on(
        python="raise_statement except_clause",
        javascript="throw_statement",
        typescript="throw_statement",
        java="throw_statement catch_type",
    )
    explanation = "{wrong} names {new} where {old} is meant; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        other_types, end = _OTHERS[view.language], _head_end(node)
        present = view.between(node.start_byte, end)
        for part in view.descendants(node):
            if part.start_byte >= end:
                return
            other = other_types.get(view.code(part), "") if part.type in _NAMES else ""
            if other and other not in present and view.parent_type(part) in _CLASS_PLACES:
                yield _replace_type(node.start_byte, end, part, other, view)


def _head_end(node: Node) -> int:
    body = next((part for part in node.named_children if part.type == "block"), None)
    return node.end_byte if body is None else body.start_byte


def _replace_type(start: int, end: int, part: Node, other: str, view: NodeTable) -> TextEdit:
    head, tail = view.between(start, part.start_byte), view.between(part.end_byte, end).rstrip()
    old = view.code(part)
    return TextEdit(part.start_byte, part.end_byte, other, head + old + tail, head + other + tail, old, other)


_NAMES = split_words("identifier type_identifier")
_CLASS_PLACES = split_words(
    "raise_statement except_clause as_pattern tuple call new_expression object_creation_expression catch_type"
)


class SwallowedException(Operator):
    name = "swallowed_exception"
    error_type = _EXCEPTIONS
    weight = 2
    places = on(
        python="raise_statement",
        javascript="throw_statement",
        typescript="throw_statement",
        java="throw_statement",
        go="expression_statement",
        rust="expression_statement",
    )
    explanation = "{right} is missing, so the error goes unnoticed; put it back."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        if node.type != "expression_statement" or view.code(node).startswith(_ENDING):
            yield from remove_statement(view, node)


_ENDING = ("panic(", "panic!(", "log.Fatal", "return Err(")


class BroadenedHandler(Operator):
    name = "broad_handler"
    error_type = _EXCEPTIONS
    weight = 2
    places = on(python="except_clause", java="catch_type")
    explanation = "{wrong} also hides errors that it was not written for; write {right}."

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[TextEdit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        if view.language == "java":
            if view.code(node) not in _BROAD:
                yield replace_node(view, node, "Exception")
            return
        value = parts[0] if parts and parts[0].type != "block" else None
        if value is not None and value.type == "as_pattern":
            value = value.named_children[0]
        if value is not None and view.code(value) not in _BROAD:
            yield _replace_type(node.start_byte, _head_end(node), value, "Exception", view)


_BROAD = ("Exception", "BaseException", "Throwable")
