"""Read JavaScript and TypeScript routes that are registered by calls."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    first_line,
    first_named_child,
    name_of,
    positional,
    short_text,
    string_value,
    text,
    top_of_chain,
)

_VERBS = {method.lower() for method in METHODS} | {"all", "del"}
_FRAMEWORKS = {
    "express": "express",
    "Router": "express",
    "fastify": "fastify",
    "Fastify": "fastify",
    "Hono": "hono",
    "Koa": "koa",
    "KoaRouter": "koa",
    "Elysia": "elysia",
    "restify": "restify",
    "polka": "polka",
    "restana": "restana",
    "OpenAPIHono": "hono",
}
_FACTORIES = ("Router", "createServer", "basePath")
_LINKS = frozenset({"call_expression", "member_expression", "parenthesized_expression"})
_MAX_CHAIN = 1_000
_IMPORTED = re.compile(r"""(?:from|require\()\s*['"](express|fastify|hono|koa-router|@koa/router|restify|polka)['"/]""")
# Parameters and imports that are called so are routers; `axios` and `http` are clients.
_RECEIVER = re.compile(r"(?i)^(app|api|server|fastify|route[rs]?|\w*router|\w*routes|instance|v\d)$")
_HANDLERS = frozenset(
    {"identifier", "member_expression", "arrow_function", "function_expression", "function"}
    | {"call_expression", "array", "await_expression", "as_expression", "subscript_expression"}
)


def applies_to(file: SourceFile) -> bool:
    return file.language in ("javascript", "typescript")


def facts(file: SourceFile) -> Iterator[Fact]:
    """Routes of Express and similar frameworks, and router mounts."""
    routers = dict(_routers(file))
    match = _IMPORTED.search(file.text)
    guess = match[1].replace("@koa/router", "koa").removesuffix("-router") if match else None
    for call in file.nodes("call"):
        function = call.child_by_field_name("function")
        if function is None:
            continue
        verb = text(function.child_by_field_name("property"))
        base, path = _receiver(function.child_by_field_name("object"))
        symbol = base if base is not None else _symbol_of_chain(file, call)
        is_router = symbol in routers or base is None
        if symbol is None or not (is_router or (guess and _RECEIVER.match(symbol))
                                  or _RECEIVER.match(symbol)):  # fmt: skip
            continue
        technology = routers.get(symbol) or guess
        args = positional(call.child_by_field_name("arguments"))
        if verb in _VERBS:
            yield from _route_facts(call, verb, symbol, path, args, technology, is_router, file)
        elif verb in ("use", "route", "register"):
            yield from _mount_facts(call, verb, symbol, args, technology)
    yield from _exports(file, routers)


def _routers(file: SourceFile) -> Iterator[tuple[str, str]]:
    for node in file.nodes("assigned"):
        framework = _created_framework(node.child_by_field_name("value"))
        if framework is not None:
            yield name_of(node), framework


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
        expression = constructor.child_by_field_name("object") if constructor is not None else None
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
        if text(function.child_by_field_name("property")) == "route" and path is None:
            args = positional(node.child_by_field_name("arguments"))
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
    call: Node, verb: str, symbol: str, path: str | None, args: list[Node],
    technology: str | None, is_router: bool, file: SourceFile,
) -> Iterator[Fact]:  # fmt: skip
    first_string = string_value(args[0]) if args else None
    if path is None:
        path, handlers = first_string, args[1:]
        if path is None and args and args[0].type == "regex":
            path = text(args[0])
        elif path is None and args and args[0].type == "array":
            path = string_value(first_named_child(args[0]))
    else:
        handlers = args
    if path is None or not handlers or handlers[-1].type not in _HANDLERS:
        return
    if not (path.startswith(("/", "*", "{")) or path == "" or (is_router and technology == "hono")):
        return
    method = {"all": "ANY", "del": "DELETE"}.get(verb, verb.upper())
    line = first_line(call.child_by_field_name("arguments") or call)
    body = handlers[-1].child_by_field_name("body")
    yield route(
        call,
        method,
        path,
        _handler(handlers[-1]),
        technology,
        router=symbol,
        start_line=line,
        end_line=first_line(body) if body is not None else None,
        description=file.comment_above(line),
    )


def _handler(node: Node) -> str:
    if node.type in ("arrow_function", "function_expression", "function"):
        return name_of(node) or "(inline)"
    if node.type == "call_expression":  # asyncHandler(getUser), auth.bind(this)
        function = node.child_by_field_name("function")
        if function is not None and text(function).endswith(".bind"):
            return text(function).removesuffix(".bind")
        inner = positional(node.child_by_field_name("arguments"))
        return _handler(inner[-1]) if inner else text(function)
    if node.type == "array":
        last = node.named_children[-1:]
        return _handler(last[0]) if last else "[]"
    return " ".join(text(node).split())[:200]


def _mount_facts(call: Node, verb: str, symbol: str, args: list[Node], technology: str | None) -> Iterator[Fact]:
    prefix = string_value(args[0]) if args else None
    targets = args if prefix is None else args[1:]
    if verb == "register":  # fastify: register(routes, { prefix: '/users' })
        prefix = _prefix_option(args[1]) if len(args) > 1 else ""
        targets = args[:1]
    for target in targets:
        if target.type in ("identifier", "member_expression"):
            yield _mount(call, symbol, prefix, text(target), technology)
        elif target.type == "call_expression":
            function = text(target.child_by_field_name("function"))
            inner = positional(target.child_by_field_name("arguments"))
            module = string_value(inner[0]) if inner else None
            if function in ("require", "import") and module:
                yield _mount(call, symbol, prefix, f"module {module}", technology)
            elif function.endswith(".routes"):
                router = function.removesuffix(".routes")
                yield _mount(call, symbol, prefix, router, technology)


def _mount(call: Node, symbol: str, prefix: str | None, target: str, technology: str | None) -> Fact:
    return mount(call, symbol, prefix or "", target, technology=technology)


def _prefix_option(options: Node) -> str:
    for pair in options.named_children:
        if pair.type == "pair" and text(pair.child_by_field_name("key")).strip("'\"") == "prefix":
            return string_value(pair.child_by_field_name("value")) or ""
    return ""


def _exports(file: SourceFile, routers: dict[str, str]) -> Iterator[Fact]:
    for node in (*file.nodes("exports"), *file.nodes("export")):
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        name = text(value) if value is not None and value.type == "identifier" else ""
        if name in routers:
            yield mount(node, "default", "", name)
