"""Read JavaScript and TypeScript: routes registered by calls, decorators (NestJS) or paths (Next.js), and models."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, ColumnDefinition, Fact, mount, route, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    first_line,
    first_named_child,
    head_end,
    last_line,
    lines_of,
    name_of,
    named_children,
    short_text,
    string_value,
    strings_in,
    text,
    top_of_chain,
)

_LANGUAGES = ("javascript", "typescript")
_VERBS = {method.lower() for method in METHODS} | {"all", "del"}
_FRAMEWORKS = {
    **{"express": "express", "Router": "express", "fastify": "fastify", "Fastify": "fastify"},
    **{"Hono": "hono", "OpenAPIHono": "hono", "Koa": "koa", "KoaRouter": "koa", "Elysia": "elysia"},
    **{"restify": "restify", "polka": "polka", "restana": "restana"},
}
_FACTORIES = ("Router", "createServer", "basePath")
_CHAIN_LINKS = frozenset({"call_expression", "member_expression", "parenthesized_expression"})
_MAX_CHAIN = 1_000
_IMPORTED = re.compile(r"""(?:from|require\()\s*['"](express|fastify|hono|koa-router|@koa/router|restify|polka)['"/]""")
# Parameters and imports that are called so are routers; `axios` and `http` are clients.
_RECEIVER = re.compile(r"(?i)^(app|api|server|fastify|route[rs]?|\w*router|\w*routes|instance|v\d)$")
_FUNCTIONS = ("arrow_function", "function_expression", "function")
_HANDLERS = frozenset(
    {"identifier", "member_expression", "call_expression", "array", *_FUNCTIONS}
    | {"await_expression", "as_expression", "subscript_expression"}
)


@fact_reader(lambda file: file.language in _LANGUAGES)
def javascript_routes(file: SourceFile) -> Iterator[Fact]:
    routers = {}
    for node in file.nodes("assigned"):
        framework = _created_framework(node.child_by_field_name("value"))
        if framework is not None:
            routers[name_of(node)] = framework
    match = _IMPORTED.search(file.text)
    guess = match[1].replace("@koa/router", "koa").removesuffix("-router") if match else None
    for call in file.nodes("call"):
        function = call.child_by_field_name("function")
        if function is None:
            continue
        verb = child_text(function, "property")
        symbol, path = _receiver(function.child_by_field_name("object"))
        is_router = symbol in routers or symbol is None
        if symbol is None:  # a chain: the variable that holds its router, or the router is exported
            outer = top_of_chain(call, _CHAIN_LINKS, file.chains).parent
            if outer is not None and outer.type == "variable_declarator":
                symbol = name_of(outer)
            elif outer is not None and outer.type in ("export_statement", "assignment_expression"):
                symbol = "default"
        if symbol is None or not (is_router or _RECEIVER.match(symbol)):
            continue
        technology = routers.get(symbol) or guess
        if verb in _VERBS:
            yield from _route_facts(file, call, symbol, path, technology, is_router)
        elif verb in ("use", "route", "register"):
            yield from _mount_facts(call, verb, symbol, technology)
    for node in (*file.nodes("exports"), *file.nodes("export")):  # for other files
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        name = text(value) if value is not None and value.type == "identifier" else ""
        if name in routers:
            yield mount(node, "default", "", name)


def _created_framework(expression: Node | None) -> str | None:
    for _ in range(_MAX_CHAIN):
        if expression is None or expression.type not in ("call_expression", "new_expression"):
            return None
        constructor = expression.child_by_field_name("function") or expression.child_by_field_name("constructor")
        name = short_text(constructor)
        if name in ("http.createServer", "https.createServer", "net.createServer"):
            return None
        if name in _FRAMEWORKS or name.rsplit(".", 1)[-1] in _FACTORIES:
            return _FRAMEWORKS.get(name) or _FRAMEWORKS.get(name.split(".")[0], "express")
        expression = child(constructor, "object")
    return None


def _receiver(node: Node | None) -> tuple[str | None, str | None]:
    """Receiver of a call, and the path given by ``.route(path)``; None for a chain."""
    path = None
    for _ in range(_MAX_CHAIN):
        if node is None:
            break
        if node.type in ("identifier", "member_expression", "this"):
            return short_text(node), path
        function = node.child_by_field_name("function")
        is_factory = short_text(function).rsplit(".", 1)[-1] in _FACTORIES
        if function is None or function.type != "member_expression" or is_factory:
            return (None if _created_framework(node) else ""), path
        if child_text(function, "property") == "route" and path is None:
            path = string_value(next(iter(arguments_of(node)), None))
        node = function.child_by_field_name("object")
    return "", None


def _route_facts(
    file: SourceFile, call: Node, symbol: str, path: str | None, technology: str | None, is_router: bool
) -> Iterator[Fact]:
    verb, handlers = child_text(child(call, "function"), "property"), arguments_of(call)
    if path is None and handlers:
        first, handlers = handlers[0], handlers[1:]
        path = string_value(first)
        if path is None and first.type == "regex":
            path = text(first)
        elif path is None and first.type == "array":
            path = string_value(first_named_child(first))
    if path is None or not handlers or handlers[-1].type not in _HANDLERS:
        return
    if path and not path.startswith(("/", "*", "{")) and not (is_router and technology == "hono"):
        return
    method = {"all": "ANY", "del": "DELETE"}.get(verb, verb.upper())
    line = first_line(call.child_by_field_name("arguments") or call)
    body = handlers[-1].child_by_field_name("body")
    lines, handler = (line, first_line(body) if body is not None else last_line(call)), _handler(handlers[-1])
    yield route(lines, method, path, handler, technology, router=symbol, comment=file.comment_above(line))


def _handler(node: Node) -> str:
    if node.type in _FUNCTIONS:
        return name_of(node) or "(inline)"
    if node.type == "call_expression":  # asyncHandler(getUser), auth.bind(this)
        function = child_text(node, "function")
        if function.endswith(".bind"):
            return function.removesuffix(".bind")
        inner = arguments_of(node)
        return _handler(inner[-1]) if inner else function
    if node.type == "array":
        return _handler(node.named_children[-1]) if node.named_children else "[]"
    return " ".join(text(node).split())[:200]


def _mount_facts(call: Node, verb: str, symbol: str, technology: str | None) -> Iterator[Fact]:
    args = arguments_of(call)
    prefix = string_value(args[0]) if args else None
    targets = args if prefix is None else args[1:]
    if verb == "register":  # fastify: register(routes, { prefix: '/users' })
        prefix = string_value(_option(args[1], "prefix")) if len(args) > 1 else ""
        targets = args[:1]
    for target in targets:
        name = ""
        if target.type in ("identifier", "member_expression"):
            name = text(target)
        elif target.type == "call_expression":
            function, inner = child_text(target, "function"), arguments_of(target)
            module = string_value(inner[0]) if inner else None
            if function in ("require", "import") and module:
                name = f"module {module}"
            elif function.endswith(".routes"):
                name = function.removesuffix(".routes")
        if name:
            yield mount(call, symbol, prefix or "", name, technology=technology)


def _option(node: Node | None, *names: str) -> Node | None:
    """Value under the first of some keys in an object literal."""
    for pair in named_children(node) if node is not None and node.type == "object" else ():
        if pair.type == "pair":
            key = pair.child_by_field_name("key")
            if (string_value(key) or text(key)) in names:
                return pair.child_by_field_name("value")
    return None


_CONTROLLERS = ("Controller", "JsonController", "RestController")
_DECORATORS = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE",
               "Head": "HEAD", "Options": "OPTIONS", "All": "ANY", "Sse": "GET"}  # fmt: skip


