"""Read imports of Python."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import IMPORT, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, text


def applies_to(file: SourceFile) -> bool:
    return file.language == "python"


def facts(file: SourceFile) -> Iterator[Fact]:
    """One import per module: its dotted name, with leading dots if relative."""
    for node in file.nodes("import"):
        module = node.child_by_field_name("module_name")
        name_nodes = node.children_by_field_name("name")
        if module is not None:
            names = [_pair(name) for name in name_nodes] or [("*", "*")]
            yield _fact(node, "".join(text(module).split()), names)
        else:
            for name in name_nodes:
                dotted, alias = _pair(name)
                local = alias if alias != dotted else dotted.split(".")[0]
                yield _fact(node, dotted, [("", local)])


def _pair(name: Node) -> tuple[str, str]:
    if name.type == "aliased_import":
        return text(name.child_by_field_name("name")), text(name.child_by_field_name("alias"))
    return text(name), text(name)


def _fact(node: Node, module: str, names: list[tuple[str, str]]) -> Fact:
    return Fact(
        first_line(node), last_line(node), IMPORT, "", "imports", module, "python",
        detail=detail(names=names),
    )  # fmt: skip
