"""Fixes of branches and comments in all languages."""

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import BLOCKS, bare, child, descendants, statements, text
from cortex_pipelines.annotation.fixes.fixer import Edit, Fixer, NotFixableError, SmellInstance, part, replaced

_IFS = ("if_statement", "if_expression")
_LISTS = BLOCKS | {"module", "program", "source_file"}
_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_PARENTHESISED = frozenset({"javascript", "typescript", "java"})
_COMPARING = frozenset({"==", "!=", "<", ">", "<=", ">=", "===", "!==", "instanceof", "in"})
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
# an assignment makes a name local, and a yield makes a generator
_MATTERS_UNREACHED = _DECLARING | {
    *("assignment", "yield", "await", "import_statement", "import_from_statement", "global_statement"),
    *("nonlocal_statement", "function_definition", "variable_declaration", "augmented_assignment", "for_statement"),
    *("with_statement", "named_expression"),
}


def _else_after_return(smell: SmellInstance) -> list[Edit]:
    if_node = smell.enclosing(*_IFS)
    other, first, margin = part(if_node, "alternative"), part(if_node, "consequence"), smell.margin(if_node)
    inside = statements(child(other, "body") or other)
    body = other if other.type in BLOCKS else next((b for b in other.named_children if b.type in BLOCKS), None)
    if if_node.parent is None or if_node.parent.type not in _LISTS or not inside or body is None:
        return []
    # comments between the branches would be lost
    between = smell.data[first.end_byte : body.start_byte].split()
    if between not in ([b"else"], [b"else:"], [b"else", b":"], [b"else", b"{"], []):
        return []
    if any(statement.type in _DECLARING for statement in inside):
        return []
    dedented = _dedented(smell, body, inside, margin)
    return [(first.end_byte, if_node.end_byte, b"\n" + margin + dedented)]


def _dedented(smell: SmellInstance, body: Node, inside: list[Node], margin: bytes) -> bytes:
    before = smell.margin(inside[0])
    inner_nodes = [node for node in body.named_children if node.type not in BLOCKS]
    if len(before) < len(margin) or any(node.is_extra for node in inner_nodes):
        raise NotFixableError
    parts = []
    for node in inside:
        if smell.margin(node) != before:
            raise NotFixableError
        ends = smell.data[node.end_byte : node.end_byte + 1] == b";"
        parts.append(smell.shifted(node, len(before) - len(margin)) + b";" * ends)
    return (b"\n" + margin).join(parts)


def _collapsible(smell: SmellInstance) -> list[Edit]:
    """Merge two nested conditions and unindent the body."""
    outer = smell.outermost(*_IFS)
    body = part(outer, "consequence")
    inside = statements(body)
    if len(inside) != 1 or next(descendants(outer, _COMMENTS), None) is not None:
        return []
    inner = bare(inside[0])
    outer_condition, block = part(outer, "condition"), part(inner, "consequence")
    dedented = smell.shifted(block, len(smell.margin(inner)) - len(smell.margin(outer)))
    if smell.language != "python" and block.type not in BLOCKS:
        return []
    word = b"and" if smell.language == "python" else b"&&"
    condition = b"%s %s %s" % (_tight(smell, outer_condition), word, _tight(smell, part(inner, "condition")))
    if outer_condition.type == "parenthesized_expression" and smell.language in _PARENTHESISED:
        condition = b"(%s)" % condition
    # white space between the header and the block stays
    return [replaced(outer_condition, condition), (body.start_byte, outer.end_byte, dedented)]


def _tight(smell: SmellInstance, condition: Node) -> bytes:
    inner = bare(condition) if smell.language in _PARENTHESISED else condition
    operator = text(child(inner, "operator"))
    tight = inner.type not in _LOOSE or operator in ("and", "&&") or operator in _COMPARING
    return smell.text(inner) if tight else b"(%s)" % smell.text(inner)


def _redundant_boolean(smell: SmellInstance) -> list[Edit]:
    if_node = smell.outermost(*_IFS)
    inner, inside = bare(part(if_node, "condition")), statements(child(if_node, "consequence"))
    if len(inside) != 1 or next(descendants(if_node, _COMMENTS), None) is not None:
        return []
    returned = bare(inside[0])
    if not returned.type.startswith("return"):
        return []
    code, negated = smell.text(inner), "alse" in text(returned)
    if smell.language == "python":
        sure = inner.type in ("comparison_operator", "not_operator")
        code = b"not (%s)" % code if negated else code if sure else b"bool(%s)" % code
    else:
        script = smell.language in ("javascript", "typescript")
        sure = not script or text(child(inner, "operator")) in _COMPARING | {"!"}
        code = b"!(%s)" % code if negated else code if sure else b"Boolean(%s)" % code
    end = b";" if smell.language not in ("python", "go") else b""
    return [replaced(if_node, b"return %s%s" % (code, end))]


def _commented_out(smell: SmellInstance) -> list[Edit]:
    start, end = smell.line_start(smell.evidence.start), smell.evidence.end
    if smell.data[start : smell.evidence.start].strip() or smell.data[end : end + 1] not in (b"\n", b""):
        return []
    return [(start, min(end + 1, len(smell.data)), b"")] if start else []


def _dead_code(smell: SmellInstance) -> list[Edit]:
    start, end = smell.evidence.start, smell.evidence.end
    block = smell.enclosing(*BLOCKS)
    dead = [statement for statement in block.named_children if start <= statement.start_byte < end]
    if smell.data[smell.line_start(start) : start].strip() or any(
        statement.type in _MATTERS_UNREACHED or next(descendants(statement, _MATTERS_UNREACHED), None) is not None
        for statement in dead
    ):
        return []
    if dead and dead[0].prev_named_sibling is not None and dead[0].prev_named_sibling.is_extra:
        return []
    return [(len(smell.data[:start].rstrip()), end, b"")]


def _typeof(smell: SmellInstance) -> list[Edit]:
    comparison = smell.outermost("binary_expression")
    operator_end = part(comparison, "operator").end_byte
    is_typeof = text(part(comparison, "left")).startswith("typeof ")
    return [(operator_end, operator_end, b"=")] if is_typeof else []


def _string_identity(smell: SmellInstance) -> list[Edit]:
    comparison = smell.outermost("binary_expression")
    left_operand, right = part(comparison, "left"), part(comparison, "right")
    negated = b"!" if text(child(comparison, "operator")) == "!=" else b""
    code = b"%s%s.equals(%s)" % (negated, smell.text(right), smell.text(left_operand))
    return [replaced(comparison, code)] if right.type == "string_literal" else []


FIXERS: dict[str, tuple[Fixer, str]] = {
    "else-after-return": (_else_after_return, "What followed in the else follows by itself."),
    "collapsible-if": (_collapsible, "Both are asked for at once."),
    "redundant-boolean": (_redundant_boolean, "The condition itself is handed on."),
    "commented-out-code": (_commented_out, "It is gone; version control has it."),
    "dead-code": (_dead_code, "It is gone; nothing ran it."),
    "loose-equality": (_typeof, "Nothing is converted."),
    "string-identity": (_string_identity, "What they say is compared."),
}
