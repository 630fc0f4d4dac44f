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


def defined_names(data: bytes, definition: Definition, settings: ExtractionSettings) -> list[tuple[str, Node]]:
    """Names of a definition with their nodes; several only for declarations of normal size."""
    nodes = definition.captures.get("name")
    if nodes is None:
        return []
    declares = definition.kind in DECLARATIONS
    if declares:
        # a pattern of the query may find one name twice
        declared = {identifier.id: identifier for node in nodes for identifier in _bound_names(node)}
        nodes = list(declared.values())
    if len(nodes) == 1:
        last = definition.first("name_end")
        if last is None:
            title = definition.settings.get("name")
            return [(title or name_text(data, nodes[0]), nodes[0])]
        text = data[nodes[0].start_byte : last.end_byte].decode(errors="replace")
        return [("".join(text.split()), nodes[0])]
    names = [(name_text(data, node), node) for node in nodes]
    size = definition.node.end_byte - definition.node.start_byte
    if not names or (declares and len(names) * size <= settings.max_repeated_bytes):
        return names
    return [(", ".join(name for name, _ in names), nodes[0])]


def _bound_names(name: Node) -> list[Node]:
    if "pattern" not in name.type:
        return [name]
    pending, names = [name], []
    while pending:
        node = pending.pop()
        if "identifier" in node.type:
            names.append(node)
        elif "pattern" in node.type:
            non_bindings = [part for name in ("key", "right") for part in node.children_by_field_name(name)]
            excluded_ids = {other.id for other in non_bindings}
            pending += [child for child in node.children if child.id not in excluded_ids][::-1]
    return names


def name_text(data: bytes, node: Node) -> str:
    text = data[node.start_byte : node.end_byte].decode(errors="replace")
    if text.isidentifier():
        return text
    text = " ".join(text.split())
    return text[1:-1] if text[:1] in ("'", '"', "`") else text
