"""Queries on syntax trees that several languages share."""

from collections.abc import Iterator

from tree_sitter import Node

_STRINGS = frozenset(
    {"string", "template_string", "string_literal", "interpreted_string_literal"}
    | {"raw_string_literal", "concatenated_string", "text_block"}
)
_INTERPOLATIONS = frozenset({"interpolation", "template_substitution", "string_interpolation"})
_MAX_NESTING = 8
_MAX_LEVELS = 64


def text(node: Node | None) -> str:
    if node is None or node.text is None:
        return ""
    return node.text.decode("utf-8", "replace")


def first_named_child(node: Node | None) -> Node | None:
    """The first named child; None without one, as in a tree around a syntax error."""
    return next(iter(node.named_children), None) if node is not None else None


def first_line(node: Node) -> int:
    return node.start_point[0] + 1


def last_line(node: Node) -> int:
    """Last line of a node that is not blank, from 1."""
    row, column = node.end_point
    return row + 1 if column or row == node.start_point[0] else row


def head_end(node: Node) -> int:
    """Last line of a definition's head: where its body begins, or its end without a body."""
    body = node.child_by_field_name("body")
    if body is None:
        return last_line(node)
    before = body.prev_sibling
    return last_line(before) if before is not None else first_line(body)


def string_value(node: Node | None) -> str | None:
    """Text of a string literal, interpolations in braces; None for another node."""
    return _string_text(node, _MAX_NESTING)


def _string_text(node: Node | None, max_depth: int) -> str | None:
    if node is None or not max_depth:
        return None
    if node.type == "parenthesized_expression" and node.named_child_count == 1:
        return _string_text(first_named_child(node), max_depth - 1)
    if node.type in ("binary_expression", "binary_operator"):
        return _concatenated(node, max_depth - 1)
    if node.type not in _STRINGS:
        return None
    if node.type == "concatenated_string":
        return "".join(_string_text(part, max_depth - 1) or "" for part in node.named_children)
    if node.type in ("raw_string_literal", "interpreted_string_literal"):
        raw = text(node)
        return raw[raw.find('"') + 1 : raw.rfind('"')] if '"' in raw else raw.strip("`")
    return "".join(_string_fragments(node))


def _concatenated(node: Node, max_depth: int) -> str | None:
    operands = (node.child_by_field_name("left"), node.child_by_field_name("right"))
    if text(node.child_by_field_name("operator")) != "+" or None in operands:
        return None
    values = [_string_text(operand, max_depth) for operand in operands]
    if values == [None, None]:
        return None
    return "".join(
        f"{{{text(operand)}}}" if value is None else value for operand, value in zip(operands, values, strict=True)
    )


def _string_fragments(node: Node) -> Iterator[str]:
    for child in node.named_children:
        if child.type in _INTERPOLATIONS:
            inner = child.named_children
            yield "{" + (text(inner[0]) if inner else "") + "}"
        elif child.type in ("string_content", "string_fragment", "multiline_string_fragment"):
            yield text(child)
        elif child.type == "escape_sequence":
            yield text(child)[1:]


def positional(arguments: Node | None) -> list[Node]:
    if arguments is None:
        return []
    skipped = ("keyword_argument", "comment", "line_comment", "block_comment", "dictionary_splat")
    return [child for child in arguments.named_children if child.type not in skipped]


def keyword(arguments: Node | None, *names: str) -> Node | None:
    """Value of the first keyword argument with one of the names (Python)."""
    for child in arguments.named_children if arguments is not None else ():
        if child.type == "keyword_argument" and text(child.child_by_field_name("name")) in names:
            return child.child_by_field_name("value")
    return None


def ancestors(node: Node) -> Iterator[Node]:
    """The nodes around a node, innermost first, up to a bound."""
    ancestor = node.parent
    for _ in range(_MAX_LEVELS):  # finding a parent costs its depth
        if ancestor is None:
            return
        yield ancestor
        ancestor = ancestor.parent


def top_of_chain(node: Node, links: frozenset[str], tops: dict[int, Node]) -> Node:
    """The outermost call of a chain ``a.b().c()`` that a call is part of.

    Args:
        node: A call.
        links: Types of the nodes that make a chain.
        tops: Results so far in the same tree: finding a parent costs its depth, so each link of a
            chain is visited once.
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


def short_text(node: Node | None, max_bytes: int = 200) -> str:
    """Source text of a node; empty if it is too long to be a name."""
    fits = node is not None and node.end_byte - node.start_byte <= max_bytes
    return text(node) if fits else ""


def enclosing(node: Node, *types: str) -> Node | None:
    return next((outer for outer in ancestors(node) if outer.type in types), None)


def name_of(node: Node | None) -> str:
    return text(node.child_by_field_name("name")) if node is not None else ""


def strings_in(node: Node | None) -> list[str]:
    """All strings directly in a list, tuple, set or array; or the string itself."""
    if node is None:
        return []
    literal = string_value(node)
    if literal is not None:
        return [literal]
    return [value for child in node.named_children if (value := string_value(child)) is not None]
