"""Annotations of Java declarations."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.syntax import string_value, text


def annotations(node: Node) -> dict[str, Node]:
    annotated: dict[str, Node] = {}
    for child in node.children:
        for modifier in child.children if child.type == "modifiers" else ():
            if modifier.type in ("annotation", "marker_annotation"):
                name = text(modifier.child_by_field_name("name")).rsplit(".", 1)[-1]
                annotated.setdefault(name, modifier)
    return annotated


def element(annotation: Node | None, *names: str) -> Node | None:
    """Value of the first element with one of the names; ``value`` also is the only argument."""
    arguments = annotation.child_by_field_name("arguments") if annotation is not None else None
    for child in arguments.named_children if arguments is not None else ():
        if child.type == "element_value_pair":
            if text(child.child_by_field_name("key")) in names:
                return child.child_by_field_name("value")
        elif "value" in names and "comment" not in child.type:
            return child
    return None


def texts(value: Node | None) -> list[str]:
    """Strings of an element: one, several, or a constant's name in braces."""
    if value is None:
        return []
    if value.type == "element_value_array_initializer":
        return [inner for child in value.named_children for inner in texts(child)]
    literal = string_value(value)
    return [literal if literal is not None else "{" + text(value) + "}"]


def members(node: Node, *types: str) -> Iterator[Node]:
    body = node.child_by_field_name("body")
    for child in body.named_children if body is not None else ():
        if child.type in types:
            yield child
