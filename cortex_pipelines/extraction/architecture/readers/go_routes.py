"""Read Go routes: net/http, gorilla, gin, echo, chi, fiber."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    enclosing,
    first_inside,
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


def reads(file: SourceFile) -> bool:
    """Whether the file is Go and not a test (tests call routes)."""
    return file.language == "go" and not file.name.endswith("_test.go")


def facts(file: SourceFile) -> Iterator[Fact]:
    """Routes and router mounts."""
    technology = next((name for key, name in _FRAMEWORKS.items() if key in file.text), None)
    for call in file.nodes("call"):
        yield from _called(file, call, technology)
    for node in file.nodes("assigned"):
        yield from _assigned(node)
    for call in file.nodes("passed"):
        yield from _passed(call)


def _called(file: SourceFile, call: Node, technology: str | None) -> Iterator[Fact]:
    function, arguments = (
        call.child_by_field_name("function"),
        call.child_by_field_name("arguments"),
    )
    verb = text(function.child_by_field_name("field")) if function else ""
    operand = function.child_by_field_name("operand") if function else None
    given = positional(arguments)
    if verb == "Group" and operand is not None:
        yield from _closure(call, operand, given)  # r.Group(func(r chi.Router) { … })
        return
    if len(given) < 2 or operand is None:
        return
    symbol, inline = _symbol(operand)
    if verb == "Route":
        yield from _closure(call, operand, given)
    elif verb == "Mount":
        yield from _mounted(call, symbol, given)
    elif verb in ("HandleFunc", "Handle"):
        yield from _handled(file, call, symbol, given, technology)
    else:
        method, path, handler = _verb(verb, given)
        plain = path is not None and (path.startswith(("/", "*")) or path == "")
        client = text(operand) in _CLIENTS and verb in _TITLES
        if method and plain and not client and handler is not None:
            yield route(call, method, inline + str(path), _handler(handler), technology,
                        router=symbol, about=_about(file, call))  # fmt: skip


def _verb(verb: str, given: list[Node]) -> tuple[str, str | None, Node | None]:
    if verb in METHODS:
        return verb, string_value(given[0]), given[-1]
    if verb in ("Method", "MethodFunc", "Add") and len(given) > 2:
        named = string_value(given[0]) or text(given[0]).rsplit(".Method", 1)[-1].upper()
        return named, string_value(given[1]), given[-1]
    method = _TITLES.get(verb, "")
    return method, string_value(given[0]), given[-1] if len(given) > 1 else None


def _handled(
    file: SourceFile, call: Node, symbol: str, given: list[Node], technology: str | None
) -> Iterator[Fact]:
    """`mux.HandleFunc("GET /x", h)`, and `r.HandleFunc("/x", h).Methods("GET")` of gorilla."""
    if symbol.endswith(":http"):
        symbol = ""
    pattern = string_value(given[0])
    handler = given[1]
    if pattern in METHODS and len(given) > 2:  # r.Handle("GET", "/x", h) of gin
        pattern, handler = f"{pattern} {string_value(given[1])}", given[-1]
    if pattern is None or "/" not in pattern:
        return
    verb, space, path = pattern.partition(" ")
    methods = [verb] if space else _methods_of(call) or ["ANY"]
    for method in methods:
        whole = path.strip() if space else pattern
        whole = (
            whole if whole.startswith(("/", "{")) else "/" + whole.partition("/")[2]
        )  # host/path
        yield route(call, method, whole, _handler(handler), technology, router=symbol,
                    about=_about(file, call))  # fmt: skip


def _methods_of(call: Node) -> list[str]:
    here: Node | None = call.parent
    for _ in range(8):
        if here is None or here.type not in ("selector_expression", "call_expression"):
            return []
        function = here.child_by_field_name("function")
        if here.type == "call_expression" and text(function).endswith(".Methods"):
            return [
                (string_value(node) or text(node).rsplit(".Method", 1)[-1]).upper()
                for node in positional(here.child_by_field_name("arguments"))
            ]
        here = here.parent
    return []


def _closure(call: Node, operand: Node, given: list[Node]) -> Iterator[Fact]:
    """`r.Route("/x", func(r chi.Router) { … })`: what the function registers is below."""
    body = given[-1] if given and given[-1].type == "func_literal" else None
    if body is not None:
        prefix = string_value(given[0]) or ""
        outer, inline = _symbol(operand)
        yield mount(call, outer, inline + prefix, _parameter(body))


def _mounted(call: Node, symbol: str, given: list[Node]) -> Iterator[Fact]:
    prefix, target = string_value(given[0]), given[1]
    if prefix is not None and target.type == "call_expression":
        yield mount(
            call, symbol, prefix, "returned " + text(target.child_by_field_name("function"))
        )
    elif prefix is not None:
        yield mount(call, symbol, prefix, _scoped(target, text(target)))


def _assigned(node: Node) -> Iterator[Fact]:
    """`v1 := r.Group("/v1")`, and `r.PathPrefix("/v1").Subrouter()` of gorilla."""
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    value = first_inside(right) if right is not None else None
    outer, inline = _symbol(value)
    if left is not None and inline:
        yield mount(node, outer, inline, _scoped(node, text(first_inside(left))))


def _passed(call: Node) -> Iterator[Fact]:
    """`users.Register(v1.Group("/users"))`: what the function registers is below."""
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
            given = positional(node.child_by_field_name("arguments"))
            prefix = (string_value(given[0]) or "" if given else "") + prefix
        elif verb not in ("With", "Subrouter", "Use", "StrictSlash"):
            return "", ""
        node = function.child_by_field_name("operand")
    return (_scoped(node, text(node)) if node is not None else ""), prefix


def _scoped(node: Node, name: str) -> str:
    """A variable's name with the function around it; a closure that has such a parameter is one."""
    here: Node | None = node
    while here is not None:
        here = enclosing(here, "func_literal", "function_declaration", "method_declaration")
        if here is None:
            return f":{name}"
        if here.type != "func_literal":
            return f"{name_of(here)}:{name}"
        if name in _parameters(here):
            return f"{here.start_byte}:{name}"
    return f":{name}"


def _parameter(function: Node) -> str:
    names = _parameters(function)
    return f"{function.start_byte}:{names[0]}" if names else ""


def _parameters(function: Node) -> list[str]:
    listed = function.child_by_field_name("parameters")
    return [
        text(name)
        for parameter in (listed.named_children if listed is not None else ())
        for name in parameter.children_by_field_name("name")
    ]


def _handler(node: Node) -> str:
    if node.type == "func_literal":
        return "(inline)"
    if node.type == "call_expression":  # http.HandlerFunc(h), h.Users(), middleware(h)
        given = positional(node.child_by_field_name("arguments"))
        last = given[-1] if given else None
        if last is not None and last.type in ("identifier", "selector_expression"):
            return text(last)
        return text(node.child_by_field_name("function"))
    return " ".join(text(node).split())[:200]


def _about(file: SourceFile, call: Node) -> str | None:
    return file.comment_above(call.start_point[0] + 1)
