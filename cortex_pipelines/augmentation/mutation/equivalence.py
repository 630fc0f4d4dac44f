"""Detect equivalent mutants by syntactic rules, in any language."""

import re
from bisect import bisect_right

from tree_sitter import Node

from cortex_pipelines.augmentation.identifier_words import split_words
from cortex_pipelines.augmentation.mutation.operator import TextEdit
from cortex_pipelines.augmentation.node_table import BLOCKS, NodeTable

_JUMPS = split_words("return_statement raise_statement continue_statement break_statement throw_statement")
_NEUTRAL = re.compile(r"^.*[\w)\]]\s*(?:[-+|^]\s*0(?:\.0*)?|(?:\*\*?|//?|%)\s*1(?:\.0*)?|(?:<<|>>)\s*0)$", re.DOTALL)
_LIST = r"\b(?:sorted|set|frozenset|list|tuple|sum|min|max|any|all|enumerate|dict|join)\($"
_NO_EFFECT = (
    # operator, text before the change that ends it, what was there: what then means the same
    ("removed_conversion", re.compile(_LIST), split_words("list tuple")),
    ("removed_conversion", re.compile(r"\bin $"), split_words("list tuple")),
    ("removed_conversion", re.compile(r"(?:\{|\bprint\()$"), split_words("str")),
    ("removed_conversion", re.compile(r"\b(?:if|while|not|and|or) $"), split_words("bool")),
)
_BEFORE = 24


def is_equivalent(operator: str, change: TextEdit, view: NodeTable) -> bool:
    """Whether a mutation is known to preserve behaviour (dead code, docstrings, annotations, neutral terms)."""
    return (
        _strip_parentheses(change.old) == _strip_parentheses(change.new)
        or _in_inert_code(change, view)
        or _has_no_effect(operator, change, view)
    )


def _has_no_effect(operator: str, change: TextEdit, view: NodeTable) -> bool:
    if operator in ("arithmetic", "bitwise", "operand_swap", "broken_chain"):
        return operator != "operand_swap" and bool(_NEUTRAL.match(change.right))
    if operator == "augmented_assignment":
        return bool(re.search(r"[-+|]=\s*0$|[*/]=\s*1$", change.right))
    if operator == "similar_method" and change.old in ("split", "rsplit"):
        return "," not in change.right.rpartition(change.old)[2]
    if operator == "removed_fallback":
        return ".get(" in change.right and change.old == "None"
    before = view.between(max(0, change.start - _BEFORE), change.start)
    return any(name == operator and change.old in old and pattern.search(before) for name, pattern, old in _NO_EFFECT)


def _strip_parentheses(text: str) -> str:
    stripped = "".join(text.split())
    while stripped.startswith("(") and stripped.endswith(")") and _closes_at_end(stripped):
        stripped = stripped[1:-1]
    return stripped


def _closes_at_end(text: str) -> bool:
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return index == len(text) - 1
    return False


def _in_inert_code(change: TextEdit, view: NodeTable) -> bool:
    notes = view.notes.setdefault("inert", {})
    if not notes:
        notes[0] = _inert(view)
    spans: list[tuple[int, int]] = notes[0]
    index = bisect_right(spans, (change.start, len(view.text) + 1)) - 1
    return index >= 0 and change.end <= spans[index][1]


def _inert(view: NodeTable) -> list[tuple[int, int]]:
    """Spans where edits have no effect at run time, outermost only, in order."""
    spans = [span for node in view.nodes for span in _inert_at(node, view)]
    outer: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if not outer or end > outer[-1][1]:
            outer.append((start, end))
    return outer


def _inert_at(node: Node, view: NodeTable) -> list[tuple[int, int]]:
    kind = node.type
    if kind in _JUMPS:
        return _after(node, view)
    is_docstring = kind == "string" and view.parent_type(node) == "expression_statement"
    if view.language == "python" and (kind == "type" or is_docstring):
        return [(node.start_byte, node.end_byte)]
    if kind in ("type_annotation", "type_arguments"):
        return [(node.start_byte, node.end_byte)]
    if kind in ("if_statement", "while_statement", "if_expression", "while_expression"):
        condition = node.child_by_field_name("condition")
        if condition is not None and view.code(condition).strip("()") in ("False", "false", "0"):
            dead = node.child_by_field_name("consequence") or node.child_by_field_name("body")
            return [(dead.start_byte, dead.end_byte)] if dead is not None else []
    return []


def _after(jump: Node, view: NodeTable) -> list[tuple[int, int]]:
    block = view.parent(jump)
    following = jump.next_named_sibling
    if block is None or following is None or block.type not in BLOCKS:
        return []
    if block.type in ("switch_case", "switch_default", "switch_block_statement_group", "program"):
        return []
    spans = []
    while following is not None:
        if not following.type.endswith(("declaration", "definition", "labeled_statement")):
            spans.append((following.start_byte, following.end_byte))
        following = following.next_named_sibling
    return spans
