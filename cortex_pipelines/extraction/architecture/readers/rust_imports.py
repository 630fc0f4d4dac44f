"""Read modules and imports of Rust."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import IMPORT, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import enclosing, first_line, last_line, name_of, text

_MAX_LEVELS = 32


def applies_to(file: SourceFile) -> bool:
    return file.language == "rust"


def facts(file: SourceFile) -> Iterator[Fact]:
    """Submodules declared by ``mod``, and one import per path in a ``use``."""
    inline = set()
    for node in file.nodes("mod"):
        if node.child_by_field_name("body") is None:
            yield _fact(node, "declares", "self::" + name_of(node), node)
        else:
            inline.add(name_of(node))
    for node in file.nodes("import"):
        if node.type == "extern_crate_declaration":
            yield _fact(node, "imports", "::" + name_of(node), node)
        else:
            for path, leaf in _paths(node.child_by_field_name("argument"), "", 0):
                if path.split("::")[0] not in inline:
                    yield _fact(leaf, "imports", path, node)


def _fact(node: Node, relation: str, path: str, statement: Node) -> Fact:
    inner = []
    outer = enclosing(statement, "mod_item")
    while outer is not None:
        inner.append(name_of(outer))
        outer = enclosing(outer, "mod_item")
    return Fact(
        first_line(node), last_line(node), IMPORT, "", relation, path, "rust",
        detail=detail(inside=inner[::-1]),
    )  # fmt: skip


def _paths(node: Node | None, prefix: str, level: int) -> Iterator[tuple[str, Node]]:
    if node is None or level > _MAX_LEVELS:
        return
    if node.type == "use_as_clause":
        yield from _paths(node.child_by_field_name("path"), prefix, level + 1)
    elif node.type == "use_list":
        for child in node.named_children:
            yield from _paths(child, prefix, level + 1)
    elif node.type == "scoped_use_list":
        path = prefix + "".join(text(node.child_by_field_name("path")).split())
        yield from _paths(node.child_by_field_name("list"), path + "::", level + 1)
    elif node.type == "use_wildcard":
        children = node.named_children
        yield prefix + ("".join(text(children[0]).split()) if children else "") + "::*", node
    elif node.type in ("identifier", "scoped_identifier", "crate", "self", "super"):
        path = "".join(text(node).split())
        yield (prefix.removesuffix("::") if path == "self" and prefix else prefix + path), node
