"""Read models of TypeORM, MikroORM, Sequelize, Mongoose and Drizzle."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.decorators import (
    class_decorators,
    decorated_members,
    decorator_arguments,
    decorator_name,
    option,
)
from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    first_line,
    last_line,
    name_of,
    positional,
    string_value,
    text,
)
from cortex_pipelines.extraction.architecture.table import ColumnDefinition, TableDefinition, table_facts

_LINKS = ("ManyToOne", "OneToOne", "OneToMany", "ManyToMany", "BelongsTo", "HasMany", "HasOne",
          "BelongsToMany")  # fmt: skip
_MAPPERS = ("typeorm", "mikro-orm", "sequelize", "mongoose", "drizzle", "Schema(")


def applies_to(file: SourceFile) -> bool:
    code = file.language in ("javascript", "typescript")
    return code and any(mark in file.text.lower() for mark in map(str.lower, _MAPPERS))


def facts(file: SourceFile) -> Iterator[Fact]:
    """A table for each model, with its columns."""
    for node in file.nodes("class"):
        yield from _entity(file, node)
    for node in file.nodes("call"):
        yield from _sequelize(file, node)
    for node in file.nodes("new"):
        yield from _mongoose(file, node)
    for node in file.nodes("build"):
        yield from _drizzle(file, node)


def _entity(file: SourceFile, node: Node) -> Iterator[Fact]:
    decorators_by_name = {decorator_name(d): d for d in class_decorators(node)}
    decorator = decorators_by_name.get("Entity") or decorators_by_name.get("Table") or decorators_by_name.get("Schema")
    if decorator is None:
        return
    args = decorator_arguments(decorator)
    options = next((arg for arg in args if arg.type == "object"), None)
    table_name = string_value(args[0]) if args else None
    table_name = table_name or string_value(option(options, "name", "tableName", "collection"))
    lines = (first_line(decorator), last_line(node))
    columns = [
        ColumnDefinition(name_of(member), text(member.child_by_field_name("type")).lstrip(": "),
                 first_line(decorators[0]), last_line(member), _link(decorators))
        for member, decorators in decorated_members(node)
        if decorators and member.type != "method_definition"
    ]  # fmt: skip
    technology = next((m for m in ("typeorm", "mikro-orm", "sequelize", "mongoose")
                       if m in file.text.lower()), "typeorm")  # fmt: skip
    model = name_of(node)
    comment = file.comment_above(lines[0])
    yield from table_facts(TableDefinition(table_name or model, "model", technology, *lines, columns, comment, model))


def _link(decorators: list[Node]) -> str:
    for decorator in decorators:
        args = decorator_arguments(decorator)
        if decorator_name(decorator) in _LINKS and args:
            return text(args[0]).split("=>")[-1].strip()
    return ""


def _sequelize(file: SourceFile, call: Node) -> Iterator[Fact]:
    """`sequelize.define('User', {…})` and `User.init({…}, {…})`."""
    function = call.child_by_field_name("function")
    verb = text(function.child_by_field_name("property")) if function else ""
    args = positional(call.child_by_field_name("arguments"))
    objects = [argument for argument in args if argument.type == "object"]
    if verb not in ("define", "init") or not objects or "sequelize" not in file.text.lower():
        return
    model = string_value(args[0]) if verb == "define" else text(
        function.child_by_field_name("object") if function else None
    )  # fmt: skip
    table = string_value(option(objects[1], "tableName")) if len(objects) > 1 else None
    if model:
        yield from _document(file, call, objects[0], table or model, model, "sequelize")


def _mongoose(file: SourceFile, node: Node) -> Iterator[Fact]:
    """`const UserSchema = new Schema({…})`."""
    args = positional(node.child_by_field_name("arguments"))
    outer = node.parent
    if not args or args[0].type != "object" or "mongoose" not in file.text:
        return
    variable = name_of(outer) if outer is not None and outer.type == "variable_declarator" else ""
    name = variable[: -len("schema")] if variable.lower().endswith("schema") else variable
    if name:
        yield from _document(file, outer or node, args[0], name, name, "mongoose")


def _drizzle(file: SourceFile, call: Node) -> Iterator[Fact]:
    """`export const users = pgTable('users', {…})`."""
    args = positional(call.child_by_field_name("arguments"))
    name = string_value(args[0]) if args else None
    if name and len(args) > 1 and args[1].type == "object":
        yield from _document(file, call, args[1], name, name, "drizzle")


def _document(file: SourceFile, node: Node, fields: Node, name: str, model: str, technology: str) -> Iterator[Fact]:
    columns = []
    for pair in fields.named_children:
        if pair.type != "pair":
            continue
        key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
        kind = option(value, "type") or value
        link = string_value(option(value, "ref")) or ""
        columns.append(
            ColumnDefinition(string_value(key) or text(key), " ".join(text(kind).split())[:80],
                     first_line(pair), last_line(pair), link)
        )  # fmt: skip
    comment = file.comment_above(first_line(node))
    yield from table_facts(
        TableDefinition(name, "model", technology, first_line(node), last_line(node), columns, comment, model)
    )
