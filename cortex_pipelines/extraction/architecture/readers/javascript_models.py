"""Read models of TypeORM, MikroORM, Sequelize, Mongoose and Drizzle."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import ColumnDefinition, Fact, TableDefinition, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child_text,
    class_decorators,
    decorated_members,
    decorator_arguments,
    decorator_name,
    first_line,
    last_line,
    lines_of,
    name_of,
    option,
    string_value,
    text,
)

_LINKS = (*("ManyToOne", "OneToOne", "OneToMany", "ManyToMany"), *("BelongsTo", "HasMany", "HasOne", "BelongsToMany"))
_DECORATED = ("typeorm", "mikro-orm", "sequelize", "mongoose")
_MAPPERS = (*_DECORATED, "drizzle", "schema(")


@fact_reader(
    lambda file: file.language in ("javascript", "typescript") and any(mark in file.text.lower() for mark in _MAPPERS)
)
def javascript_models(file: SourceFile) -> Iterator[Fact]:
    for node in file.nodes("class"):
        yield from _entity(file, node)
    for node in file.nodes("call"):
        yield from _sequelize(file, node)
    for node in file.nodes("new"):
        yield from _mongoose(file, node)
    for node in file.nodes("build"):  # export const users = pgTable('users', {…})
        args = arguments_of(node)
        name = string_value(args[0]) if args else None
        if name and len(args) > 1 and args[1].type == "object":
            yield from _document(file, node, args[1], name, name, "drizzle")


def _entity(file: SourceFile, node: Node) -> Iterator[Fact]:
    by_name = {decorator_name(decorator): decorator for decorator in class_decorators(node)}
    decorator = by_name.get("Entity") or by_name.get("Table") or by_name.get("Schema")
    if decorator is None:
        return
    args = decorator_arguments(decorator)
    options = next((arg for arg in args if arg.type == "object"), None)
    table_name = string_value(args[0]) if args else None
    table_name = table_name or string_value(option(options, "name", "tableName", "collection"))
    columns = [
        ColumnDefinition(name_of(member), child_text(member, "type").lstrip(": "), *lines, _link(decorators))
        for member, decorators in decorated_members(node)
        if decorators and member.type != "method_definition"
        for lines in [(first_line(decorators[0]), last_line(member))]
    ]
    technology = next((mapper for mapper in _DECORATED if mapper in file.text.lower()), "typeorm")
    model, lines = name_of(node), (first_line(decorator), last_line(node))
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
    function, args = call.child_by_field_name("function"), arguments_of(call)
    verb, objects = child_text(function, "property"), [argument for argument in args if argument.type == "object"]
    if verb not in ("define", "init") or not objects or "sequelize" not in file.text.lower():
        return
    model = string_value(args[0]) if verb == "define" else child_text(function, "object")
    table = string_value(option(objects[1], "tableName")) if len(objects) > 1 else None
    if model:
        yield from _document(file, call, objects[0], table or model, model, "sequelize")


def _mongoose(file: SourceFile, node: Node) -> Iterator[Fact]:
    """`const UserSchema = new Schema({…})`."""
    args, outer = arguments_of(node), node.parent
    if not args or args[0].type != "object" or "mongoose" not in file.text:
        return
    variable = name_of(outer) if outer is not None and outer.type == "variable_declarator" else ""
    name = variable[: -len("schema")] if variable.lower().endswith("schema") else variable
    if name:
        yield from _document(file, outer or node, args[0], name, name, "mongoose")


def _document(file: SourceFile, node: Node, fields: Node, name: str, model: str, technology: str) -> Iterator[Fact]:
    columns = []
    for pair in fields.named_children:
        if pair.type == "pair":
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            kind = " ".join(text(option(value, "type") or value).split())[:80]
            link = string_value(option(value, "ref")) or ""
            columns.append(ColumnDefinition(string_value(key) or text(key), kind, *lines_of(pair), link))
    comment = file.comment_above(first_line(node))
    yield from table_facts(TableDefinition(name, "model", technology, *lines_of(node), columns, comment, model))
