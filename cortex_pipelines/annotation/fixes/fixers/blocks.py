"""Fixes of branches and comments in all languages."""

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import BLOCKS, bare, child, descendants, statements, text
from cortex_pipelines.annotation.fixes.fixer import Edit, Fixer, SmellInstance

_IFS = ("if_statement", "if_expression")
_LISTS = BLOCKS | {"module", "program", "source_file"}
_DECLARING = frozenset(
    {
        *("lexical_declaration", "local_variable_declaration", "short_var_declaration", "var_declaration"),
        *("class_declaration", "let_declaration", "function_declaration"),
    }
)
_LOOSE = frozenset(
    {
        *("boolean_operator", "binary_expression", "conditional_expression", "ternary_expression", "lambda"),
        *("named_expression", "assignment_expression", "closure_expression", "range_expression"),
    }
)


def _else_after_return(smell: SmellInstance) -> list[Edit] | None:
    if_node = smell.enclosing(*_IFS)
    if if_node is None or if_node.parent is None or if_node.parent.type not in _LISTS:
        return None
    other, first = child(if_node, "alternative"), child(if_node, "consequence")
    margin = smell.margin(if_node)
    if other is None or first is None or margin is None:
        return None
    inside = statements(child(other, "body") or other)
    body = _block_of(other)
    if not inside or body is None or any(statement.type in _DECLARING for statement in inside):
        return None
    dedented = _dedented(smell, body, inside, margin)
    # comments between the branches would be lost
    between = smell.data[first.end_byte : body.start_byte].split()
    if dedented is None or between not in ([b"else"], [b"else:"], [b"else", b":"], [b"else", b"{"], []):
        return None
    return [(first.end_byte, if_node.end_byte, b"\n" + margin + dedented)]


def _block_of(other: Node) -> Node | None:
    if other.type in BLOCKS:
        return other
    return next((part for part in other.named_children if part.type in BLOCKS), None)


def _dedented(smell: SmellInstance, body: Node, inside: list[Node], margin: bytes) -> bytes | None:
    before = smell.margin(inside[0])
    inner_nodes = [node for node in body.named_children if node.type not in BLOCKS]
    if before is None or len(before) < len(margin) or any(node.is_extra for node in inner_nodes):
        return None
    parts = []
    for node in inside:
        if smell.margin(node) != before:
            return None
        part = smell.shifted(node, len(before) - len(margin))
        tail = smell.data[node.end_byte : node.end_byte + 1]
        if part is None:
            return None
        parts.append(part + (b";" if tail == b";" else b""))
    return (b"\n" + margin).join(parts)


def _collapsible(smell: SmellInstance) -> list[Edit] | None:
    """Merge two nested conditions and unindent the body."""
    outer = smell.outermost(*_IFS)
    body = child(outer, "consequence") if outer is not None else None
    inside = statements(body)
    if outer is None or body is None or len(inside) != 1:
        return None
    inner = bare(inside[0])
    conditions = child(outer, "condition"), child(inner, "condition")
    block, margin, deeper = child(inner, "consequence"), smell.margin(outer), smell.margin(inner)
    if None in conditions or block is None or margin is None or deeper is None:
        return None
    if any(node.type in ("comment", "line_comment", "block_comment") for node in descendants(outer, _COMMENTS)):
        return None
    dedented = smell.shifted(block, len(deeper) - len(margin))
    if dedented is None or (smell.language != "python" and block.type not in BLOCKS):
        return None
    word = b"and" if smell.language == "python" else b"&&"
    first, second = (_tight(smell, node) for node in conditions if node is not None)
    condition = b"%s %s %s" % (first, word, second)
    outer_condition = conditions[0]
    if outer_condition is None:
        return None
    if outer_condition.type == "parenthesized_expression" and smell.language in _PARENTHESISED:
        condition = b"(%s)" % condition
    return [
        (outer_condition.start_byte, outer_condition.end_byte, condition),
        # white space between the header and the block stays
        (body.start_byte, outer.end_byte, dedented),
    ]


_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_PARENTHESISED = frozenset({"javascript", "typescript", "java"})


def _tight(smell: SmellInstance, condition: Node) -> bytes:
    inner = bare(condition) if smell.language in _PARENTHESISED else condition
    operator = text(child(inner, "operator"))
    tight = inner.type not in _LOOSE or operator in ("and", "&&") or operator in _COMPARING
    return smell.text(inner) if tight else b"(%s)" % smell.text(inner)


