"""Rewrite statements: expanded assignment, result variable, needless ``else``."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import on, reindented
from cortex_pipelines.augmentation.mutation.operators.branches import branches
from cortex_pipelines.augmentation.node_table import BLOCKS, COMMENTS, NodeTable
from cortex_pipelines.augmentation.rewriting.rule import Edit, NodeRewrite

_NUMBERS = split_words("integer number int_literal integer_literal")
_NAMES = ("result", "value", "outcome", "answer", "returned")
_WORD = re.compile(rb"\w+")
_JUMPS = split_words("return_statement raise_statement continue_statement break_statement throw_statement")


class ExpandedAssignment(NodeRewrite):
    """``i += 1`` as ``i = i + 1``."""

    name = "expanded_assignment"
    places = on(
        python="augmented_assignment",
        javascript="augmented_assignment_expression",
        typescript="augmented_assignment_expression",
        go="assignment_statement",
        rust="compound_assignment_expr",
    )

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        parts = node.named_children
        sign = next((part for part in node.children if not part.is_named), None)
        if len(parts) != 2 or sign is None or sign.type not in ("+=", "-=", "*="):
            return
        target, amount = (part.named_children[0] if part.type == "expression_list" else part for part in parts)
        if target.type == "identifier" and amount.type in _NUMBERS:
            name = view.code(target)
            text = f"{name} = {name} {sign.type[0]} {view.code(amount)}"
            yield Edit(node.start_byte, node.end_byte, text)


class ReturnedVariable(NodeRewrite):
    """``return f(x)`` as ``result = f(x)`` and ``return result``."""

    name = "returned_variable"
    places = on(python="return_statement", javascript="return_statement", typescript="return_statement")

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        parts = [part for part in node.named_children if part.type not in COMMENTS]
        if len(parts) != 1 or parts[0].type not in _WORTH_A_NAME or len(node.named_children) != 1:
            return
        line = view.text.rfind(b"\n", 0, node.start_byte) + 1
        indent = view.text[line : node.start_byte].decode("utf-8", "replace")
        if indent.strip() or view.parent_type(node) not in ("block", "statement_block"):
            return
        name = _new_name(view)
        if name is None or line < len(view.snippet.prefix) + 1:
            return
        value = view.code(parts[0])
        if view.language == "python":
            yield Edit(node.start_byte, node.end_byte, f"{name} = {value}\n{indent}return {name}")
        else:
            text = f"const {name} = {value};\n{indent}return {name};"
            yield Edit(node.start_byte, node.end_byte, text)


_WORTH_A_NAME = split_words(
    "call call_expression binary_operator binary_expression list_comprehension subscript list "
    "dictionary conditional_expression ternary_expression await await_expression attribute "
    "member_expression new_expression array object comparison_operator"
)


def _new_name(view: NodeTable) -> str | None:
    notes = view.notes.setdefault("new_name", {})
    if not notes:
        used_names = {word.decode("utf-8", "replace") for word in _WORD.findall(view.text)}
        notes[0] = next((name for name in _NAMES if name not in used_names), None)
    name: str | None = notes[0]
    return name


class RemovedElse(NodeRewrite):
    """Remove an ``else`` after a branch that always jumps."""

    name = "removed_else"
    places = on(
        python="if_statement",
        javascript="if_statement",
        typescript="if_statement",
        java="if_statement",
        go="if_statement",
    )

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        pair = branches(node)
        if pair is None or view.parent_type(node) not in BLOCKS:
            return
        consequence, alternative = pair
        if not _ends_with_jump(consequence) or view.lines(node) is None:
            return
        inside = _block_statements(alternative)
        if not inside or any(part.type in _DECLARES for part in inside):
            return
        text = view.between(inside[0].start_byte, inside[-1].end_byte)
        tail = view.between(inside[-1].end_byte, alternative.end_byte).strip(" \t\r\n;}")
        if tail or any("string" in part.type and "\n" in view.code(part) for part in view.descendants(alternative)):
            return
        if view.text[inside[-1].end_byte : inside[-1].end_byte + 1].decode("ascii", "replace") == ";":
            text += ";"
        outer, inner = _indent(node, view), _indent(inside[0], view)
        if inner is None or outer is None or view.between(consequence.end_byte, alternative.start_byte).count("#"):
            return
        yield Edit(consequence.end_byte, node.end_byte, f"\n{outer}{reindented(view, text, inner, outer)}")


_DECLARES = split_words(
    "lexical_declaration local_variable_declaration short_var_declaration var_declaration "
    "function_declaration class_declaration const_declaration type_declaration"
)


def _block_statements(block: Node) -> list[Node]:
    inside = block.named_children
    if len(inside) == 1 and inside[0].type == "statement_list":
        inside = inside[0].named_children
    return inside


def _ends_with_jump(block: Node) -> bool:
    inside = [part for part in _block_statements(block) if part.type not in COMMENTS]
    return bool(inside) and inside[-1].type in _JUMPS and block.type in ("block", "statement_block")


def _indent(node: Node, view: NodeTable) -> str | None:
    line = view.text.rfind(b"\n", 0, node.start_byte) + 1
    text = view.text[line : node.start_byte].decode("utf-8", "replace")
    return None if text.strip() else text