@fact_reader(lambda file: file.language in _LANGUAGES and "Controller(" in file.text)
def nest_routes(file: SourceFile) -> Iterator[Fact]:
    technology = "nestjs" if "@nestjs/" in file.text else None
    for node in file.nodes("class"):
        controllers = [args for name, args, _ in _class_decorators(node) if name in _CONTROLLERS]
        for prefix in [path for args in controllers for path in _decorator_paths(args)]:
            yield from _member_routes(file, node, prefix, technology)


def _member_routes(file: SourceFile, node: Node, prefix: str, technology: str | None) -> Iterator[Fact]:
    for member, decorators in _decorated_members(node):
        operations = [args for name, args, _ in decorators if name == "ApiOperation"]
        options = next(iter(operations[0]), None) if operations else None
        summary = string_value(_option(options, "summary", "description"))
        comment_line = min((first_line(decorator) for _, _, decorator in decorators), default=1)
        handler, comment = f"{name_of(node)}.{name_of(member)}", file.comment_above(comment_line)
        for name, args, decorator in decorators:
            for path in _decorator_paths(args) if name in _DECORATORS else ():
                lines = (min(first_line(decorator), first_line(member)), head_end(member))
                path = f"{prefix}/{path}".rstrip("/")
                yield route(lines, _DECORATORS[name], path, handler, technology, summary=summary, comment=comment)