_COMPARING = frozenset({"==", "!=", "<", ">", "<=", ">=", "===", "!==", "instanceof", "in"})


def _redundant_boolean(smell: SmellInstance) -> list[Edit] | None:
    if_node = smell.outermost(*_IFS)
    condition = child(if_node, "condition") if if_node is not None else None
    inside = statements(child(if_node, "consequence")) if if_node is not None else []
    if if_node is None or condition is None or len(inside) != 1:
        return None
    returned = bare(inside[0])
    if not returned.type.startswith("return") or any(True for _ in descendants(if_node, _COMMENTS)):
        return None
    inner = bare(condition)
    negated = "alse" in text(returned)
    code = smell.text(inner)
    if smell.language == "python":
        sure = inner.type in ("comparison_operator", "not_operator")
        code = b"not (%s)" % code if negated else code if sure else b"bool(%s)" % code
    else:
        script = smell.language in ("javascript", "typescript")
        sure = not script or text(child(inner, "operator")) in _COMPARING | {"!"}
        code = b"!(%s)" % code if negated else code if sure else b"Boolean(%s)" % code
    end = b";" if smell.language not in ("python", "go") else b""
    return [(if_node.start_byte, if_node.end_byte, b"return %s%s" % (code, end))]


def _commented_out(smell: SmellInstance) -> list[Edit] | None:
    start, end = smell.line_start(smell.evidence.start), smell.evidence.end
    if smell.data[start : smell.evidence.start].strip() or smell.data[end : end + 1] not in (b"\n", b""):
        return None
    return [(start, min(end + 1, len(smell.data)), b"")] if start else None


def _dead_code(smell: SmellInstance) -> list[Edit] | None:
    start, end = smell.evidence.start, smell.evidence.end
    block = smell.enclosing(*BLOCKS)
    before = smell.data[smell.line_start(start) : start]
    if block is None or before.strip():
        return None
    # an assignment makes a name local, and a yield makes a generator
    counts = {"assignment", "yield", "await", "import_statement", "import_from_statement"}
    counts |= {"global_statement", "nonlocal_statement", "function_definition", "variable_declaration"}
    counts |= {"augmented_assignment", "for_statement", "with_statement", "named_expression"} | _DECLARING
    dead = [statement for statement in block.named_children if start <= statement.start_byte < end]
    if any(statement.type in counts or next(descendants(statement, counts), None) is not None for statement in dead):
        return None
    last = smell.data[:start].rstrip()
    if dead and dead[0].prev_named_sibling is not None and dead[0].prev_named_sibling.is_extra:
        return None
    return [(len(last), end, b"")]


def _typeof(smell: SmellInstance) -> list[Edit] | None:
    comparison = smell.outermost("binary_expression")
    left_operand = child(comparison, "left") if comparison is not None else None
    operator = child(comparison, "operator") if comparison is not None else None
    if left_operand is None or operator is None or not text(left_operand).startswith("typeof "):
        return None
    return [(operator.end_byte, operator.end_byte, b"=")]


def _string_identity(smell: SmellInstance) -> list[Edit] | None:
    comparison = smell.outermost("binary_expression")
    if comparison is None:
        return None
    left_operand, right = child(comparison, "left"), child(comparison, "right")
    if left_operand is None or right is None or right.type != "string_literal":
        return None
    negated = b"!" if text(child(comparison, "operator")) == "!=" else b""
    code = b"%s%s.equals(%s)" % (negated, smell.text(right), smell.text(left_operand))
    return [(comparison.start_byte, comparison.end_byte, code)]


FIXERS: dict[str, tuple[Fixer, str]] = {
    "else-after-return": (_else_after_return, "What followed in the else follows by itself."),
    "collapsible-if": (_collapsible, "Both are asked for at once."),
    "redundant-boolean": (_redundant_boolean, "The condition itself is handed on."),
    "commented-out-code": (_commented_out, "It is gone; version control has it."),
    "dead-code": (_dead_code, "It is gone; nothing ran it."),
    "loose-equality": (_typeof, "Nothing is converted."),
    "string-identity": (_string_identity, "What they say is compared."),
}
