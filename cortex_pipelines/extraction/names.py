"""Names that a definition introduces."""

import re
from functools import cache

from tree_sitter import Node

from cortex_pipelines.extraction.outline import Definition
from cortex_pipelines.extraction.settings import ExtractionSettings

DECLARATIONS = frozenset({"variable", "constant"})
"""Kinds whose definitions may introduce several names."""


@cache
def constants(names: str) -> re.Pattern[str] | None:
    """Names that are constants by their spelling; None where spelling does not decide."""
    return re.compile(names) if names else None


def names_of(
    data: bytes, definition: Definition, settings: ExtractionSettings
) -> list[tuple[str, Node]]:
    """Names of a definition with their nodes; several only for declarations of normal size."""
    nodes = definition.pieces.get("name")
    if nodes is None:
        return []
    declares = definition.kind in DECLARATIONS
    if declares:
        # a pattern of the query may find one name twice
        declared = {identifier.id: identifier for node in nodes for identifier in _declared(node)}
        nodes = list(declared.values())
    if len(nodes) == 1:
        last = definition.first("name_end")
        if last is None:
            title = definition.settings.get("name")
            return [(title or text_of(data, nodes[0]), nodes[0])]
        text = data[nodes[0].start_byte : last.end_byte].decode(errors="replace")
        return [("".join(text.split()), nodes[0])]
    names = [(text_of(data, node), node) for node in nodes]
    size = definition.node.end_byte - definition.node.start_byte
    if not names or (declares and len(names) * size <= settings.max_repeated_bytes):
        return names
    return [(", ".join(name for name, _ in names), nodes[0])]


def _declared(name: Node) -> list[Node]:
    """Names bound by a destructuring pattern, without keys and default values."""
    if "pattern" not in name.type:
        return [name]
    inside, names = [name], []
    while inside:
        node = inside.pop()
        if "identifier" in node.type:
            names.append(node)
        elif "pattern" in node.type:
            others = [
                part for name in ("key", "right") for part in node.children_by_field_name(name)
            ]
            beside = {other.id for other in others}
            inside += [child for child in node.children if child.id not in beside][::-1]
    return names


def text_of(data: bytes, node: Node) -> str:
    """Text of a name: unquoted, with white space collapsed."""
    text = data[node.start_byte : node.end_byte].decode(errors="replace")
    if text.isidentifier():
        return text
    text = " ".join(text.split())
    return text[1:-1] if text[:1] in ("'", '"', "`") else text
