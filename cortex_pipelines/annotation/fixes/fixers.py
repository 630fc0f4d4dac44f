"""Fixes of single smells: of branches and comments in all languages, and of Python."""

import re

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import BLOCKS, bare, child, descendants, statements, text
from cortex_pipelines.annotation.complexity.syntax import node_types
from cortex_pipelines.annotation.fixes.fixer import (
    Edit,
    Fixer,
    NotFixableError,
    SmellInstance,
    inserted,
    part,
    replaced,
)

_IFS = ("if_statement", "if_expression")
_LISTS = BLOCKS | {"module", "program", "source_file"}
_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_PARENTHESISED = frozenset({"javascript", "typescript", "java"})
_COMPARING = frozenset({"==", "!=", "<", ">", "<=", ">=", "===", "!==", "instanceof", "in"})
_DECLARING = node_types(
    "lexical_declaration local_variable_declaration short_var_declaration var_declaration class_declaration "
    "let_declaration function_declaration"
)
_LOOSE = node_types(
    "boolean_operator binary_expression conditional_expression ternary_expression lambda named_expression "
    "assignment_expression closure_expression range_expression"
)
# an assignment makes a name local, and a yield makes a generator
_MATTERS_UNREACHED = _DECLARING | node_types(
    "assignment yield await import_statement import_from_statement global_statement nonlocal_statement "
    "function_definition variable_declaration augmented_assignment for_statement with_statement named_expression"
)


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
    before = smell.margin(inside[0])
    inner_nodes = [node for node in body.named_children if node.type not in BLOCKS]
    if len(before) < len(margin) or any(node.is_extra for node in inner_nodes):
        return []
    dedented = b""
    for node in inside:
        if smell.margin(node) != before:
            return []
        ends = smell.data[node.end_byte : node.end_byte + 1] == b";"
        dedented += b"\n" + margin + smell.shifted(node, len(before) - len(margin)) + b";" * ends
    return [(first.end_byte, if_node.end_byte, dedented)]


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


def _mutable_default(smell: SmellInstance) -> list[Edit]:
    parameter = smell.outermost("default_parameter", "typed_default_parameter")
    value, name = part(parameter, "value"), smell.text(part(parameter, "name"))
    inside = [node for node in part(smell.enclosing("function_definition"), "body").named_children if not node.is_extra]
    if inside and inside[0].type == "expression_statement":
        has_docstring = [node.type for node in inside[0].named_children] == ["string"]
        inside = inside[1:] if has_docstring else inside
    if not inside or b"\n" in smell.text(value):
        return []
    margin = smell.margin(inside[0])
    guard = b"if %s is None:\n%s    %s = %s\n%s" % (name, margin, name, smell.text(value), margin)
    edits = [replaced(value, b"None"), inserted(inside[0].start_byte, guard)]
    kind = child(parameter, "type")
    if kind is not None and b"None" not in smell.text(kind) and b"Optional" not in smell.text(kind):
        edits.append(inserted(kind.end_byte, b" | None"))
    return edits


def _operator(comparison: Node) -> Node:
    operators = comparison.children_by_field_name("operators")
    if len(operators) != 1:
        raise NotFixableError
    return operators[0]


def _none_by_equality(smell: SmellInstance) -> list[Edit]:
    operator = _operator(smell.outermost("comparison_operator"))
    return [replaced(operator, b"is" if operator.type == "==" else b"is not")]


def _negated_operator(smell: SmellInstance) -> list[Edit]:
    negation = smell.outermost("not_operator")
    comparison = part(negation, "argument")
    operator = _operator(comparison)
    if operator.type not in ("in", "is"):
        return []
    better = b"not in" if operator.type == "in" else b"is not"
    return [(negation.start_byte, comparison.start_byte, b""), replaced(operator, better)]


def _bare_except(smell: SmellInstance) -> list[Edit]:
    return [inserted(smell.outermost("except_clause").children[0].end_byte, b" Exception")]


def _unsafe_yaml(smell: SmellInstance) -> list[Edit]:
    call = smell.outermost("call")
    callee = part(call, "function")
    positional = [argument for argument in part(call, "arguments").named_children if not argument.is_extra]
    loaders = [argument for argument in positional[1:] if "Loader" in text(argument)]
    if text(callee) not in ("yaml.load", "yaml.load_all"):
        return []
    if not positional or len(loaders) != len(positional) - 1 or positional[0].type == "keyword_argument":
        return []
    edits = [replaced(callee, smell.text(callee).replace(b".load", b".safe_load"))]
    if loaders:
        edits.append((positional[0].end_byte, positional[-1].end_byte, b""))
    return edits


