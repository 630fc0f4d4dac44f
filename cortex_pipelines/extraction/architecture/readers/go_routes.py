"""Read Go routes: net/http, gorilla, gin, echo, chi, fiber."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    enclosing,
    first_named_child,
    name_of,
    positional,
    string_value,
    text,
)

_FRAMEWORKS = {"gin-gonic/gin": "gin", "labstack/echo": "echo", "go-chi/chi": "chi",
               "gofiber/fiber": "fiber", "gorilla/mux": "gorilla", "julienschmidt/httprouter":
               "httprouter", "net/http": "net/http"}  # fmt: skip
_TITLES = {method.title(): method for method in METHODS} | {"All": "ANY", "Any": "ANY"}
_CLIENTS = frozenset({"http", "client", "resty", "c", "ctx", "req", "r.Header", "w.Header()"})


def applies_to(file: SourceFile) -> bool:
    return file.language == "go" and not file.name.endswith("_test.go")


def facts(file: SourceFile) -> Iterator[Fact]:
    """Routes and router mounts."""
    technology = next((name for key, name in _FRAMEWORKS.items() if key in file.text), None)
    for call in file.nodes("call"):
        yield from _call_facts(file, call, technology)
    for node in file.nodes("assigned"):
        yield from _group_mounts(node)
    for call in file.nodes("passed"):
        yield from _passed_routers(call)


def _call_facts(file: SourceFile, call: Node, technology: str | None) -> Iterator[Fact]:
    function, arguments = (call.child_by_field_name("function"), call.child_by_field_name("arguments"))
    verb = text(function.child_by_field_name("field")) if function else ""
    operand = function.child_by_field_name("operand") if function else None
    args = positional(arguments)
    if verb == "Group" and operand is not None:
        yield from _closure(call, operand, args)  # r.Group(func(r chi.Router) { … })
        return
    if len(args) < 2 or operand is None:
        return
    symbol, inline = _symbol(operand)
    if verb == "Route":
        yield from _closure(call, operand, args)
    elif verb == "Mount":
        yield from _mount_facts(call, symbol, args)
    elif verb in ("HandleFunc", "Handle"):
        yield from _handle_facts(file, call, symbol, args, technology)
    else:
        method, path, handler = _method_route(verb, args)
        plain = path is not None and (path.startswith(("/", "*")) or path == "")
        client = text(operand) in _CLIENTS and verb in _TITLES
        if method and plain and not client and handler is not None:
            yield route(call, method, inline + str(path), _handler(handler), technology,
                        router=symbol, description=_comment(file, call))  # fmt: skip


def _method_route(verb: str, args: list[Node]) -> tuple[str, str | None, Node | None]:
    if verb in METHODS:
        return verb, string_value(args[0]), args[-1]
    if verb in ("Method", "MethodFunc", "Add") and len(args) > 2:
        verb_name = string_value(args[0]) or text(args[0]).rsplit(".Method", 1)[-1].upper()
        return verb_name, string_value(args[1]), args[-1]
    method = _TITLES.get(verb, "")
    return method, string_value(args[0]), args[-1] if len(args) > 1 else None


def _handle_facts(
    file: SourceFile, call: Node, symbol: str, args: list[Node], technology: str | None
) -> Iterator[Fact]:
    """`mux.HandleFunc("GET /x", h)`, and `r.HandleFunc("/x", h).Methods("GET")` of gorilla."""
    if symbol.endswith(":http"):
        symbol = ""
    pattern = string_value(args[0])
    handler = args[1]
    if pattern in METHODS and len(args) > 2:  # r.Handle("GET", "/x", h) of gin
        pattern, handler = f"{pattern} {string_value(args[1])}", args[-1]
    if pattern is None or "/" not in pattern:
        return
    verb, space, path = pattern.partition(" ")
    methods = [verb] if space else _methods_of(call) or ["ANY"]
    for method in methods:
        full_path = path.strip() if space else pattern
        full_path = full_path if full_path.startswith(("/", "{")) else "/" + full_path.partition("/")[2]  # host/path
        yield route(call, method, full_path, _handler(handler), technology, router=symbol,
                    description=_comment(file, call))  # fmt: skip


def _methods_of(call: Node) -> list[str]:
    outer: Node | None = call.parent
    for _ in range(8):
        if outer is None or outer.type not in ("selector_expression", "call_expression"):
            return []
        function = outer.child_by_field_name("function")
        if outer.type == "call_expression" and text(function).endswith(".Methods"):
            return [
                (string_value(node) or text(node).rsplit(".Method", 1)[-1]).upper()
                for node in positional(outer.child_by_field_name("arguments"))
            ]
        outer = outer.parent
    return []


def _closure(call: Node, operand: Node, args: list[Node]) -> Iterator[Fact]:
    """`r.Route("/x", func(r chi.Router) { … })`: mounts the routes of the function."""
    body = args[-1] if args and args[-1].type == "func_literal" else None
    if body is not None:
        prefix = string_value(args[0]) or ""
        outer, inline = _symbol(operand)
        yield mount(call, outer, inline + prefix, _parameter(body))


def _mount_facts(call: Node, symbol: str, args: list[Node]) -> Iterator[Fact]:
    prefix, target = string_value(args[0]), args[1]
    if prefix is not None and target.type == "call_expression":
        yield mount(call, symbol, prefix, "returned " + text(target.child_by_field_name("function")))
    elif prefix is not None:
        yield mount(call, symbol, prefix, _scoped(target, text(target)))


def _group_mounts(node: Node) -> Iterator[Fact]:
    """`v1 := r.Group("/v1")`, and `r.PathPrefix("/v1").Subrouter()` of gorilla."""
    variable, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    value = first_named_child(right) if right is not None else None
    outer, inline = _symbol(value)
    if variable is not None and inline:
        yield mount(node, outer, inline, _scoped(node, text(first_named_child(variable))))


def _passed_routers(call: Node) -> Iterator[Fact]:
    """`users.Register(v1.Group("/users"))`: mounts the routes of the function."""
    function = call.child_by_field_name("function")
    if function is None or function.type not in ("identifier", "selector_expression"):
        return
    for argument in positional(call.child_by_field_name("arguments")):
        symbol, inline = _symbol(argument)
        if symbol and (inline or argument.type == "identifier"):
            yield mount(call, symbol, inline, "parameter " + text(function))


def _symbol(node: Node | None) -> tuple[str, str]:
    """Router of an expression, and the prefix that groups in the expression itself add."""
    prefix = ""
    for _ in range(32):
        if node is None or node.type != "call_expression":
            break
        function = node.child_by_field_name("function")
        if function is None or function.type != "selector_expression":
            return "", prefix
        verb = text(function.child_by_field_name("field"))
        if verb in ("Group", "PathPrefix"):
            args = positional(node.child_by_field_name("arguments"))
            prefix = (string_value(args[0]) or "" if args else "") + prefix
        elif verb not in ("With", "Subrouter", "Use", "StrictSlash"):
            return "", ""
        node = function.child_by_field_name("operand")
    return (_scoped(node, text(node)) if node is not None else ""), prefix


def _scoped(node: Node, name: str) -> str:
    """A variable's name with the function around it; a closure that has such a parameter is one."""
    scope: Node | None = node
    while scope is not None:
        scope = enclosing(scope, "func_literal", "function_declaration", "method_declaration")
        if scope is None:
            return f":{name}"
        if scope.type != "func_literal":
            return f"{name_of(scope)}:{name}"
        if name in _parameters(scope):
            return f"{scope.start_byte}:{name}"
    return f":{name}"


def _parameter(function: Node) -> str:
    names = _parameters(function)
    return f"{function.start_byte}:{names[0]}" if names else ""


def _parameters(function: Node) -> list[str]:
    parameters = function.child_by_field_name("parameters")
    return [
        text(name)
        for parameter in (parameters.named_children if parameters is not None else ())
        for name in parameter.children_by_field_name("name")
    ]


def _handler(node: Node) -> str:
    if node.type == "func_literal":
        return "(inline)"
    if node.type == "call_expression":  # http.HandlerFunc(h), h.Users(), middleware(h)
        args = positional(node.child_by_field_name("arguments"))
        last = args[-1] if args else None
        if last is not None and last.type in ("identifier", "selector_expression"):
            return text(last)
        return text(node.child_by_field_name("function"))
    return " ".join(text(node).split())[:200]


def _comment(file: SourceFile, call: Node) -> str | None:
    return file.comment_above(call.start_point[0] + 1)
