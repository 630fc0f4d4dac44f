"""Names of expressions: variables, attributes, keys and look-ups by name."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.privacy.detect.code.roles import CALLS, CONVERSIONS, MEMBERS, PATTERNS, STRINGS, SUBSCRIPTS
from cortex_pipelines.privacy.detect.code.strings import text_of

_DEPTH, _BREADTH = 8, 12
_LONGEST = 120
_WRAPPERS = ("parenthesized_expression", "reference_expression", "non_null_expression")


def names_in(node: Node | None, data: bytes, depth: int = _DEPTH) -> Iterator[str]:
    """Names of an expression, target or key.

    Args:
        node: Its node.
        data: The text of the tree.
        depth: How many levels are followed.
    """
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
    """Names in the target of an assignment that a literal reaches.

    Args:
        target: Target of the assignment: a name or a pattern.
        path: Index and number of elements of the lists that the literal is in, outermost last.
        data: The text of the tree.
    """
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