def _flag_argument(name: str) -> Fixer:
    def fix(smell: SmellInstance) -> list[Edit]:
        arguments = part(smell.outermost("call"), "arguments").named_children
        for number, argument in enumerate(arguments):
            if argument.type == "keyword_argument" and text(child(argument, "name")) == name:
                if number:
                    return [(arguments[number - 1].end_byte, argument.end_byte, b"")]
                after = arguments[1].start_byte if len(arguments) > 1 else argument.end_byte
                return [(argument.start_byte, after, b"")]
        return []

    return fix


def _range_len(smell: SmellInstance) -> list[Edit]:
    loop, function = smell.enclosing("for_statement"), smell.enclosing("function_definition")
    index, over, body = part(loop, "left"), part(loop, "right"), part(loop, "body")
    sequence = smell.text(over).replace(b" ", b"")[10:-2]
    access = b"%s[%s]" % (sequence, index.text or b"")
    accesses = [node for node in descendants(body, {"subscript"}) if smell.text(node).replace(b" ", b"") == access]
    names = [identifier.text for identifier in descendants(function, {"identifier"})]
    # no use elsewhere, no element replaced, and the list is left alone
    if names.count(index.text) != len(accesses) + 1 or any(_is_changed(node) for node in accesses):
        return []
    if re.search(rb"(?<![\w.])%s\b(?!\[)" % re.escape(sequence), smell.text(body)):
        return []
    plural = sequence.rpartition(b".")[2]
    candidates = [plural[:-1]] if re.fullmatch(rb"[a-z_]{3,}[^s]s", plural) else []
    name = next((name for name in [*candidates, b"item", b"element"] if name not in names), None)
    if name is None:
        return []
    return [replaced(index, name), replaced(over, sequence), *(replaced(node, name) for node in accesses)]


def _is_changed(element: Node) -> bool:
    outer = element.parent
    if outer is None or outer.type == "delete_statement":
        return True
    target = outer.type in ("assignment", "augmented_assignment", "pattern_list", "tuple_pattern")
    return target and child(outer, "right") != element


def _concatenation(smell: SmellInstance) -> list[Edit]:
    added, loop = smell.outermost("augmented_assignment"), smell.enclosing("for_statement", "while_statement")
    name, value, before = part(added, "left"), part(added, "right"), loop.prev_named_sibling
    start = before.named_children[0] if before is not None and before.named_children else None
    if start is None or start.type != "assignment" or child(start, "type") is not None:
        return []
    target, first = part(start, "left"), part(start, "right")
    block, margin = loop.parent, smell.margin(loop)
    if block is None or block.type not in ("block", "module") or loop.children[-1].type == "else_clause":
        return []
    uses = [identifier for identifier in descendants(loop, {"identifier"}) if identifier.text == name.text]
    function = smell.enclosing("function_definition")
    names = {identifier.text for identifier in descendants(function, {"identifier"})}
    if text(target) != text(name) or len(uses) != 1 or b"parts" in names:
        return []
    if first.type != "string" or not smell.text(first).startswith((b"'", b'"')):  # bytes cannot be joined so
        return []
    return [
        replaced(target, b"parts"),
        replaced(first, b"[%s]" % (b"" if len(smell.text(first)) == 2 else smell.text(first))),
        (added.start_byte, value.start_byte, b"parts.append("),
        inserted(value.end_byte, b")"),
        inserted(loop.end_byte, b'\n%s%s = "".join(parts)' % (margin, smell.text(name))),
    ]


PYTHON_FIXERS: dict[str, tuple[Fixer, str]] = {
    "mutable-default": (_mutable_default, "Each call gets a default of its own."),
    "none-by-equality": (_none_by_equality, "None is asked for by identity."),
    "negated-operator": (_negated_operator, "The operator itself is negated."),
    "bare-except": (_bare_except, "What asks the program to stop is let through."),
    "unsafe-yaml": (_unsafe_yaml, "Only plain data is loaded."),
    "disabled-tls-verification": (_flag_argument("verify"), "The certificate is checked."),
    "debug-mode": (_flag_argument("debug"), "The debugger is off."),
    "range-len-loop": (_range_len, "The loop goes through the elements themselves."),
    "string-concat-in-loop": (_concatenation, "The pieces are joined once, behind the loop."),
}
FIXERS: dict[str, tuple[Fixer, str]] = {
    **PYTHON_FIXERS,
    "else-after-return": (_else_after_return, "What followed in the else follows by itself."),
    "collapsible-if": (_collapsible, "Both are asked for at once."),
    "redundant-boolean": (_redundant_boolean, "The condition itself is handed on."),
    "commented-out-code": (_commented_out, "It is gone; version control has it."),
    "dead-code": (_dead_code, "It is gone; nothing ran it."),
    "loose-equality": (_typeof, "Nothing is converted."),
    "string-identity": (_string_identity, "What they say is compared."),
}
