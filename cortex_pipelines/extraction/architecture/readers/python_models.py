"""Read models of SQLAlchemy, SQLModel, Django, Peewee, Tortoise and MongoEngine."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    first_line,
    first_named_child,
    keyword,
    last_line,
    name_of,
    positional,
    string_value,
    text,
)
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_SQLALCHEMY = ("Column", "mapped_column", "relationship")
_LINKS = ("ForeignKey", "ForeignKeyField", "OneToOneField", "ManyToManyField", "ReferenceField",
          "OneToOneRel")  # fmt: skip
_FIELD = re.compile(r"(?:\w+\.)*(\w*Field|ForeignKey|ListField|DocumentField)$")
_BASES = {"Model": "django", "models.Model": "django", "Document": "mongoengine",
          "db.Document": "mongoengine", "AbstractUser": "django", "AbstractBaseUser": "django",
          "db.Model": "sqlalchemy"}  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    mappers = (
        "sqlalchemy",
        "SQLAlchemy",
        "sqlmodel",
        "django",
        "peewee",
        "tortoise",
        "mongoengine",
        "models.Model",
        "db.Model",
        "__tablename__",
        "table=True",
    )
    return file.language == "python" and any(mark in file.text for mark in mappers)


def facts(file: SourceFile) -> Iterator[Fact]:
    """A table for each model, with its columns."""
    for node in file.nodes("class"):
        table = _model(file, node)
        if table is not None:
            yield from table_facts(table)
    for node in file.nodes("assigned"):
        yield from _table_call(node)


def _model(file: SourceFile, node: Node) -> TableDefinition | None:
    bases = node.child_by_field_name("superclasses")
    base_names = [text(base) for base in positional(bases)]
    body = node.child_by_field_name("body")
    statements = [_assignment(s) for s in (body.named_children if body is not None else ())]
    columns = [column for s in statements if s is not None for column in [_column(file, s)] if column]
    technology = _technology(file, base_names, bases, [s for s in statements if s is not None])
    is_mapped = technology in ("sqlalchemy", "sqlmodel")
    is_mixin = technology == "sqlalchemy" and base_names in ([], ["object"])
    if technology is None or not (columns or is_mapped) or is_mixin or _is_abstract(body):
        return None
    if technology == "sqlmodel":
        columns = [c for part in _with_bases(file, node) for c in _annotated_columns(part)]
    if not columns:
        return None
    name = next((v for s in statements if s for v in [_table_name(s)] if v), None) or _meta(body)
    model = name_of(node)
    name = name or (model.lower() if technology == "sqlmodel" else model)
    return TableDefinition(name, "model", technology, first_line(node), last_line(node), columns,
                   model=model)  # fmt: skip


def _technology(file: SourceFile, bases: list[str], arguments: Node | None, statements: list[Node]) -> str | None:
    if text(keyword(arguments, "table")) == "True":
        return "sqlmodel"
    calls = {_function(s) for s in statements}
    if any(call in _SQLALCHEMY for call in calls) or any(
        text(s.child_by_field_name("left")) == "__tablename__" for s in statements
    ):
        return "sqlalchemy"
    fields = any(call and _FIELD.match(call) for call in calls)
    for module, technology in (("peewee", "peewee"), ("tortoise", "tortoise"),
                             ("mongoengine", "mongoengine"), ("django", "django")):  # fmt: skip
        if fields and module in file.text and bases:
            has_base = any(base in _BASES or base.endswith(("Model", "Document")) for base in bases)
            django = module == "django" and any("models." in (call or "") for call in calls)
            if has_base or django:
                return technology
    return None


def _is_abstract(body: Node | None) -> bool:
    declaration = re.compile(r"^[ \t]*(abstract|__abstract__)[ \t]*=[ \t]*True", re.MULTILINE)
    return body is not None and bool(declaration.search(text(body)))


def _meta(body: Node | None) -> str | None:
    match = re.search(r"^[ \t]*(?:db_table|table_name)[ \t]*=[ \t]*['\"]([^'\"\n]+)", text(body), re.MULTILINE)
    return match[1] if match else None


def _assignment(statement: Node) -> Node | None:
    if statement.type != "expression_statement" or not statement.named_child_count:
        return None
    inner = first_named_child(statement)
    return inner if inner is not None and inner.type == "assignment" else None


def _function(assignment: Node) -> str:
    right = assignment.child_by_field_name("right")
    if right is None or right.type != "call":
        return ""
    called = text(right.child_by_field_name("function"))
    last = called.rsplit(".", 1)[-1]
    return last if last in _SQLALCHEMY else called


def _table_name(assignment: Node) -> str | None:
    if text(assignment.child_by_field_name("left")) != "__tablename__":
        return None
    return string_value(assignment.child_by_field_name("right"))


def _column(file: SourceFile, assignment: Node) -> ColumnDefinition | None:
    called = _function(assignment)
    name = text(assignment.child_by_field_name("left"))
    lines = (first_line(assignment), last_line(assignment))
    annotation = text(assignment.child_by_field_name("type"))
    right = assignment.child_by_field_name("right")
    arguments = right.child_by_field_name("arguments") if right and right.type == "call" else None
    if called in ("Column", "mapped_column"):
        column_args = [text(a) for a in positional(arguments) if string_value(a) is None]
        kinds = [value for value in column_args if not value.split("(")[0].endswith("ForeignKey")]
        kind = kinds[0] if kinds else annotation
        match = re.search(r"ForeignKey\(\s*['\"]([^'\"]+)", text(arguments))
        return ColumnDefinition(name, kind, *lines, match[1].rpartition(".")[0] if match else "")
    if called == "relationship":
        return None
    if not called and annotation.startswith("Mapped[") and right is None:
        return ColumnDefinition(name, annotation, *lines) if "sqlalchemy" in file.text else None
    if called and _FIELD.match(called):
        kind = called.rsplit(".", 1)[-1]
        args = positional(arguments)
        target = (args[0] if args else None) or keyword(arguments, "to", "model")
        linked = kind in _LINKS and target is not None
        link = (string_value(target) or text(target)).rsplit(".", 1)[-1] if linked else ""
        return ColumnDefinition(name, kind, *lines, link)
    return None


def _with_bases(file: SourceFile, node: Node, depth: int = 0) -> Iterator[Node]:
    classes = {name_of(other): other for other in file.nodes("class")}
    for base in positional(node.child_by_field_name("superclasses")) if depth < 4 else ():
        if text(base) in classes and classes[text(base)] != node:
            yield from _with_bases(file, classes[text(base)], depth + 1)
    yield node


def _annotated_columns(node: Node) -> Iterator[ColumnDefinition]:
    body = node.child_by_field_name("body")
    for statement in body.named_children if body is not None else ():
        assignment = _assignment(statement)
        column = _annotated_column(assignment) if assignment is not None else None
        yield from [column] if column is not None else []


def _annotated_column(assignment: Node) -> ColumnDefinition | None:
    annotation = assignment.child_by_field_name("type")
    right = text(assignment.child_by_field_name("right"))
    if annotation is None or right.startswith("Relationship("):
        return None
    match = re.search(r"foreign_key\s*=\s*['\"]([^'\"]+)", right)
    return ColumnDefinition(
        text(assignment.child_by_field_name("left")), text(annotation), first_line(assignment),
        last_line(assignment), match[1].rpartition(".")[0] if match else "",
    )  # fmt: skip


def _table_call(assignment: Node) -> Iterator[Fact]:
    """`users = Table("users", metadata, Column("id", Integer), …)`."""
    right = assignment.child_by_field_name("right")
    called = text(right.child_by_field_name("function")) if right is not None else ""
    args = positional(right.child_by_field_name("arguments")) if right is not None else []
    name = string_value(args[0]) if args else None
    if called.rsplit(".", 1)[-1] != "Table" or name is None:
        return
    columns = []
    for call in args[1:]:
        if text(call.child_by_field_name("function")).rsplit(".", 1)[-1] == "Column":
            inner = positional(call.child_by_field_name("arguments"))
            match = re.search(r"ForeignKey\(\s*['\"]([^'\"]+)", text(call))
            kind = text(inner[1]) if len(inner) > 1 else ""
            columns.append(ColumnDefinition(string_value(inner[0]) or "" if inner else "", kind,
                                    first_line(call), last_line(call),
                                    match[1].rpartition(".")[0] if match else ""))  # fmt: skip
    if columns:
        table = TableDefinition(name, "model", "sqlalchemy", first_line(assignment),
                        last_line(assignment), columns)  # fmt: skip
        yield from table_facts(table)
