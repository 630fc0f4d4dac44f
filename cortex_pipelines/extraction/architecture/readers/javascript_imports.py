"""Read imports, re-exports, ``require`` and dynamic imports of JavaScript and TypeScript."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import IMPORT, Fact, detail
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, positional, string_value, text


def applies_to(file: SourceFile) -> bool:
    return file.language in ("javascript", "typescript")


def facts(file: SourceFile) -> Iterator[Fact]:
    """One import per module, with its local names."""
    for node in file.nodes("import"):
        module = _module(node)
        if module:
            yield Fact(
                first_line(node), last_line(node), IMPORT, "", "imports", module, file.language,
                detail=detail(names=_names(node)),
            )  # fmt: skip


def _module(node: Node) -> str | None:
    if node.type == "call_expression":
        arguments = positional(node.child_by_field_name("arguments"))
        return string_value(arguments[0]) if arguments else None
    source = node.child_by_field_name("source")
    return string_value(source or next((c for c in node.children if c.type == "string"), None))


def _names(node: Node) -> list[tuple[str, str]]:
    """Pairs of exported and local name; ``default`` and ``*`` as in the language."""
    if node.type == "call_expression":
        return _required_names(node)
    names: list[tuple[str, str]] = []
    clause = next((c for c in node.named_children if c.type.endswith("clause")), None)
    for part in clause.named_children if clause is not None else ():
        if part.type == "identifier":
            names.append(("default", text(part)))
        elif part.type == "namespace_import":
            names += [("*", text(name)) for name in part.named_children[-1:]]
        for name in part.named_children if part.type == "named_imports" else ():
            names.append(_pair(name))
    return names


def _pair(name: Node) -> tuple[str, str]:
    exported = text(name.child_by_field_name("name"))
    return exported, text(name.child_by_field_name("alias")) or exported


def _required_names(node: Node) -> list[tuple[str, str]]:
    outer, member = node.parent, ""
    if outer is not None and outer.type == "member_expression":  # require("./m").member
        member, outer = text(outer.child_by_field_name("property")), outer.parent
    if outer is None or outer.type != "variable_declarator":
        return []
    name = outer.child_by_field_name("name")
    if name is not None and name.type == "object_pattern":
        # names in a member are not names of the module
        return [] if member else [_destructured(part) for part in name.named_children]
    return [(member or "default", text(name))]


def _destructured(part: Node) -> tuple[str, str]:
    if part.type == "pair_pattern":
        return text(part.child_by_field_name("key")), text(part.child_by_field_name("value"))
    if part.type == "object_assignment_pattern":
        part = part.child_by_field_name("left") or part
    return text(part), text(part)
