"""Read Java entities: JPA and Spring Data documents and tables."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.annotations import annotations, element, members, texts
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, name_of, text
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_LINKS = ("ManyToOne", "OneToOne", "OneToMany", "ManyToMany", "DBRef")
_KINDS = {"Entity": "jpa", "MappedSuperclass": "jpa", "Document": "spring-data-mongodb",
          "Table": "spring-data-jdbc"}  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    return file.language == "java" and any(f"@{name}" in file.text for name in _KINDS)


def facts(file: SourceFile) -> Iterator[Fact]:
    """A table for each entity, with its columns."""
    for node in file.nodes("class"):
        annotated = annotations(node)
        technology = next((kind for name, kind in _KINDS.items() if name in annotated), None)
        if technology is None:
            continue
        table_names = texts(element(annotated.get("Table"), "name", "value")) or texts(
            element(annotated.get("Document"), "collection", "value")
        )
        model = name_of(node)
        columns = list(_columns(node))
        comment = file.comment_above(first_line(node))
        name = table_names[0] if table_names and table_names[0] else model
        yield from table_facts(
            TableDefinition(name, "model", technology, first_line(node), last_line(node), columns, comment, model)
        )


def _columns(node: Node) -> Iterator[ColumnDefinition]:
    for member in members(node, "field_declaration"):
        annotated = annotations(member)
        words = text(next((c for c in member.children if c.type == "modifiers"), None)).split()
        if "static" in words or "transient" in words or "Transient" in annotated:
            continue
        kind = text(member.child_by_field_name("type"))
        declarator = member.child_by_field_name("declarator")
        column_names = texts(element(annotated.get("Column") or annotated.get("JoinColumn"), "name"))
        link = kind.rsplit("<", 1)[-1].split(",")[-1].strip("> ") if _linked(annotated) else ""
        yield ColumnDefinition(
            column_names[0] if column_names else name_of(declarator), kind, first_line(member), last_line(member), link
        )


def _linked(annotated: dict[str, Node]) -> bool:
    return any(name in annotated for name in _LINKS)
