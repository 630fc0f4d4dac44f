"""Names of expressions: variables, attributes, keys and look-ups by name."""

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


def names_in(node: Node | None, data: bytes, depth: int = _DEPTH) -> Iterator[str]:
    """Names of an expression, target or key."""
    if node is None or not depth:
        return
    if node.type in STRINGS:
        text = text_of(node, data)
        if text and len(text) <= _LONGEST:
            yield text
    elif node.type in MEMBERS:
        yield _member(node, data)
    elif node.type in SUBSCRIPTS:
        yield from _subscript(node, data, depth)
    elif node.type in CALLS:
        yield from _looked_up(node, data, depth)
    elif not node.named_child_count or node.type == "private_property_identifier":
        yield _text(node, data)
    else:
        for child in node.named_children[:_BREADTH]:
            yield from names_in(child, data, depth - 1)


def target_names(target: Node | None, path: list[tuple[int, int]], data: bytes) -> Iterator[str]:
    """Names in the target of an assignment that a literal reaches."""
    while target is not None and target.type in PATTERNS and path:
        index, size = path[-1]
        if target.named_child_count != size:
            break
        target, path = target.named_children[index], path[:-1]
    yield from names_in(target, data)


def callee(call: Node, data: bytes) -> str:
    """The callee as written; a long expression by its last name."""
    node = call.child_by_field_name(CALLS[call.type])
    while node is not None and node.type in ("generic_function", "generic_type"):
        node = node.named_children[0]
    if node is None:
        return ""
    return _member(node, data) if node.type in MEMBERS else _text(node, data)


def arguments(call: Node) -> list[Node]:
    """The arguments of a call, in order."""
    node = call.child_by_field_name("arguments")
    return [child for child in node.named_children if not child.is_extra] if node else []


def unwrapped(node: Node, data: bytes) -> Node:
    """An expression without conversions: ``"password"`` of ``"password".to_string()``."""
    for _ in range(_DEPTH):
        if node.type in CALLS and callee(node, data).rpartition(".")[2].lower() in CONVERSIONS:
            inner = [*arguments(node)[:1], receiver(node)]
            inside = next((part for part in inner if part is not None), None)
        else:
            inside = node.named_children[0] if node.type in _WRAPPERS else None
        if inside is None:
            break
        node = inside
    return node


def receiver(call: Node) -> Node | None:
    """The receiver of a method call."""
    if call.type == "method_invocation":
        return call.child_by_field_name("object")
    function = call.child_by_field_name(CALLS[call.type])
    if function is None or function.type not in MEMBERS:
        return None
    return function.child_by_field_name(MEMBERS[function.type][0])


def _member(node: Node, data: bytes) -> str:
    """An attribute with its owner; the attribute alone if the owner is not a name."""
    full_text = _text(node, data)
    if len(full_text) <= _LONGEST and not set(full_text) & set("([{'\"` \n"):
        return full_text.replace("?.", ".").replace("::", ".").replace("#", "")
    return _text(node.child_by_field_name(MEMBERS[node.type][1]), data)


def _subscript(node: Node, data: bytes, depth: int) -> Iterator[str]:
    value, index = SUBSCRIPTS[node.type]
    key = node.child_by_field_name(index) or node.named_children[-1]
    if key.type in STRINGS or key.type in MEMBERS:
        yield from names_in(key, data, depth - 1)
    else:
        of = node.child_by_field_name(value) or node.named_children[0]
        yield from names_in(of, data, depth - 1)


def _looked_up(call: Node, data: bytes, depth: int) -> Iterator[str]:
    """Names of a look-up: its key, its callee and its converted argument."""
    inside = unwrapped(call, data)
    if inside != call:
        yield from names_in(inside, data, depth - 1)
        return
    yield callee(call, data)
    for argument in arguments(call)[:1]:
        if argument.type in STRINGS:
            yield from names_in(argument, data, depth - 1)
    yield from names_in(receiver(call), data, depth - 1)


def _text(node: Node | None, data: bytes) -> str:
    if node is None or node.end_byte - node.start_byte > _LONGEST:
        return ""
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace")


_OPENING = re.compile(rb"([A-Za-z]{0,3}#{0,255})(\"\"\"|'''|[\"'`])")
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(\r?\n)|(.))", re.DOTALL
)
_LINE = re.compile(r"[^\r\n]+")
_NAMED_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}
_MOST_LINES = 200


