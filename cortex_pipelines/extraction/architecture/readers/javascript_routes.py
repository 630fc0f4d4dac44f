"""Read JavaScript and TypeScript routes that are registered by calls."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    first_inside,
    first_line,
    name_of,
    positional,
    short_text,
    string_value,
    text,
    top_of_chain,
)

_VERBS = {method.lower() for method in METHODS} | {"all", "del"}
_MADE = {"express": "express", "Router": "express", "fastify": "fastify", "Fastify": "fastify",
         "Hono": "hono", "Koa": "koa", "KoaRouter": "koa", "Elysia": "elysia", "restify": "restify",
         "polka": "polka", "restana": "restana", "OpenAPIHono": "hono"}  # fmt: skip
_MAKERS = ("Router", "createServer", "basePath")
_LINKS = frozenset({"call_expression", "member_expression", "parenthesized_expression"})
_MAX_CHAIN = 1_000
_IMPORTED = re.compile(
    r"""(?:from|require\()\s*['"](express|fastify|hono|koa-router|@koa/router|restify|polka)['"/]"""
)
# Parameters and imports that are called so are routers; `axios` and `http` are clients.
_RECEIVER = re.compile(
    r"(?i)^(app|api|server|fastify|route[rs]?|\w*router|\w*routes|instance|v\d)$"
)
_HANDLERS = frozenset(
    {"identifier", "member_expression", "arrow_function", "function_expression", "function"}
    | {"call_expression", "array", "await_expression", "as_expression", "subscript_expression"}
)


def reads(file: SourceFile) -> bool:
    """Whether the file is JavaScript or TypeScript and not a test (tests call routes)."""
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
        known = symbol in routers or base is None
        if symbol is None or not (known or (guess and _RECEIVER.match(symbol))
                                  or _RECEIVER.match(symbol)):  # fmt: skip
            continue
        technology = routers.get(symbol) or guess
        given = positional(call.child_by_field_name("arguments"))
        if verb in _VERBS:
            yield from _routed(call, verb, symbol, path, given, technology, known, file)
        elif verb in ("use", "route", "register"):
            yield from _mounted(call, verb, symbol, given, technology)
    yield from _exports(file, routers)


def _routers(file: SourceFile) -> Iterator[tuple[str, str]]:
    for node in file.nodes("assigned"):
        made = _made(node.child_by_field_name("value"))
        if made is not None:
            yield name_of(node), made


def _made(value: Node | None) -> str | None:
    """Framework of the router that an expression creates, through its chained calls."""
    here = value
    for _ in range(_MAX_CHAIN):
        if here is None or here.type not in ("call_expression", "new_expression"):
            return None
        maker = here.child_by_field_name("function") or here.child_by_field_name("constructor")
        name = short_text(maker)
        if name in _MADE or name.rsplit(".", 1)[-1] in _MAKERS:
            if name in ("http.createServer", "https.createServer", "net.createServer"):
                return None
            return _MADE.get(name) or _MADE.get(name.split(".")[0], "express")
        here = maker.child_by_field_name("object") if maker is not None else None
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
        makes = short_text(function).rsplit(".", 1)[-1] in _MAKERS
        if function is None or function.type != "member_expression" or makes:
            return (None if _made(node) else ""), path
        if text(function.child_by_field_name("property")) == "route" and path is None:
            given = positional(node.child_by_field_name("arguments"))
            path = string_value(given[0]) if given else None
        node = function.child_by_field_name("object")
    return "", None


def _symbol_of_chain(file: SourceFile, call: Node) -> str | None:
    """Variable that holds a chained router; ``default`` if it is exported."""
    outer = top_of_chain(call, _LINKS, file.chains).parent
    if outer is not None and outer.type == "variable_declarator":
        return name_of(outer)
    exported = outer is not None and outer.type in ("export_statement", "assignment_expression")
    return "default" if exported else None


def _routed(
    call: Node, verb: str, symbol: str, path: str | None, given: list[Node],
    technology: str | None, known: bool, file: SourceFile,
) -> Iterator[Fact]:  # fmt: skip
    own = string_value(given[0]) if given else None
    if path is None:
        path, handlers = own, given[1:]
        if path is None and given and given[0].type == "regex":
            path = text(given[0])
        elif path is None and given and given[0].type == "array":
            path = string_value(first_inside(given[0]))
    else:
        handlers = given
    if path is None or not handlers or handlers[-1].type not in _HANDLERS:
        return
    if not (path.startswith(("/", "*", "{")) or path == "" or (known and technology == "hono")):
        return
    method = {"all": "ANY", "del": "DELETE"}.get(verb, verb.upper())
    line = first_line(call.child_by_field_name("arguments") or call)
    body = handlers[-1].child_by_field_name("body")
    yield route(
        call, method, path, _handler(handlers[-1]), technology, router=symbol, start_line=line,
        end_line=first_line(body) if body is not None else None, about=file.comment_above(line),
    )  # fmt: skip


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


def _mounted(
    call: Node, verb: str, symbol: str, given: list[Node], technology: str | None
) -> Iterator[Fact]:
    prefix = string_value(given[0]) if given else None
    targets = given if prefix is None else given[1:]
    if verb == "register":  # fastify: register(routes, { prefix: '/users' })
        prefix = _prefix_option(given[1]) if len(given) > 1 else ""
        targets = given[:1]
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
                named = function.removesuffix(".routes")
                yield _mount(call, symbol, prefix, named, technology)


def _mount(
    call: Node, symbol: str, prefix: str | None, target: str, technology: str | None
) -> Fact:
    return mount(call, symbol, prefix or "", target, technology=technology)


def _prefix_option(options: Node) -> str:
    for pair in options.named_children:
        if pair.type == "pair" and text(pair.child_by_field_name("key")).strip("'\"") == "prefix":
            return string_value(pair.child_by_field_name("value")) or ""
    return ""


def _exports(file: SourceFile, routers: dict[str, str]) -> Iterator[Fact]:
    """Register an exported router under ``default`` for other files."""
    for node in (*file.nodes("exports"), *file.nodes("export")):
        value = node.child_by_field_name("right") or node.child_by_field_name("value")
        name = text(value) if value is not None and value.type == "identifier" else ""
        if name in routers:
            yield mount(node, "default", "", name)
