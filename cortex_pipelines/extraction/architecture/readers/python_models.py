"""Read models of SQLAlchemy, SQLModel, Django, Peewee, Tortoise and MongoEngine."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import ColumnDefinition, Fact, TableDefinition, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    first_named_child,
    keyword,
    lines_of,
    name_of,
    named_children,
    positional,
    string_value,
    text,
)

_MAPPERS = (
    *("sqlalchemy", "SQLAlchemy", "sqlmodel", "django", "peewee", "tortoise", "mongoengine"),
    *("models.Model", "db.Model", "__tablename__", "table=True"),
)
_SQLALCHEMY = ("Column", "mapped_column", "relationship")
_LINKS = ("ForeignKey", "ForeignKeyField", "OneToOneField", "ManyToManyField", "ReferenceField", "OneToOneRel")
_FIELD = re.compile(r"(?:\w+\.)*(\w*Field|ForeignKey|ListField|DocumentField)$")
_BASES = ("AbstractUser", "AbstractBaseUser")
_ABSTRACT = re.compile(r"^[ \t]*(abstract|__abstract__)[ \t]*=[ \t]*True", re.MULTILINE)
_META_TABLE = re.compile(r"^[ \t]*(?:db_table|table_name)[ \t]*=[ \t]*['\"]([^'\"\n]+)", re.MULTILINE)
_FOREIGN_KEY = re.compile(r"ForeignKey\(\s*['\"]([^'\"]+)")
_SQLMODEL_KEY = re.compile(r"foreign_key\s*=\s*['\"]([^'\"]+)")


@fact_reader(lambda file: file.language == "python" and any(mark in file.text for mark in _MAPPERS))
def python_models(file: SourceFile) -> Iterator[Fact]:
    for node in file.nodes("class"):
        table = _model(file, node)
        if table is not None:
            yield from table_facts(table)
    for node in file.nodes("assigned"):
        yield from _table_call(node)


def _model(file: SourceFile, node: Node) -> TableDefinition | None:
    bases = node.child_by_field_name("superclasses")
    base_names = [text(base) for base in positional(bases)]
    body, statements = node.child_by_field_name("body"), _assignments(node)
    columns = [column for s in statements if (column := _column(file, s))]
    technology = _technology(file, base_names, bases, statements)
    is_mixin = technology == "sqlalchemy" and base_names in ([], ["object"])
    if technology is None or is_mixin or _ABSTRACT.search(text(body)):
        return None
    if technology == "sqlmodel":
        columns = [c for part in _with_bases(file, node) for s in _assignments(part) if (c := _annotated_column(s))]
    if not columns:
        return None
    model = name_of(node)
    meta = _META_TABLE.search(text(body))
    tables = (string_value(child(s, "right")) for s in statements if child_text(s, "left") == "__tablename__")
    name = next(filter(None, tables), None) or (meta[1] if meta else None)
    name = name or (model.lower() if technology == "sqlmodel" else model)
    return TableDefinition(name, "model", technology, *lines_of(node), columns, model=model)


def _technology(file: SourceFile, bases: list[str], arguments: Node | None, statements: list[Node]) -> str | None:
    if text(keyword(arguments, "table")) == "True":
        return "sqlmodel"
    calls = {_called_function(s) for s in statements}
    if calls.intersection(_SQLALCHEMY) or any(child_text(s, "left") == "__tablename__" for s in statements):
        return "sqlalchemy"
    has_base = any(base in _BASES or base.endswith(("Model", "Document")) for base in bases)
    if not bases or not any(_FIELD.match(call) for call in calls):
        return None
    for module in ("peewee", "tortoise", "mongoengine", "django"):
        is_django = module == "django" and any("models." in call for call in calls)
        if module in file.text and (has_base or is_django):
            return module
    return None


def _assignments(node: Node) -> list[Node]:
    expressions = (s for s in named_children(child(node, "body")) if s.type == "expression_statement")
    firsts = (first_named_child(expression) for expression in expressions)
    return [first for first in firsts if first is not None and first.type == "assignment"]


def _called_function(assignment: Node) -> str:
    """Name of the function called on the right side; those of SQLAlchemy without their module."""
    right = assignment.child_by_field_name("right")
    called = child_text(right, "function") if right is not None and right.type == "call" else ""
    last = called.rsplit(".", 1)[-1]
    return last if last in _SQLALCHEMY else called


def _column(file: SourceFile, assignment: Node) -> ColumnDefinition | None:
    called, name, lines = _called_function(assignment), child_text(assignment, "left"), lines_of(assignment)
    annotation, right = child_text(assignment, "type"), assignment.child_by_field_name("right")
    arguments = right.child_by_field_name("arguments") if right and right.type == "call" else None
    if called in ("Column", "mapped_column"):
        column_args = [text(a) for a in positional(arguments) if string_value(a) is None]
        kinds = [value for value in column_args if not value.split("(")[0].endswith("ForeignKey")]
        return ColumnDefinition(name, kinds[0] if kinds else annotation, *lines, _referred(_FOREIGN_KEY, arguments))
    if not called and annotation.startswith("Mapped[") and right is None and "sqlalchemy" in file.text:
        return ColumnDefinition(name, annotation, *lines)
    if called and _FIELD.match(called):
        kind = called.rsplit(".", 1)[-1]
        target = next(iter(positional(arguments)), None) or keyword(arguments, "to", "model")
        is_link = kind in _LINKS and target is not None
        link = (string_value(target) or text(target)).rsplit(".", 1)[-1] if is_link else ""
        return ColumnDefinition(name, kind, *lines, link)
    return None


def _referred(pattern: re.Pattern[str], node: Node | None) -> str:
    match = pattern.search(text(node))
    return match[1].rpartition(".")[0] if match else ""


def _with_bases(file: SourceFile, node: Node, depth: int = 0) -> Iterator[Node]:
    classes = {name_of(other): other for other in file.nodes("class")}
    for base in positional(node.child_by_field_name("superclasses")) if depth < 4 else ():
        if text(base) in classes and classes[text(base)] != node:
            yield from _with_bases(file, classes[text(base)], depth + 1)
    yield node


def _annotated_column(assignment: Node) -> ColumnDefinition | None:
    """An attribute that is an annotated field of SQLModel and no relationship."""
    annotation, right = assignment.child_by_field_name("type"), assignment.child_by_field_name("right")
    if annotation is None or text(right).startswith("Relationship("):
        return None
    name, link = child_text(assignment, "left"), _referred(_SQLMODEL_KEY, right)
    return ColumnDefinition(name, text(annotation), *lines_of(assignment), link)


def _table_call(assignment: Node) -> Iterator[Fact]:
    """`users = Table("users", metadata, Column("id", Integer), …)`."""
    right = assignment.child_by_field_name("right")
    args = arguments_of(right)
    name = string_value(args[0]) if args else None
    if child_text(right, "function").rsplit(".", 1)[-1] != "Table" or name is None:
        return
    columns = []
    for call in args[1:]:
        if child_text(call, "function").rsplit(".", 1)[-1] == "Column":
            inner = arguments_of(call)
            column, kind = string_value(inner[0]) or "" if inner else "", text(inner[1]) if len(inner) > 1 else ""
            columns.append(ColumnDefinition(column, kind, *lines_of(call), _referred(_FOREIGN_KEY, call)))
    if columns:
        yield from table_facts(TableDefinition(name, "model", "sqlalchemy", *lines_of(assignment), columns))