def _decorator_paths(args: list[Node]) -> list[str]:
    if not args:
        return [""]
    value = _option(args[0], "path") if args[0].type == "object" else args[0]
    return strings_in(value) or [""]


Decorator = tuple[str, list[Node], Node]
"""Name, arguments and node."""


def _class_decorators(node: Node) -> list[Decorator]:
    """The decorators of a TypeScript class; before ``export`` they belong to the statement around it."""
    outer = node.parent
    holders = [outer, node] if outer is not None and outer.type == "export_statement" else [node]
    return [_decorator(part) for holder in holders for part in holder.children if part.type == "decorator"]


def _decorated_members(node: Node) -> Iterator[tuple[Node, list[Decorator]]]:
    """The members of a class with their decorators, which the grammar puts before or inside."""
    pending: list[Node] = []
    for member in named_children(child(node, "body")):
        if member.type == "decorator":
            pending.append(member)
        elif member.type != "comment":
            inside = [part for part in member.children if part.type == "decorator"]
            yield member, [_decorator(part) for part in pending + inside]
            pending = []


def _decorator(node: Node) -> Decorator:
    inner = first_named_child(node)
    args = arguments_of(inner) if inner is not None and inner.type == "call_expression" else []
    return text(child(inner, "function") or inner).rsplit(".", 1)[-1], args, node


_APP = re.compile(r"(?:^|/)app/(.*?)/?route\.[jt]sx?$")
_PAGES = re.compile(r"(?:^|/)pages/(api/.*?)(?:/index)?\.[jt]sx?$")
_GROUP = re.compile(r"\([^/()]*\)/?|@[^/]+/?")
_PARAMETER = re.compile(r"\[+(?:\.\.\.)?(\w+)\]+")


@fact_reader(lambda file: file.language in _LANGUAGES)
def next_routes(file: SourceFile) -> Iterator[Fact]:
    """A route for each exported handler, where Next.js looks for them."""
    app = _APP.search(file.path)
    match = app or _PAGES.search(file.path)
    if match is None:
        return
    path = _PARAMETER.sub(r"{\1}", _GROUP.sub("", match[1]))
    for node in file.nodes("export"):
        declared = node.child_by_field_name("declaration") or node.child_by_field_name("value")
        if declared is None:
            continue
        name, lines = name_of(declared), (first_line(node), head_end(declared))
        if app is not None:
            for method in [name] if name else map(name_of, declared.named_children):
                if method in METHODS:
                    yield route(lines, method, path, method, "nextjs")
        elif "default" in text(node)[:24]:
            handler = name or text(declared)[:40].split("(")[0]
            yield route(lines, "ANY", path, handler, "nextjs")


