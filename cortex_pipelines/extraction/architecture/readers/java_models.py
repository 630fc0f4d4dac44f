"""Read Java entities: JPA and Spring Data documents and tables."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.annotations import (
    annotations,
    element,
    members,
    texts,
)
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, name_of, text
from cortex_pipelines.extraction.architecture.table import ColumnOf, TableOf, table_facts

_LINKS = ("ManyToOne", "OneToOne", "OneToMany", "ManyToMany", "DBRef")
_KINDS = {"Entity": "jpa", "MappedSuperclass": "jpa", "Document": "spring-data-mongodb",
          "Table": "spring-data-jdbc"}  # fmt: skip


def reads(file: SourceFile) -> bool:
    """Whether the file is Java with such an annotation."""
    return file.language == "java" and any(f"@{name}" in file.text for name in _KINDS)


def facts(file: SourceFile) -> Iterator[Fact]:
    """A table for each entity, with its columns."""
    for node in file.nodes("class"):
        marks = annotations(node)
        technology = next((kind for name, kind in _KINDS.items() if name in marks), None)
        if technology is None:
            continue
        named = texts(element(marks.get("Table"), "name", "value")) or texts(
            element(marks.get("Document"), "collection", "value")
        )
        model = name_of(node)
        columns = list(_columns(node))
        about = file.comment_above(first_line(node))
        name = named[0] if named and named[0] else model
        yield from table_facts(
            TableOf(name, "model", technology, first_line(node), last_line(node), columns, about,
                    model)
        )  # fmt: skip


def _columns(node: Node) -> Iterator[ColumnOf]:
    for member in members(node, "field_declaration"):
        marks = annotations(member)
        words = text(next((c for c in member.children if c.type == "modifiers"), None)).split()
        if "static" in words or "transient" in words or "Transient" in marks:
            continue
        kind = text(member.child_by_field_name("type"))
        declarator = member.child_by_field_name("declarator")
        own = texts(element(marks.get("Column") or marks.get("JoinColumn"), "name"))
        link = kind.rsplit("<", 1)[-1].split(",")[-1].strip("> ") if _linked(marks) else ""
        yield ColumnOf(own[0] if own else name_of(declarator), kind, first_line(member),
                       last_line(member), link)  # fmt: skip


def _linked(marks: dict[str, Node]) -> bool:
    return any(name in marks for name in _LINKS)
