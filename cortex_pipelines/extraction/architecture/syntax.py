"""Queries on syntax trees that several languages share."""

import re

from tree_sitter import Node

_STRINGS = frozenset(
    {"string", "template_string", "string_literal", "interpreted_string_literal"}
    | {"raw_string_literal", "concatenated_string", "text_block"}
)
_INTERPOLATIONS = frozenset({"interpolation", "template_substitution", "string_interpolation"})
_MAX_NESTING = 8
_MAX_LEVELS = 64
_MAX_NAME_BYTES = 200
_MAJOR_VERSION = re.compile(r"(?<=[^/])[./]v\d+$")


def text(node: Node | None) -> str:
    return node.text.decode("utf-8", "replace") if node is not None and node.text is not None else ""


def child(node: Node | None, field: str) -> Node | None:
    return node.child_by_field_name(field) if node is not None else None


def child_text(node: Node | None, field: str) -> str:
    return text(child(node, field))


def name_of(node: Node | None) -> str:
    return child_text(node, "name")


def named_children(node: Node | None) -> list[Node]:
    return node.named_children if node is not None else []


def first_named_child(node: Node | None) -> Node | None:
    return next(iter(named_children(node)), None)


def first_line(node: Node) -> int:
    return node.start_point[0] + 1


def last_line(node: Node) -> int:
    """Last line of a node that is not blank, from 1."""
    row, column = node.end_point
    return row + 1 if column or row == node.start_point[0] else row


def lines_of(node: Node) -> tuple[int, int]:
    """First and last line of a node, from 1, inclusive."""
    return first_line(node), last_line(node)


def head_end(node: Node) -> int:
    """Last line of a definition's head: where its body begins, or its end without a body."""
    body = node.child_by_field_name("body")
    if body is None:
        return last_line(node)
    before = body.prev_sibling
    return last_line(before) if before is not None else first_line(body)


def string_value(node: Node | None, depth: int = 0) -> str | None:
    """Text of a string literal, interpolations in braces; None for another node."""
    if node is None or depth >= _MAX_NESTING:
        return None
    if node.type == "parenthesized_expression" and node.named_child_count == 1:
        return string_value(first_named_child(node), depth + 1)
    if node.type in ("binary_expression", "binary_operator"):
        operands = (node.child_by_field_name("left"), node.child_by_field_name("right"))
        if child_text(node, "operator") != "+" or None in operands:
            return None
        values = [string_value(operand, depth + 1) for operand in operands]
        if values == [None, None]:
            return None
        pairs = zip(operands, values, strict=True)
        return "".join(f"{{{text(operand)}}}" if value is None else value for operand, value in pairs)
    if node.type not in _STRINGS:
        return None
    if node.type == "concatenated_string":
        return "".join(string_value(part, depth + 1) or "" for part in node.named_children)
    if node.type in ("raw_string_literal", "interpreted_string_literal"):
        raw = text(node)
        return raw[raw.find('"') + 1 : raw.rfind('"')] if '"' in raw else raw.strip("`")
    fragments = []
    for part in node.named_children:
        if part.type in _INTERPOLATIONS:
            fragments.append("{" + text(first_named_child(part)) + "}")
        elif part.type in ("string_content", "string_fragment", "multiline_string_fragment"):
            fragments.append(text(part))
        elif part.type == "escape_sequence":
            fragments.append(text(part)[1:])
    return "".join(fragments)


def string_or_name(node: Node | None) -> str:
    """Text of a string literal, or another expression in braces; empty without one."""
    value = string_value(node)
    return value if value is not None else "{" + text(node) + "}" if node is not None else ""


def strings_in(node: Node | None) -> list[str]:
    """All strings directly in a list, tuple, set or array; or the string itself."""
    literal = string_value(node)
    if literal is not None:
        return [literal]
    return [value for part in named_children(node) if (value := string_value(part)) is not None]


def positional(arguments: Node | None) -> list[Node]:
    skipped = ("keyword_argument", "comment", "line_comment", "block_comment", "dictionary_splat")
    return [argument for argument in named_children(arguments) if argument.type not in skipped]


def arguments_of(call: Node | None) -> list[Node]:
    return positional(child(call, "arguments"))


def keyword(arguments: Node | None, *names: str) -> Node | None:
    """Value of the first keyword argument with one of the names (Python)."""
    for argument in named_children(arguments):
        if argument.type == "keyword_argument" and name_of(argument) in names:
            return argument.child_by_field_name("value")
    return None


def enclosing(node: Node, *types: str) -> Node | None:
    """The innermost enclosing node of one of the types, up to a bound."""
    ancestor = node.parent
    for _ in range(_MAX_LEVELS):  # finding a parent costs its depth
        if ancestor is None or ancestor.type in types:
            return ancestor
        ancestor = ancestor.parent
    return None


def top_of_chain(node: Node, links: frozenset[str], tops: dict[int, Node]) -> Node:
    """The outermost call of a chain ``a.b().c()``, whose nodes have the types of ``links``.

    Finding a parent costs its depth, so ``tops`` holds the results so far in the same tree.
    """
    links_visited = []
    while node.id not in tops:
        links_visited.append(node.id)
        outer = node.parent
        if outer is None or outer.type not in links:
            tops[node.id] = node
        else:
            node = outer
    top = tops[node.id]
    tops.update(dict.fromkeys(links_visited, top))
    return top


def short_text(node: Node | None) -> str:
    """Source text of a node; empty if it is too long to be a name."""
    return text(node) if node is not None and node.end_byte - node.start_byte <= _MAX_NAME_BYTES else ""


def package_names(path: str) -> list[str]:
    """What the package of a path in Go may be called: its end, or what its major version stands behind."""
    return [*dict.fromkeys(each.rpartition("/")[2] for each in (_MAJOR_VERSION.sub("", path), path))]
