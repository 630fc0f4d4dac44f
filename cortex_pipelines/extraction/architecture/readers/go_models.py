"""Read Go models: structs with tags of GORM, bun, xorm, sqlx or bson."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_line, first_named_child, last_line, name_of, text
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_TAGS = {"gorm": "gorm", "bun": "bun", "xorm": "xorm", "db": "sqlx", "bson": "mongodb"}
_TAG = re.compile(r'\b(gorm|bun|xorm|db|bson):"((?:[^"\\]|\\.)*)"')
_COLUMN = re.compile(r"(?:^|;)\s*column:\s*([\w.]+)", re.IGNORECASE)
_RETURNED_NAME = re.compile(r'return\s+["`]([^"`]+)["`]')


def applies_to(file: SourceFile) -> bool:
    return file.language == "go" and bool(_TAG.search(file.text) or "gorm.Model" in file.text)


def facts(file: SourceFile) -> Iterator[Fact]:
    """A table for each tagged struct, with its columns."""
    names = dict(_table_names(file))
    structs = {name_of(node) for node in file.nodes("struct")}
    for node in file.nodes("struct"):
        columns, technology = _columns(node, structs)
        model = name_of(node)
        if technology is None and model not in names:
            continue
        comment = file.comment_above(first_line(node))
        yield from table_facts(
            TableDefinition(
                names.get(model, model),
                "model",
                technology or "gorm",
                first_line(node),
                last_line(node),
                columns,
                comment,
                model,
            )
        )


def _table_names(file: SourceFile) -> Iterator[tuple[str, str]]:
    """`func (User) TableName() string { return "users" }`."""
    for node in file.nodes("tablename"):
        receiver = text(node.child_by_field_name("receiver"))
        match = _RETURNED_NAME.search(text(node.child_by_field_name("body")))
        if match:
            yield receiver.strip("()").split(" ")[-1].lstrip("*"), match[1]


def _columns(node: Node, structs: set[str]) -> tuple[list[ColumnDefinition], str | None]:
    body = node.child_by_field_name("type")
    fields = first_named_child(body) if body is not None else None
    columns: list[ColumnDefinition] = []
    technology = None
    for member in fields.named_children if fields is not None else ():
        if member.type != "field_declaration":
            continue
        match = _TAG.search(text(member.child_by_field_name("tag")))
        kind = text(member.child_by_field_name("type"))
        if match:
            technology = technology or _TAGS[match[1]]
        if kind == "gorm.Model" or (match and "gorm.Model" in text(member)):
            technology = "gorm"
        name = name_of(member) or kind.rsplit(".", 1)[-1]
        if match and match[2] != "-":
            name = _tag_column(match[1], match[2]) or name
        if match is None or match[2] != "-":
            target = kind.lstrip("[]*")
            link = target if target in structs else ""
            columns.append(ColumnDefinition(name, kind, first_line(member), last_line(member), link))
    return columns, technology


def _tag_column(kind: str, tag: str) -> str | None:
    if kind == "gorm":
        match = _COLUMN.search(tag)
        return match[1] if match else None
    return tag.split(",")[0].strip() or None if kind != "xorm" else None
