import re

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import child, descendants, text
from cortex_pipelines.annotation.fixes.fixer import (
    Edit,
    Fixer,
    NotFixableError,
    SmellInstance,
    inserted,
    part,
    replaced,
)


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
    if first.type != "string" or b"{" in smell.text(first):
        return []
    return [
        replaced(target, b"parts"),
        replaced(first, b"[%s]" % (b"" if len(smell.text(first)) == 2 else smell.text(first))),
        (added.start_byte, value.start_byte, b"parts.append("),
        inserted(value.end_byte, b")"),
        inserted(loop.end_byte, b'\n%s%s = "".join(parts)' % (margin, smell.text(name))),
    ]


FIXERS: dict[str, tuple[Fixer, str]] = {
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
