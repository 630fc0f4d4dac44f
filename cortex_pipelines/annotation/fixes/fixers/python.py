import re

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.nodes import child, descendants, text
from cortex_pipelines.annotation.fixes.fixer import Edit, Fixer, SmellInstance

_SCOPES = frozenset({"function_definition", "lambda", "class_definition"})


def _mutable_default(smell: SmellInstance) -> list[Edit] | None:
    parameter = smell.outermost("default_parameter", "typed_default_parameter")
    function = smell.enclosing("function_definition")
    if parameter is None or function is None:
        return None
    body, value, name = child(function, "body"), child(parameter, "value"), child(parameter, "name")
    if body is None or value is None or name is None:
        return None
    first = _after_docstring(body)
    margin = smell.margin(first) if first is not None else None
    if first is None or margin is None:
        return None
    guard = b"if %s is None:\n%s    %s = %s\n%s" % (
        smell.text(name),
        margin,
        smell.text(name),
        smell.text(value),
        margin,
    )
    edits: list[Edit] = [(value.start_byte, value.end_byte, b"None"), (first.start_byte, first.start_byte, guard)]
    kind = child(parameter, "type")
    if kind is not None and b"None" not in smell.text(kind) and b"Optional" not in smell.text(kind):
        edits.append((kind.end_byte, kind.end_byte, b" | None"))
    return edits if b"\n" not in smell.text(value) else None


def _after_docstring(body: Node) -> Node | None:
    inside = [statement for statement in body.named_children if not statement.is_extra]
    if inside and inside[0].type == "expression_statement":
        documented = [statement.type for statement in inside[0].named_children] == ["string"]
        inside = inside[1:] if documented else inside
    return inside[0] if inside else None


def _none_by_equality(smell: SmellInstance) -> list[Edit] | None:
    comparison = smell.outermost("comparison_operator")
    operators = comparison.children_by_field_name("operators") if comparison is not None else []
    if len(operators) != 1:
        return None
    better = b"is" if operators[0].type == "==" else b"is not"
    return [(operators[0].start_byte, operators[0].end_byte, better)]


def _negated_operator(smell: SmellInstance) -> list[Edit] | None:
    negation = smell.outermost("not_operator")
    comparison = child(negation, "argument") if negation is not None else None
    operators = comparison.children_by_field_name("operators") if comparison is not None else []
    if negation is None or comparison is None or len(operators) != 1:
        return None
    better = {"in": b"not in", "is": b"is not"}.get(operators[0].type)
    if better is None:
        return None
    return [(negation.start_byte, comparison.start_byte, b""), (operators[0].start_byte, operators[0].end_byte, better)]


def _bare_except(smell: SmellInstance) -> list[Edit] | None:
    clause = smell.outermost("except_clause")
    word = clause.children[0] if clause is not None else None
    return [(word.end_byte, word.end_byte, b" Exception")] if word is not None else None


def _unsafe_yaml(smell: SmellInstance) -> list[Edit] | None:
    call = smell.outermost("call")
    callee = child(call, "function") if call is not None else None
    arguments = child(call, "arguments") if call is not None else None
    if callee is None or arguments is None or text(callee) not in ("yaml.load", "yaml.load_all"):
        return None
    positional = [argument for argument in arguments.named_children if not argument.is_extra]
    loaders = [argument for argument in positional[1:] if "Loader" in text(argument)]
    if not positional or len(loaders) != len(positional) - 1 or positional[0].type == "keyword_argument":
        return None
    better = smell.text(callee).replace(b".load", b".safe_load")
    edits = [(callee.start_byte, callee.end_byte, better)]
    if loaders:
        edits.append((positional[0].end_byte, positional[-1].end_byte, b""))
    return edits


