"""Decorators of TypeScript classes and members."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.syntax import first_named_child, positional, string_value, text


def class_decorators(node: Node) -> list[Node]:
    """The decorators of a class; before ``export`` they belong to the statement around it."""
    decorators = [child for child in node.children if child.type == "decorator"]
    outer = node.parent
    if outer is not None and outer.type == "export_statement":
        decorators = [child for child in outer.children if child.type == "decorator"] + decorators
    return decorators


def decorated_members(node: Node) -> Iterator[tuple[Node, list[Node]]]:
    """The members of a class with their decorators, which the grammar puts before or inside."""
    body = node.child_by_field_name("body")
    pending: list[Node] = []
    for child in body.named_children if body is not None else ():
        if child.type == "decorator":
            pending.append(child)
        elif child.type != "comment":
            inner = [part for part in child.children if part.type == "decorator"]
            yield child, pending + inner
            pending = []


def decorator_name(decorator: Node) -> str:
    inner = first_named_child(decorator)
    called = inner.child_by_field_name("function") if inner is not None else None
    return text(called or inner).rsplit(".", 1)[-1]


def decorator_arguments(decorator: Node) -> list[Node]:
    inner = first_named_child(decorator)
    if inner is None or inner.type != "call_expression":
        return []
    return positional(inner.child_by_field_name("arguments"))


def option(node: Node | None, *names: str) -> Node | None:
    """Value under the first of some keys in an object literal."""
    for pair in node.named_children if node is not None and node.type == "object" else ():
        if pair.type == "pair":
            key = pair.child_by_field_name("key")
            if (string_value(key) or text(key)) in names:
                return pair.child_by_field_name("value")
    return None
