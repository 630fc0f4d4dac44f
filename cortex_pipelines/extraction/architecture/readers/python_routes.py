"""Read Python routes: declared by decorators or calls, and URL patterns of Django."""

from collections.abc import Iterator, Mapping

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import METHODS, Fact, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile, fact_reader
from cortex_pipelines.extraction.architecture.syntax import (
    arguments_of,
    child,
    child_text,
    enclosing,
    first_named_child,
    head_end,
    keyword,
    name_of,
    positional,
    string_value,
    strings_in,
    text,
)

_PATTERNS = ("path", "re_path", "url")
_MAX_DEPTH = 6


@fact_reader(lambda file: file.language == "python" and "urlpatterns" in file.text)
def django_urls(file: SourceFile) -> Iterator[Fact]:
    for patterns in file.nodes("patterns"):
        yield from _pattern_facts(patterns.child_by_field_name("right"), "", 0)


def _pattern_facts(node: Node | None, prefix: str, depth: int) -> Iterator[Fact]:
    if node is None or depth > _MAX_DEPTH:
        return
    if node.type == "call":
        yield from _pattern_call(node, prefix, depth)
    elif node.type in ("list", "tuple", "binary_operator", "parenthesized_expression"):
        for part in node.named_children:
            yield from _pattern_facts(part, prefix, depth + (node.type != "list"))


def _pattern_call(call: Node, prefix: str, depth: int) -> Iterator[Fact]:
    function, args = child_text(call, "function").rsplit(".", 1)[-1], arguments_of(call)
    if function in ("i18n_patterns", "format_suffix_patterns"):
        for part in args:
            yield from _pattern_facts(part, prefix, depth + 1)
        return
    path = string_value(args[0]) if args else None
    if function not in _PATTERNS or path is None or len(args) < 2:
        return
    full_path = prefix + (path if function == "path" else path.lstrip("^").rstrip("$"))
    view = args[1]
    if view.type == "call" and child_text(view, "function").endswith("include"):
        yield from _included(call, view, full_path, depth)
    else:
        yield route(call, "ANY", full_path, _django_view(view), "django", router="urlpatterns")


def _included(call: Node, include: Node, prefix: str, depth: int) -> Iterator[Fact]:
    target = next(iter(arguments_of(include)), None)
    if target is not None and target.type == "tuple" and target.named_child_count:
        target = first_named_child(target)
    if target is None:
        return
    if target.type == "list":
        yield from _pattern_facts(target, prefix, depth + 1)
        return
    module = string_value(target)
    name = text(target).removesuffix(".urls") if module is None else f"module {module}"
    yield mount(call, "urlpatterns", prefix, name)


def _django_view(node: Node) -> str:
    if node.type == "call":
        function = child_text(node, "function")
        if function.endswith(".as_view"):
            return function.removesuffix(".as_view")
        inner = arguments_of(node)
        return _django_view(inner[0]) if inner else function
    return text(node)


# Constructor to framework and keyword of its prefix.
_ROUTERS = {
    "FastAPI": ("fastapi", "root_path"),
    "APIRouter": ("fastapi", "prefix"),
    "Flask": ("flask", "static"),
    "Blueprint": ("flask", "url_prefix"),
    "Quart": ("quart", "static"),
    "Starlette": ("starlette", ""),
    "Sanic": ("sanic", ""),
    "Bottle": ("bottle", ""),
    "RouteTableDef": ("aiohttp", ""),
    "Application": ("aiohttp", ""),
    "DefaultRouter": ("django-rest-framework", ""),
    "SimpleRouter": ("django-rest-framework", ""),
    "Litestar": ("litestar", ""),
    "Api": ("flask-restful", "prefix"),
    "Namespace": ("flask-restx", "path"),
    "NinjaAPI": ("django-ninja", ""),
    "Router": ("django-ninja", ""),
}
_DECORATORS = {method.lower() for method in METHODS} | {"route", "api_route", "websocket"}
_ROUTE_CALLS = {"add_url_rule", "add_api_route", "add_resource", "add_route", "add_api_websocket_route"}
_MOUNTS = {"include_router": "prefix", "register_blueprint": "url_prefix", "mount": "path"}
_IMPORTS = (
    *("fastapi", "flask", "quart", "sanic", "starlette", "aiohttp", "bottle", "litestar"),
    *("flask_restful", "flask_restx", "ninja", "falcon"),
)
_Routers = Mapping[str, tuple[str, str, Node]]
"""Framework, prefix and definition of each router."""


@fact_reader(lambda file: file.language == "python")
def python_routes(file: SourceFile) -> Iterator[Fact]:
    routers = dict(_routers(file))
    guess = _framework(file)
    for name, (_, prefix, node) in routers.items():
        if prefix:
            yield mount(node, "", prefix, name)
    for node in file.nodes("decorated"):
        yield from _decorated_routes(node, routers, guess)
    for call in file.nodes("call"):
        yield from _call_facts(call, routers, guess)


def _routers(file: SourceFile) -> Iterator[tuple[str, tuple[str, str, Node]]]:
    for node in file.nodes("assigned"):
        call = node.child_by_field_name("right")
        router_class = _ROUTERS.get(child_text(call, "function").rsplit(".", 1)[-1])
        if router_class is not None:
            prefix = keyword(child(call, "arguments"), router_class[1])
            yield child_text(node, "left"), (router_class[0], _path_of(prefix), node)


