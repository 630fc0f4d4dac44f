"""Rewrite conditions: mirrored, double negation, De Morgan, merged."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.augmentation.mutation.operator import everywhere, on, reindented
from cortex_pipelines.augmentation.mutation.operators.branches import branches
from cortex_pipelines.augmentation.mutation.operators.condition import bare, condition_of
from cortex_pipelines.augmentation.node_table import BLOCKS, COMMENTS, NodeTable, split_words
from cortex_pipelines.augmentation.rewriting.rewrite_units import Edit, NodeRewrite

_MIRROR = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_MIRROR |= {"===": "===", "!==": "!=="}
# What can be read in any order: nothing is called, nothing is looked up by an item.
_STILL = split_words(
    "identifier integer float number decimal_integer_literal int_literal integer_literal "
    "float_literal true false none null nil this string string_literal boolean_literal "
    "interpreted_string_literal self"
)
_FLIPS = {"==": "!=", "!=": "==", "===": "!==", "!==": "==="}
_PYTHON_FLIPS = {"in": "not in", "not in": "in", "is": "is not", "is not": "is"}
_BINDS = split_words("named_expression let_condition let_chain")


class MirroredComparison(NodeRewrite):
    """``a < b`` as ``b > a``."""

    name = "mirrored_comparison"
    places = everywhere("binary_expression", python="comparison_operator")

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        sign = sign_of(node)
        parts = node.named_children
        if sign is None or sign.type not in _MIRROR or len(parts) != 2:
            return
        left, right = parts
        generic = view.language == "typescript" and view.parent_type(node) == "binary_expression"
        if {left.type, right.type} <= _STILL and not generic:
            gap = view.between(left.end_byte, sign.start_byte)
            other = view.between(sign.end_byte, right.start_byte)
            text = view.code(right) + gap + _MIRROR[sign.type] + other + view.code(left)
            yield Edit(node.start_byte, node.end_byte, text)


def sign_of(node: Node) -> Node | None:
    signs = [part for part in node.children if not part.is_named]
    return signs[0] if len(signs) == 1 else None


class InvertedBranches(NodeRewrite):
    """``if a: x else: y`` as ``if not a: y else: x``."""

    name = "inverted_branches"
    places = everywhere("if_statement", rust="if_expression")

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        pair, inner = branches(node), bare(condition_of(node))
        if pair is None or inner is None or inner.type in _BINDS:
            return
        consequence, alternative = pair
        if not all(part.type in ("block", "statement_block") for part in pair):
            return
        if any(part.type in _BINDS for part in view.descendants(inner)):
            return
        condition = view.between(node.start_byte, inner.start_byte)
        head_end = view.between(inner.end_byte, consequence.start_byte)
        between = view.between(consequence.end_byte, alternative.start_byte)
        if view.language == "python" and not (_own_line(consequence, view) and _own_line(alternative, view)):
            return
        text = view.code(alternative) + between + view.code(consequence)
        head = condition + negated(inner, view) + head_end
        tail = view.between(alternative.end_byte, node.end_byte)
        yield Edit(node.start_byte, node.end_byte, head + text + tail)


def _own_line(block: Node, view: NodeTable) -> bool:
    line = view.text.rfind(b"\n", 0, block.start_byte) + 1
    return not view.text[line : block.start_byte].strip()


def negated(node: Node, view: NodeTable) -> str:
    text = view.code(node)
    sign = sign_of(node)
    python = view.language == "python"
    flips = _PYTHON_FLIPS if python else _FLIPS
    if sign is not None and sign.type in flips and len(node.named_children) == 2:
        head = view.between(node.start_byte, sign.start_byte)
        return head + flips[sign.type] + view.between(sign.end_byte, node.end_byte)
    if sign is not None and sign.type in ("not", "!") and len(node.named_children) == 1:
        return view.code(node.named_children[0])
    word = "not " if python else "!"
    return f"{word}{text}" if node.type in _ATOMS else f"{word}({text})"


_ATOMS = split_words(
    "identifier call attribute subscript call_expression member_expression method_invocation "
    "field_access selector_expression field_expression index_expression true false "
    "subscript_expression array_access parenthesized_expression"
)


class DeMorgan(NodeRewrite):
    """``not (a and b)`` as ``(not a or not b)``."""

    name = "de_morgan"
    places = everywhere("unary_expression", python="not_operator")

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        if node.child_count != 2 or node.children[0].type not in ("not", "!"):
            return
        inner = bare(node.children[1])
        sign = inner.child_by_field_name("operator") if inner is not None else None
        if inner is None or sign is None or sign.type not in _DUAL:
            return
        left, right = inner.child_by_field_name("left"), inner.child_by_field_name("right")
        if left is None or right is None or len(inner.named_children) != 2:
            return
        if any(part.type in _BINDS for part in view.descendants(inner)):
            return
        # `not a` is a truth value, `a` may be anything: turned twice it would be another value
        if view.language in _LOOSE and any(_is_negation(part) for part in (left, right)):
            return
        text = f"{negated(left, view)} {_DUAL[sign.type]} {negated(right, view)}"
        yield Edit(node.start_byte, node.end_byte, f"({text})")


_DUAL = {"and": "or", "or": "and", "&&": "||", "||": "&&"}


_LOOSE = ("python", "javascript", "typescript")


def _is_negation(node: Node) -> bool:
    return node.child_count == 2 and node.children[0].type in ("not", "!")


class MergedConditions(NodeRewrite):
    """``if a: if b: x`` as ``if a and b: x``."""

    name = "merged_conditions"
    places = on(
        python="if_statement", javascript="if_statement", typescript="if_statement",
        java="if_statement", go="if_statement",
    )  # fmt: skip

    def edits_at(self, node: Node, view: NodeTable) -> Iterator[Edit]:
        outer, inner = _lone(node), None
        if outer is not None and len(outer.named_children) == 1:
            inner_block = outer.named_children[0]
            if inner_block.type == "statement_list" and len(inner_block.named_children) == 1:
                inner_block = inner_block.named_children[0]
            inner = _lone(inner_block) if inner_block.type == "if_statement" else None
            node_inside = inner_block
        if outer is None or inner is None or view.field(node) == "alternative":
            return
        first, second = bare(condition_of(node)), bare(condition_of(node_inside))
        if first is None or second is None or not {first.type, second.type}.isdisjoint(_BINDS):
            return
        if view.language == "python" and not (_own_line(outer, view) and _own_line(inner, view)):
            return
        joint = _conjunction(first, second, view)
        indents = [_line_indent(part, view) for part in (node, node_inside)]
        body = view.code(inner)
        if any("string" in part.type and "\n" in view.code(part) for part in view.descendants(inner)):
            return
        if view.language == "python":
            lead = view.between(outer.start_byte - len(_line_indent(outer, view)), outer.start_byte)
            text = f"if {joint}:\n{lead}{reindented(view, body, _line_indent(inner, view), lead)}"
        else:
            brackets = ("(", ")") if view.language != "go" else ("", "")
            reindented_body = reindented(view, body, indents[1], indents[0])
            text = f"if {brackets[0]}{joint}{brackets[1]} {reindented_body}"
        yield Edit(node.start_byte, node.end_byte, text)


def _lone(node: Node) -> Node | None:
    if node.child_by_field_name("alternative") or node.child_by_field_name("initializer"):
        return None
    if any(part.type in COMMENTS for part in node.named_children):
        return None
    block = node.child_by_field_name("consequence")
    return block if block is not None and block.type in ("block", "statement_block") else None


def _conjunction(first: Node, second: Node, view: NodeTable) -> str:
    word = " and " if view.language == "python" else " && "
    return word.join(
        view.code(part) if part.type in _ATOMS or _compares(part) else f"({view.code(part)})"
        for part in (first, second)
    )


def _compares(node: Node) -> bool:
    sign = sign_of(node)
    compares = set(_MIRROR) | set(_PYTHON_FLIPS) | {"not", "!"}
    return sign is not None and sign.type in compares


def _line_indent(node: Node, view: NodeTable) -> str:
    line = view.text.rfind(b"\n", 0, node.start_byte) + 1
    text = view.text[line : node.start_byte]
    return text[: len(text) - len(text.lstrip())].decode("ascii", "replace")


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
