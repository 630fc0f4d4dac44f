"""Literals, and names of expressions: variables, attributes, keys and look-ups by name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code import roles
from cortex_pipelines.privacy.detect.code.roles import (
    CALLS,
    CONVERSIONS,
    INTERPOLATIONS,
    MEMBERS,
    PATTERNS,
    STRINGS,
    SUBSCRIPTS,
)

_DEPTH, _BREADTH = 8, 12
_LONGEST = 120
_WRAPPERS = ("parenthesized_expression", "reference_expression", "non_null_expression")


def names_in(node: Node | None, text: str, depth: int = _DEPTH) -> Iterator[str]:
    """Names of an expression, target or key; ``depth`` levels of it are followed."""
    if node is None or not depth:
        return
    if node.type in STRINGS:
        segments = segments_of(node, text)
        is_constant = len(segments) == 1 and not any(child.type in INTERPOLATIONS for child in node.named_children)
        if is_constant and 0 < len(segments[0].value) <= _LONGEST:
            yield segments[0].value
    elif node.type in MEMBERS:
        yield _member(node, text)
    elif node.type in SUBSCRIPTS:
        value, index = SUBSCRIPTS[node.type]
        key = node.child_by_field_name(index) or node.named_children[-1]
        is_name = key.type in STRINGS or key.type in MEMBERS
        of = key if is_name else node.child_by_field_name(value) or node.named_children[0]
        yield from names_in(of, text, depth - 1)
    elif node.type in CALLS:  # a look-up: its converted argument, or its callee, its key and its owner
        inside = unwrapped(node, text)
        if inside != node:
            yield from names_in(inside, text, depth - 1)
            return
        yield callee(node, text)
        for argument in arguments(node)[:1]:
            if argument.type in STRINGS:
                yield from names_in(argument, text, depth - 1)
        yield from names_in(receiver(node), text, depth - 1)
    elif not node.named_child_count or node.type == "private_property_identifier":
        yield _text(node, text)
    else:
        for child in node.named_children[:_BREADTH]:
            yield from names_in(child, text, depth - 1)


def target_names(target: Node | None, path: list[tuple[int, int]], text: str) -> Iterator[str]:
    """Names in the target of an assignment, a name or a pattern, that a literal reaches.

    ``path`` is index and number of elements of the lists that the literal is in, outermost last.
    """
    while target is not None and target.type in PATTERNS and path:
        index, size = path[-1]
        if target.named_child_count != size:
            break
        target, path = target.named_children[index], path[:-1]
    yield from names_in(target, text)


def named_elements(values: list[Node], text: str) -> Iterator[str]:
    """The name of a setting in an annotation or call: ``name = "db.password"``."""
    for argument in values:
        name, *contents = argument.named_children or [argument]
        label = next(names_in(name, text), "") if argument.type in roles.NAMED else ""
        if contents and label.lower() in ("name", "env", "key"):
            yield from names_in(contents[0], text)


def annotated_names(annotation: Node, text: str) -> Iterator[str]:
    """Names of the field, parameter or method that an annotation, decorator or attribute is on."""
    parent = annotation.parent
    if parent is not None and parent.type == "modifiers":
        parent = parent.parent
    if parent is None:
        return
    if parent.type.endswith(("body", "_list")):
        follows: Node | None = annotation
        while follows is not None and follows.type in ("attribute_item", "decorator"):
            follows = follows.next_named_sibling
        parent = follows
    if parent is None:
        return
    for declaration in parent.children_by_field_name("declarator") or [parent]:
        yield from names_in(declaration.child_by_field_name("name"), text)


def member_names(member: Node, text: str) -> Iterator[str]:
    name = next(names_in(member.named_children[0], text), "")
    node = member.parent
    while node is not None and node.type in roles.CLASS_PARTS:
        node = node.parent
    if node is not None and node.type in roles.CLASSES:
        bases = node.child_by_field_name("superclasses")  # of Python
        if node.type.startswith("enum") or (bases is not None and b"Enum" in (bases.text or b"")):
            for owner in names_in(node.child_by_field_name("name"), text):
                yield f"{owner}.{name}"


def callee(call: Node, text: str) -> str:
    """The callee as written; a long expression by its last name."""
    node = call.child_by_field_name(CALLS[call.type])
    while node is not None and node.type in ("generic_function", "generic_type"):
        node = node.named_children[0]
    return _member(node, text) if node is not None and node.type in MEMBERS else _text(node, text)


def arguments(call: Node) -> list[Node]:
    node = call.child_by_field_name("arguments")
    return [child for child in node.named_children if not child.is_extra] if node else []


def unwrapped(node: Node, text: str) -> Node:
    """An expression without conversions: ``"password"`` of ``"password".to_string()``."""
    for _ in range(_DEPTH):
        inside: Node | None = None
        if node.type in CALLS and callee(node, text).rpartition(".")[2].lower() in CONVERSIONS:
            inside = next(iter(arguments(node)), None) or receiver(node)
        elif node.type in _WRAPPERS:
            inside = node.named_children[0]
        if inside is None:
            break
        node = inside
    return node


def receiver(call: Node) -> Node | None:
    if call.type == "method_invocation":
        return call.child_by_field_name("object")
    function = call.child_by_field_name(CALLS[call.type])
    if function is None or function.type not in MEMBERS:
        return None
    return function.child_by_field_name(MEMBERS[function.type][0])


def _member(node: Node, text: str) -> str:
    """An attribute with its owner; the attribute alone if the owner is not a name."""
    full_text = _text(node, text)
    if len(full_text) <= _LONGEST and not set(full_text) & set("([{'\"` \n"):
        return full_text.replace("?.", ".").replace("::", ".").replace("#", "")
    return _text(node.child_by_field_name(MEMBERS[node.type][1]), text)


def _text(node: Node | None, text: str) -> str:
    is_short = node is not None and node.end_byte - node.start_byte <= _LONGEST
    return text[node.start_byte : node.end_byte] if node is not None and is_short else ""


_OPENING = re.compile("([A-Za-z]{0,3}#{0,255})(\"\"\"|'''|[\"'`])")
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(\r?\n)|(.))", re.DOTALL
)
_LINE = re.compile(r"[^\r\n]+")
_NAMED_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}
_MOST_LINES = 200


@dataclass(frozen=True)
class StringSegment:
    """Contents of a literal, or of it up to the next interpolation, with the span of each line that is not blank.

    The lines of the value are joined without line ends and indentation.
    """

    start: int
    text: str
    value: str
    spans: list[tuple[int, int]]


def segments_of(literal: Node, text: str) -> list[StringSegment]:
    """The contents of a literal, divided where code is interpolated."""
    opening = _OPENING.match(text, literal.start_byte, literal.end_byte)
    if opening is None:
        return []
    prefix, quote = opening.groups()
    end = literal.end_byte - len(quote) - prefix.count("#")
    is_raw = "r" in prefix.lower() or literal.type == "raw_string_literal"
    holes = [node for node in literal.named_children if node.type in INTERPOLATIONS]
    starts = [opening.end(), *(hole.end_byte for hole in holes)]
    ends = [*(hole.start_byte for hole in holes), end]
    return [_segment(start, text[start:stop], is_raw) for start, stop in zip(starts, ends, strict=True) if start < stop]


def _segment(start: int, contents: str, is_raw: bool) -> StringSegment:
    if "\n" not in contents:
        lines = [(start, contents)]
    else:
        lines = []
        for number, match in enumerate(_LINE.finditer(contents)):
            line = match[0].rstrip("" if is_raw else "\\").strip()
            if line and number < _MOST_LINES:
                lines.append((start + match.start() + match[0].index(line), line))
    values = [line if is_raw or "\\" not in line else _ESCAPE.sub(_character, line) for _, line in lines]
    return StringSegment(start, contents, "".join(values), [(first, first + len(line)) for first, line in lines])


def _character(escape: re.Match[str]) -> str:
    braced, short, byte, octal, line, other = escape.groups()
    if braced or short or byte:
        number = int(braced or short or byte, 16)
        return chr(number) if number < 0x110000 else ""
    if octal:
        return chr(int(octal, 8))
    return "" if line else _NAMED_ESCAPES.get(other, other)


_CONCATENATED = ("concatenated_string", "binary_operator", "binary_expression")
_INNER = roles.LISTS | {
    *_CONCATENATED,
    *("parenthesized_expression", "literal_element", "composite_literal", "array_creation_expression", "token_tree"),
}
_TYPES = ("slice_type", "array_type", "dimensions", "implicit_length_array_type")
_MOST = 400


def whole_value(literal: Node, text: str) -> tuple[Node, list[Node], bool]:
    """The expression around a literal, its literals, and whether it consists of literals alone."""
    top, node = literal, literal.parent
    while node is not None and _is_concatenation(node):
        top, node = node, node.parent
    joined_list, call = _joined_list(top, text) or (top, top)
    leaves: list[Node] = []
    stack = [joined_list]
    while stack:
        part = stack.pop()
        if part.type in _INNER:
            children = [child for child in part.named_children if child.type not in _TYPES]
            stack += reversed([child for child in children if not child.is_extra])
        else:
            leaves.append(part)
    strings = [leaf for leaf in leaves if leaf.type in roles.STRINGS]
    return call, strings, len(strings) == len(leaves) <= _MOST


def _is_concatenation(node: Node) -> bool:
    if node.type == "parenthesized_expression":
        return node.parent is not None and _is_concatenation(node.parent)
    if node.type == "concatenated_string":
        return True
    return node.type in _CONCATENATED and any(part.type == "+" for part in node.children)


def _joined_list(element: Node, text: str) -> tuple[Node, Node] | None:
    """The list that an expression is an element of, and the call that joins its elements."""
    node = element.parent
    while node is not None and node.type in _INNER and node.type not in _CONCATENATED:
        parent = node.parent
        if parent is None:
            return None
        if parent.type == "macro_invocation":
            macro = parent.child_by_field_name("macro")
            return (node, parent) if macro and macro.text == b"concat" else None
        if parent.type in roles.ARGUMENTS or parent.type in roles.MEMBERS:
            call = parent.parent
        else:
            call = parent if parent.type == "method_invocation" else None
        if call is not None and call.type in roles.CALLS:
            inside = parent.type in roles.ARGUMENTS or receiver(call) == node
            verb = callee(call, text).rpartition(".")[2].lower()
            return (node, call) if inside and verb in roles.JOINS else None
        node = parent
    return None