_LINKS = (*("ManyToOne", "OneToOne", "OneToMany", "ManyToMany"), *("BelongsTo", "HasMany", "HasOne", "BelongsToMany"))
_DECORATED = ("typeorm", "mikro-orm", "sequelize", "mongoose")
_MAPPERS = (*_DECORATED, "drizzle", "schema(")


@fact_reader(lambda file: file.language in _LANGUAGES and any(mark in file.text.lower() for mark in _MAPPERS))
def javascript_models(file: SourceFile) -> Iterator[Fact]:
    """Models of TypeORM, MikroORM, Sequelize, Mongoose and Drizzle."""
    mapper = next((mapper for mapper in _DECORATED if mapper in file.text.lower()), "typeorm")
    for node in file.nodes("class"):
        yield from _entity(file, node, mapper)
    for node in file.nodes("call"):  # sequelize.define('User', {…}) and User.init({…}, {…})
        function, args = node.child_by_field_name("function"), arguments_of(node)
        verb, objects = child_text(function, "property"), [argument for argument in args if argument.type == "object"]
        if verb in ("define", "init") and objects and "sequelize" in file.text.lower():
            model = string_value(args[0]) if verb == "define" else child_text(function, "object")
            table = string_value(_option(objects[1], "tableName")) if len(objects) > 1 else None
            if model:
                yield from _document(file, node, objects[0], table or model, model, "sequelize")
    for node in file.nodes("new"):  # const UserSchema = new Schema({…})
        args, outer = arguments_of(node), node.parent
        if args and args[0].type == "object" and "mongoose" in file.text:
            variable = name_of(outer) if outer is not None and outer.type == "variable_declarator" else ""
            name = variable[: -len("schema")] if variable.lower().endswith("schema") else variable
            if name:
                yield from _document(file, outer or node, args[0], name, name, "mongoose")
    for node in file.nodes("build"):  # export const users = pgTable('users', {…})
        args = arguments_of(node)
        name = string_value(args[0]) or "" if args else ""
        if name and len(args) > 1 and args[1].type == "object":
            yield from _document(file, node, args[1], name, name, "drizzle")


def _entity(file: SourceFile, node: Node, mapper: str) -> Iterator[Fact]:
    by_name = {name: (args, decorator) for name, args, decorator in _class_decorators(node)}
    entity = by_name.get("Entity") or by_name.get("Table") or by_name.get("Schema")
    if entity is None:
        return
    args, decorator = entity
    options = next((arg for arg in args if arg.type == "object"), None)
    names = _option(options, "name", "tableName", "collection")
    table_name = (string_value(args[0]) if args else None) or string_value(names)
    columns = []
    for member, decorators in _decorated_members(node):
        if decorators and member.type != "method_definition":
            linked = [text(args[0]) for name, args, _ in decorators if name in _LINKS and args]
            lines = (first_line(decorators[0][2]), last_line(member))
            kind, link = child_text(member, "type").lstrip(": "), linked[0].split("=>")[-1].strip() if linked else ""
            columns.append(ColumnDefinition(name_of(member), kind, lines, link))
    model, lines = name_of(node), (first_line(decorator), last_line(node))
    yield from table_facts(table_name or model, "model", mapper, lines, columns, file.comment_above(lines[0]), model)


def _document(file: SourceFile, node: Node, fields: Node, name: str, model: str, technology: str) -> Iterator[Fact]:
    columns = []
    for pair in fields.named_children:
        if pair.type == "pair":
            key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
            kind = " ".join(text(_option(value, "type") or value).split())[:80]
            link = string_value(_option(value, "ref")) or ""
            columns.append(ColumnDefinition(string_value(key) or text(key), kind, lines_of(pair), link))
    comment = file.comment_above(first_line(node))
    yield from table_facts(name, "model", technology, lines_of(node), columns, comment, model)