def _framework(file: SourceFile) -> str | None:
    heads = [" ".join(text(node).split()[:2]) for node in file.nodes("import")]
    modules = {head.split(" ")[-1].split(".")[0].rstrip(",") for head in heads}
    return next((name.replace("_", "-") for name in _IMPORTS if name in modules), None)


def _decorated_routes(node: Node, routers: _Routers, guess: str | None) -> Iterator[Fact]:
    definition = node.child_by_field_name("definition")
    for decorator in node.children if definition is not None else ():
        call = first_named_child(decorator) if decorator.type == "decorator" else None
        function = child(call, "function") if call is not None and call.type == "call" else None
        verb, receiver = child_text(function, "attribute"), child_text(function, "object")
        arguments = child(call, "arguments")
        path = _route_path(arguments, receiver in routers)
        if definition is None or verb not in _DECORATORS or path is None:
            continue
        summary = string_value(keyword(arguments, "summary", "description"))
        technology = routers[receiver][0] if receiver in routers else guess
        for method in _methods(verb, arguments, definition):
            yield route(
                node, method, path, _handler(definition), technology, router=receiver,
                end_line=head_end(definition), description=summary, description_source="summary",
            )  # fmt: skip


def _route_path(arguments: Node | None, is_router: bool) -> str | None:
    """The route's path; without a known router, only if it can be nothing else."""
    node = next(iter(positional(arguments)), None) or keyword(arguments, "path", "rule", "uri")
    value = string_value(node)
    if value is None:
        return _path_of(node) if is_router and node is not None else None
    return value if is_router or value.startswith("/") or value == "" else None


def _methods(verb: str, arguments: Node | None, definition: Node) -> list[str]:
    if verb == "websocket":
        return ["WEBSOCKET"]
    if verb not in ("route", "api_route"):
        return [verb.upper()]
    methods = [value.upper() for value in strings_in(keyword(arguments, "methods", "method"))]
    return methods or (["GET"] if definition.type == "function_definition" else ["ANY"])


def _handler(definition: Node) -> str:
    outer = enclosing(definition, "class_definition", "function_definition")
    is_method = outer is not None and outer.type == "class_definition"
    return f"{name_of(outer)}.{name_of(definition)}" if is_method else name_of(definition)


def _call_facts(call: Node, routers: _Routers, guess: str | None) -> Iterator[Fact]:
    function, args = call.child_by_field_name("function"), arguments_of(call)
    receiver, verb = child_text(function, "object"), child_text(function, "attribute")
    if verb in _MOUNTS:
        yield from _mount_facts(call, receiver, verb, args)
    elif verb in _ROUTE_CALLS:
        yield from _added_routes(call, receiver, verb, args, routers[receiver][0] if receiver in routers else guess)
    elif verb == "register" and receiver in routers and routers[receiver][0] == "django-rest-framework":
        path = string_value(args[0]) if args else None
        if path is not None and len(args) > 1:
            yield route(call, "ANY", path + "/", text(args[1]), "django-rest-framework", router=receiver)
    elif verb.startswith("add_") and len(args) > 1 and receiver.endswith("router"):
        path = string_value(args[0])
        if path is not None and path.startswith("/"):
            method = verb.removeprefix("add_").upper()
            yield route(call, method, path, text(args[1]), guess or "aiohttp", router=receiver)


def _mount_facts(call: Node, receiver: str, verb: str, args: list[Node]) -> Iterator[Fact]:
    arguments = call.child_by_field_name("arguments")
    target = args[0] if args else keyword(arguments, "router", "blueprint")
    prefix = keyword(arguments, _MOUNTS[verb])
    if verb == "mount":
        prefix, target = target, args[1] if len(args) > 1 else keyword(arguments, "app")
    if target is not None and target.type in ("identifier", "attribute"):
        replaces = verb == "register_blueprint" and prefix is not None
        yield mount(call, receiver, _path_of(prefix), text(target), replaces=replaces)


def _added_routes(call: Node, receiver: str, verb: str, args: list[Node], technology: str | None) -> Iterator[Fact]:
    arguments = call.child_by_field_name("arguments")
    handler = keyword(arguments, "view_func", "endpoint", "route", "handler", "resource")
    paths = [value for node in args if (value := string_value(node)) is not None]
    default = "WEBSOCKET" if "websocket" in verb else "GET" if verb == "add_url_rule" else "ANY"
    if verb == "add_resource":
        handler = args[0] if args else handler
    elif verb == "add_url_rule":
        paths = paths[:1]
        handler = keyword(arguments, "view_func") or (args[2] if len(args) > 2 else None)
    else:
        paths = paths[:1]
        handler = args[1] if len(args) > 1 else handler
    view = text(handler).split(".as_view(")[0] or "?"
    methods = [name.upper() for name in strings_in(keyword(arguments, "methods"))] or [default]
    for path in paths:
        for method in methods:
            yield route(call, method, path, view, technology, router=receiver)


def _path_of(node: Node | None) -> str:
    """A path as written, a name in braces; empty without one."""
    value = string_value(node)
    return value if value is not None else "{" + text(node) + "}" if node is not None else ""