@dataclass(frozen=True)
class StringSegment:
    """Contents of a literal, or of it up to the next interpolation: byte span and value."""

    start: int
    end: int
    text: str
    is_raw: bool

    @property
    def value(self) -> str:
        """Value of the contents; several lines are joined without line ends and indentation."""
        return "".join(self._resolved(text) for _, text in self._lines())

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Byte span of each line that is not blank."""
        return [(start, start + len(text.encode("utf-8", "replace"))) for start, text in self._lines()]

    def _lines(self) -> Iterator[tuple[int, str]]:
        if "\n" not in self.text:
            yield self.start, self.text
            return
        for number, line in enumerate(_LINE.finditer(self.text)):
            text = line[0].rstrip("\\" if not self.is_raw else "").strip()
            if text and number < _MOST_LINES:
                before = self.text[: line.start()] + line[0][: line[0].index(text)]
                yield self.start + len(before.encode("utf-8", "replace")), text

    def _resolved(self, text: str) -> str:
        return text if self.is_raw or "\\" not in text else _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    braced, short, byte, octal, line, other = escape.groups()
    if braced or short or byte:
        number = int(braced or short or byte, 16)
        return chr(number) if number < 0x110000 else ""
    if octal:
        return chr(int(octal, 8))
    return "" if line else _NAMED_ESCAPES.get(other, other)


def segments_of(literal: Node, data: bytes) -> list[StringSegment]:
    """The contents of a literal, divided where code is interpolated."""
    opening = _OPENING.match(data, literal.start_byte, literal.end_byte)
    if opening is None:
        return []
    prefix, quote = opening.groups()
    end = literal.end_byte - len(quote) - prefix.count(b"#")
    is_raw = b"r" in prefix.lower() or literal.type == "raw_string_literal"
    holes = [node for node in literal.named_children if node.type in INTERPOLATIONS]
    starts = [opening.end(), *(hole.end_byte for hole in holes)]
    ends = [*(hole.start_byte for hole in holes), end]
    return [
        StringSegment(start, stop, data[start:stop].decode("utf-8", "replace"), is_raw)
        for start, stop in zip(starts, ends, strict=True)
        if start < stop
    ]


def text_of(literal: Node, data: bytes) -> str | None:
    """Value of a literal; None if code is interpolated."""
    segments = segments_of(literal, data)
    is_constant = len(segments) == 1 and not any(node.type in INTERPOLATIONS for node in literal.named_children)
    return segments[0].value if is_constant else None


_CONCATENATED = ("concatenated_string", "binary_operator", "binary_expression")
_INNER = roles.LISTS | {
    *_CONCATENATED,
    "parenthesized_expression",
    "literal_element",
    "composite_literal",
    "array_creation_expression",
    "token_tree",
}
_TYPES = ("slice_type", "array_type", "dimensions", "implicit_length_array_type")
_MOST = 400


def whole_value(literal: Node, data: bytes) -> tuple[Node, list[Node], bool]:
    """The expression around a literal, its literals, and whether it consists of literals alone."""
    top, node = literal, literal.parent
    while node is not None and _is_concatenation(node):
        top, node = node, node.parent
    list_join = _joined_list(top, data)
    if list_join is not None:
        top, call = list_join
    literals = list(_leaves(top))
    are_all = all(leaf.type in roles.STRINGS for leaf in literals) and len(literals) <= _MOST
    strings = [leaf for leaf in literals if leaf.type in roles.STRINGS]
    return (call if list_join is not None else top), strings, are_all


def _is_concatenation(node: Node) -> bool:
    if node.type == "parenthesized_expression":
        return node.parent is not None and _is_concatenation(node.parent)
    if node.type == "concatenated_string":
        return True
    return node.type in _CONCATENATED and any(part.type == "+" for part in node.children)


def _joined_list(element: Node, data: bytes) -> tuple[Node, Node] | None:
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
            verb = callee(call, data).rpartition(".")[2].lower()
            return (node, call) if inside and verb in roles.JOINS else None
        node = parent
    return None


def _leaves(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        part = stack.pop()
        if part.type in _INNER:
            children = [child for child in part.named_children if child.type not in _TYPES]
            stack += reversed([child for child in children if not child.is_extra])
        else:
            yield part
