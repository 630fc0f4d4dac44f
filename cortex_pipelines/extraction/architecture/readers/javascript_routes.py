"""Read JavaScript and TypeScript routes: registered by calls, by decorators (NestJS) or by paths (Next.js)."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, Fact, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    class_decorators,
    decorated_members,
    decorator_arguments,
    decorator_name,
    first_line,
    first_named_child,
    head_end,
    name_of,
    option,
    short_text,
    string_value,
    strings_in,
    text,
    top_of_chain,
)

_VERBS = {method.lower() for method in METHODS} | {"all", "del"}
_FRAMEWORKS = {
    **{"express": "express", "Router": "express", "fastify": "fastify", "Fastify": "fastify"},
    **{"Hono": "hono", "OpenAPIHono": "hono", "Koa": "koa", "KoaRouter": "koa", "Elysia": "elysia"},
    **{"restify": "restify", "polka": "polka", "restana": "restana"},
}
_FACTORIES = ("Router", "createServer", "basePath")
_LINKS = frozenset({"call_expression", "member_expression", "parenthesized_expression"})
_MAX_CHAIN = 1_000
_IMPORTED = re.compile(r"""(?:from|require\()\s*['"](express|fastify|hono|koa-router|@koa/router|restify|polka)['"/]""")
# Parameters and imports that are called so are routers; `axios` and `http` are clients.
_RECEIVER = re.compile(r"(?i)^(app|api|server|fastify|route[rs]?|\w*router|\w*routes|instance|v\d)$")
_FUNCTIONS = ("arrow_function", "function_expression", "function")
_HANDLERS = frozenset(
    {"identifier", "member_expression", "call_expression", "array", *_FUNCTIONS}
    | {"await_expression", "as_expression", "subscript_expression"}
)


@fact_reader(lambda file: file.language in ("javascript", "typescript"))
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
        base, path = _receiver(function.child_by_field_name("object"))
        symbol = base if base is not None else _symbol_of_chain(file, call)
        is_router = symbol in routers or base is None
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


def _created_framework(value: Node | None) -> str | None:
    expression = value
    for _ in range(_MAX_CHAIN):
        if expression is None or expression.type not in ("call_expression", "new_expression"):
            return None
        constructor = expression.child_by_field_name("function") or expression.child_by_field_name("constructor")
        name = short_text(constructor)
        if name in _FRAMEWORKS or name.rsplit(".", 1)[-1] in _FACTORIES:
            if name in ("http.createServer", "https.createServer", "net.createServer"):
                return None
            return _FRAMEWORKS.get(name) or _FRAMEWORKS.get(name.split(".")[0], "express")
        expression = child(constructor, "object")
    return None


def _receiver(node: Node | None) -> tuple[str | None, str | None]:
    """Receiver of a call, and the path given by ``.route(path)``; None for a chain."""
    path = None
    for _ in range(_MAX_CHAIN):
        if node is None:
            return "", None
        if node.type in ("identifier", "member_expression", "this"):
            return short_text(node), path
        function = node.child_by_field_name("function")
        is_factory = short_text(function).rsplit(".", 1)[-1] in _FACTORIES
        if function is None or function.type != "member_expression" or is_factory:
            return (None if _created_framework(node) else ""), path
        if child_text(function, "property") == "route" and path is None:
            args = arguments_of(node)
            path = string_value(args[0]) if args else None
        node = function.child_by_field_name("object")
    return "", None


def _symbol_of_chain(file: SourceFile, call: Node) -> str | None:
    """Variable that holds a chained router; ``default`` if it is exported."""
    outer = top_of_chain(call, _LINKS, file.chains).parent
    if outer is not None and outer.type == "variable_declarator":
        return name_of(outer)
    exported = outer is not None and outer.type in ("export_statement", "assignment_expression")
    return "default" if exported else None


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
    yield route(
        call, method, path, _handler(handlers[-1]), technology, router=symbol, start_line=line,
        end_line=first_line(body) if body is not None else None, description=file.comment_above(line),
    )  # fmt: skip


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
        prefix = string_value(option(args[1], "prefix")) if len(args) > 1 else ""
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


_CONTROLLERS = ("Controller", "JsonController", "RestController")
_DECORATORS = {"Get": "GET", "Post": "POST", "Put": "PUT", "Patch": "PATCH", "Delete": "DELETE",
               "Head": "HEAD", "Options": "OPTIONS", "All": "ANY", "Sse": "GET"}  # fmt: skip


@fact_reader(lambda file: file.language in ("typescript", "javascript") and "Controller(" in file.text)
def nest_routes(file: SourceFile) -> Iterator[Fact]:
    technology = "nestjs" if "@nestjs/" in file.text else None
    for node in file.nodes("class"):
        for decorator in class_decorators(node):
            if decorator_name(decorator) in _CONTROLLERS:
                for prefix in _decorator_paths(decorator):
                    yield from _member_routes(file, node, prefix, technology)


def _member_routes(file: SourceFile, node: Node, prefix: str, technology: str | None) -> Iterator[Fact]:
    for member, decorators in decorated_members(node):
        for decorator in decorators:
            method = _DECORATORS.get(decorator_name(decorator))
            for path in _decorator_paths(decorator) if method else ():
                summary = _operation_summary(decorators)
                yield route(
                    min([decorator, member], key=first_line), str(method), f"{prefix}/{path}".rstrip("/"),
                    f"{name_of(node)}.{name_of(member)}", technology, end_line=head_end(member),
                    description=summary or file.comment_above(min(map(first_line, decorators))),
                    description_source="summary" if summary else "comment",
                )  # fmt: skip


def _decorator_paths(decorator: Node) -> list[str]:
    args = decorator_arguments(decorator)
    if not args:
        return [""]
    value = option(args[0], "path") if args[0].type == "object" else args[0]
    return strings_in(value) or [""]


def _operation_summary(decorators: list[Node]) -> str | None:
    for decorator in decorators:
        if decorator_name(decorator) == "ApiOperation":
            args = decorator_arguments(decorator)
            return string_value(option(args[0] if args else None, "summary", "description"))
    return None


_APP = re.compile(r"(?:^|/)app/(.*?)/?route\.[jt]sx?$")
_PAGES = re.compile(r"(?:^|/)pages/(api/.*?)(?:/index)?\.[jt]sx?$")
_GROUP = re.compile(r"\([^/()]*\)/?|@[^/]+/?")
_PARAMETER = re.compile(r"\[+(?:\.\.\.)?(\w+)\]+")


@fact_reader(lambda file: file.language in ("javascript", "typescript"))
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
        name = name_of(declared)
        if app is not None:
            for method in [name] if name else map(name_of, declared.named_children):
                if method in METHODS:
                    yield route(node, method, path, method, "nextjs", end_line=head_end(declared))
        elif "default" in text(node)[:24]:
            handler = name or text(declared)[:40].split("(")[0]
            yield route(node, "ANY", path, handler, "nextjs", end_line=head_end(declared))