def _flag_argument(name: str) -> Fixer:
    def fix(smell: SmellInstance) -> list[Edit] | None:
        call = smell.outermost("call")
        arguments = child(call, "arguments") if call is not None else None
        arguments_given = arguments.named_children if arguments is not None else []
        for number, argument in enumerate(arguments_given):
            if argument.type == "keyword_argument" and text(child(argument, "name")) == name:
                if number:
                    return [(arguments_given[number - 1].end_byte, argument.end_byte, b"")]
                after = arguments_given[1].start_byte if len(arguments_given) > 1 else argument.end_byte
                return [(argument.start_byte, after, b"")]
        return None

    return fix


def _range_len(smell: SmellInstance) -> list[Edit] | None:
    loop, function = smell.enclosing("for_statement"), smell.enclosing("function_definition")
    if loop is None or function is None:
        return None
    index, over, body = child(loop, "left"), child(loop, "right"), child(loop, "body")
    if index is None or over is None or body is None:
        return None
    sequence = smell.text(over).replace(b" ", b"")[10:-2]
    element_accesses = [
        node
        for node in descendants(body, {"subscript"})
        if smell.text(node).replace(b" ", b"") == b"%s[%s]" % (sequence, index.text or b"")
    ]
    uses = [node for node in descendants(function, {"identifier"}) if node.text == index.text]
    # no use elsewhere, no element replaced, and the list is left alone
    if len(uses) != len(element_accesses) + 1 or any(_is_changed(node) for node in element_accesses):
        return None
    if re.search(rb"(?<![\w.])%s\b(?!\[)" % re.escape(sequence), smell.text(body)):
        return None
    name = _element_name(sequence, function)
    if name is None:
        return None
    edits = [(index.start_byte, index.end_byte, name), (over.start_byte, over.end_byte, sequence)]
    return edits + [(node.start_byte, node.end_byte, name) for node in element_accesses]


def _is_changed(element: Node) -> bool:
    outer = element.parent
    if outer is None or outer.type == "delete_statement":
        return True
    target = outer.type in ("assignment", "augmented_assignment", "pattern_list", "tuple_pattern")
    return target and child(outer, "right") != element


def _element_name(sequence: bytes, function: Node) -> bytes | None:
    plural = sequence.rpartition(b".")[2]
    used_names = {identifier.text for identifier in descendants(function, {"identifier"})}
    candidates = [plural[:-1]] if re.fullmatch(rb"[a-z_]{3,}[^s]s", plural) else []
    return next((name for name in [*candidates, b"item", b"element"] if name not in used_names), None)


def _concatenation(smell: SmellInstance) -> list[Edit] | None:
    added, loop = (smell.outermost("augmented_assignment"), smell.enclosing("for_statement", "while_statement"))
    if added is None or loop is None or loop.parent is None or added.parent is None:
        return None
    name, value = child(added, "left"), child(added, "right")
    block = loop.parent
    before = loop.prev_named_sibling
    start = before.named_children[0] if before is not None and before.named_children else None
    if name is None or value is None or start is None or start.type != "assignment":
        return None
    first, function = child(start, "right"), smell.enclosing("function_definition")
    if child(start, "left") is None or text(child(start, "left")) != text(name):
        return None
    uses = [identifier for identifier in descendants(loop, {"identifier"}) if identifier.text == name.text]
    used_names = {identifier.text for identifier in descendants(function, {"identifier"})} if function else {b"parts"}
    margin = smell.margin(loop)
    plain = first is not None and first.type == "string" and b"{" not in smell.text(first)
    if len(uses) != 1 or b"parts" in used_names or margin is None or not plain or first is None:
        return None
    if block.type not in ("block", "module") or child(start, "type") is not None:
        return None
    initial_parts = b"" if len(smell.text(first)) == 2 else smell.text(first)
    target = child(start, "left")
    if target is None or loop.children[-1].type == "else_clause":
        return None
    join_statement = b'\n%s%s = "".join(parts)' % (margin, smell.text(name))
    return [
        (target.start_byte, target.end_byte, b"parts"),
        (first.start_byte, first.end_byte, b"[%s]" % initial_parts),
        (added.start_byte, value.start_byte, b"parts.append("),
        (value.end_byte, value.end_byte, b")"),
        (loop.end_byte, loop.end_byte, join_statement),
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
