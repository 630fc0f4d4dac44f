"""Read Go: routes (net/http, gorilla, gin, echo, chi, fiber), models with tags of GORM, bun, xorm, sqlx or bson."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, ColumnDefinition, Fact, mount, route, table_facts
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    enclosing,
    first_line,
    first_named_child,
    lines_of,
    name_of,
    named_children,
    string_value,
    text,
)

_TAGS = {"gorm": "gorm", "bun": "bun", "xorm": "xorm", "db": "sqlx", "bson": "mongodb"}
_TAG = re.compile(r'\b(gorm|bun|xorm|db|bson):"((?:[^"\\]|\\.)*)"')
_COLUMN = re.compile(r"(?:^|;)\s*column:\s*([\w.]+)", re.IGNORECASE)
_RETURNED_NAME = re.compile(r'return\s+["`]([^"`]+)["`]')


@fact_reader(lambda file: file.language == "go" and bool(_TAG.search(file.text) or "gorm.Model" in file.text))
def go_models(file: SourceFile) -> Iterator[Fact]:
    names = {}  # func (User) TableName() string { return "users" }
    for node in file.nodes("tablename"):
        if match := _RETURNED_NAME.search(child_text(node, "body")):
            names[child_text(node, "receiver").strip("()").split(" ")[-1].lstrip("*")] = match[1]
    structs = {name_of(node) for node in file.nodes("struct")}
    for node in file.nodes("struct"):
        columns: list[ColumnDefinition] = []
        technology = None
        for member in named_children(first_named_child(child(node, "type"))):
            if member.type != "field_declaration":
                continue
            match = _TAG.search(child_text(member, "tag"))
            kind = child_text(member, "type")
            if match:
                technology = technology or _TAGS[match[1]]
            if kind == "gorm.Model" or (match and "gorm.Model" in text(member)):
                technology = "gorm"
            if match and match[2] == "-":
                continue
            name = name_of(member) or kind.rsplit(".", 1)[-1]
            if match and match[1] == "gorm":
                column = _COLUMN.search(match[2])
                name = column[1] if column else name
            elif match and match[1] != "xorm":
                name = match[2].split(",")[0].strip() or name
            target = kind.lstrip("[]*")
            columns.append(ColumnDefinition(name, kind, lines_of(member), target if target in structs else ""))
        model = name_of(node)
        if technology is not None or model in names:
            name, technology = names.get(model, model), technology or "gorm"
            comment = file.comment_above(first_line(node))
            yield from table_facts(name, "model", technology, lines_of(node), columns, comment, model)


_FRAMEWORKS = {
    **{"gin-gonic/gin": "gin", "labstack/echo": "echo", "go-chi/chi": "chi", "gofiber/fiber": "fiber"},
    **{"gorilla/mux": "gorilla", "julienschmidt/httprouter": "httprouter", "net/http": "net/http"},
}
_TITLES = {method.title(): method for method in METHODS} | {"All": "ANY", "Any": "ANY"}
_CLIENTS = frozenset({"http", "client", "resty", "c", "ctx", "req", "r.Header", "w.Header()"})


# tests call routes
@fact_reader(lambda file: file.language == "go" and not file.name.endswith("_test.go"))
def go_routes(file: SourceFile) -> Iterator[Fact]:
    technology = next((name for key, name in _FRAMEWORKS.items() if key in file.text), None)
    for call in file.nodes("call"):
        yield from _call_facts(file, call, technology)
    for node in file.nodes("assigned"):
        # v1 := r.Group("/v1"), and r.PathPrefix("/v1").Subrouter() of gorilla
        outer, prefix = _symbol(first_named_child(child(node, "right")))
        variable = node.child_by_field_name("left")
        if variable is not None and prefix:
            yield mount(node, outer, prefix, _scoped(node, text(first_named_child(variable))))
    for call in file.nodes("passed"):
        # users.Register(v1.Group("/users")): mounts the routes of the function
        function = call.child_by_field_name("function")
        if function is not None and function.type in ("identifier", "selector_expression"):
            for argument in arguments_of(call):
                symbol, prefix = _symbol(argument)
                if symbol and (prefix or argument.type == "identifier"):
                    yield mount(call, symbol, prefix, "parameter " + text(function))


def _call_facts(file: SourceFile, call: Node, technology: str | None) -> Iterator[Fact]:
    function = call.child_by_field_name("function")
    verb, operand, args = child_text(function, "field"), child(function, "operand"), arguments_of(call)
    if operand is None or (len(args) < 2 and verb != "Group"):
        return
    symbol, prefix = _symbol(operand)
    path = string_value(args[0]) if args else None
    lines, comment = lines_of(call), file.comment_above(first_line(call))
    if verb in ("Group", "Route"):  # r.Route("/x", func(r chi.Router) { … }): mounts the routes of the function
        if args and args[-1].type == "func_literal":
            names = _parameters(args[-1])
            yield mount(call, symbol, prefix + (path or ""), f"{args[-1].start_byte}:{names[0]}" if names else "")
    elif verb == "Mount":
        if path is not None:
            target = args[1]
            returns = "returned " + child_text(target, "function")
            name = returns if target.type == "call_expression" else _scoped(target, text(target))
            yield mount(call, symbol, path, name)
    elif verb in ("HandleFunc", "Handle"):
        # mux.HandleFunc("GET /x", h), and r.HandleFunc("/x", h).Methods("GET") of gorilla
        handler = args[1]
        if path in METHODS and len(args) > 2:  # r.Handle("GET", "/x", h) of gin
            path, handler = f"{path} {string_value(args[1])}", args[-1]
        if path is None or "/" not in path:
            return
        verb, space, rest = path.partition(" ")
        path = rest.strip() if space else path
        path = path if path.startswith(("/", "{")) else "/" + path.partition("/")[2]  # host/path
        router = "" if symbol.endswith(":http") else symbol
        for method in [verb] if space else _methods_of(call) or ["ANY"]:
            yield route(lines, method, path, _handler(handler), technology, router=router, comment=comment)
    else:
        method = verb if verb in METHODS else _TITLES.get(verb, "")
        handlers = args[1:]
        if verb in ("Method", "MethodFunc", "Add") and len(args) > 2:
            method, path = path or text(args[0]).rsplit(".Method", 1)[-1].upper(), string_value(args[1])
            handlers = args[2:]
        # of echo middleware stands behind the handler, of others before it
        handler = handlers[0 if technology == "echo" else -1]
        is_client = text(operand) in _CLIENTS and verb in _TITLES
        if method and path is not None and (path.startswith(("/", "*")) or path == "") and not is_client:
            yield route(lines, method, prefix + path, _handler(handler), technology, router=symbol, comment=comment)


def _methods_of(call: Node) -> list[str]:
    outer: Node | None = call.parent
    for _ in range(8):
        if outer is None or outer.type not in ("selector_expression", "call_expression"):
            return []
        if outer.type == "call_expression" and child_text(outer, "function").endswith(".Methods"):
            return [(string_value(node) or text(node).rsplit(".Method", 1)[-1]).upper() for node in arguments_of(outer)]
        outer = outer.parent
    return []


def _symbol(node: Node | None) -> tuple[str, str]:
    """Router of an expression, and the prefix that groups in the expression itself add."""
    prefix = ""
    for _ in range(32):
        if node is None or node.type != "call_expression":
            break
        function = node.child_by_field_name("function")
        if function is None or function.type != "selector_expression":
            return "", prefix
        verb = child_text(function, "field")
        if verb in ("Group", "PathPrefix"):
            args = arguments_of(node)
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
        if scope is not None and scope.type != "func_literal":
            return f"{name_of(scope)}:{name}"
        if scope is not None and name in _parameters(scope):
            return f"{scope.start_byte}:{name}"
    return f":{name}"


def _parameters(function: Node) -> list[str]:
    parameters = named_children(child(function, "parameters"))
    return [text(name) for parameter in parameters for name in parameter.children_by_field_name("name")]


def _handler(node: Node) -> str:
    if node.type == "func_literal":
        return "(inline)"
    if node.type == "call_expression":  # http.HandlerFunc(h), h.Users(), middleware(h)
        args = arguments_of(node)
        is_wrapper = bool(args) and args[-1].type in ("identifier", "selector_expression")
        return text(args[-1]) if is_wrapper else child_text(node, "function")
    return " ".join(text(node).split())[:200]
