"""Read Python routes declared by decorators or calls."""

from collections.abc import Iterator, Mapping

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
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
_IMPORTS = ("fastapi", "flask", "quart", "sanic", "starlette", "aiohttp", "bottle", "litestar",
            "flask_restful", "flask_restx", "ninja", "falcon")  # fmt: skip


def applies_to(file: SourceFile) -> bool:
    return file.language == "python"


def facts(file: SourceFile) -> Iterator[Fact]:
    """Routes by decorator or call, and router mounts."""
    routers = dict(_routers(file))
    guess = _framework(file)
    for name, (_, prefix, node) in routers.items():
        if prefix:
            yield mount(node, "", prefix, name)
    for node in file.nodes("decorated"):
        yield from _decorated_routes(node, routers, guess)
    for call in file.nodes("call"):
        yield from _call_facts(call, routers, guess)


_Routers = Mapping[str, tuple[str, str, Node]]


def _routers(file: SourceFile) -> Iterator[tuple[str, tuple[str, str, Node]]]:
    for node in file.nodes("assigned"):
        call = node.child_by_field_name("right")
        constructor = text(call.child_by_field_name("function")) if call else ""
        router_class = _ROUTERS.get(constructor.rsplit(".", 1)[-1])
        if router_class is not None and call is not None:
            prefix = keyword(call.child_by_field_name("arguments"), router_class[1])
            name = text(node.child_by_field_name("left"))
            yield name, (router_class[0], _path_of(prefix) if prefix else "", node)


def _framework(file: SourceFile) -> str | None:
    heads = [" ".join(text(node).split()[:2]) for node in file.nodes("import")]
    for name in _IMPORTS:
        if any(head.split(" ")[-1].split(".")[0].rstrip(",") == name for head in heads):
            return name.replace("_", "-")
    return None


def _decorated_routes(node: Node, routers: _Routers, guess: str | None) -> Iterator[Fact]:
    definition = node.child_by_field_name("definition")
    if definition is None:
        return
    for decorator in node.children:
        call = first_named_child(decorator) if decorator.type == "decorator" else None
        if call is None or call.type != "call":
            continue
        function = call.child_by_field_name("function")
        verb = text(function.child_by_field_name("attribute")) if function else ""
        if verb not in _DECORATORS or function is None:
            continue
        receiver = text(function.child_by_field_name("object"))
        arguments = call.child_by_field_name("arguments")
        path = _route_path(arguments, receiver in routers)
        if path is None:
            continue
        summary = string_value(keyword(arguments, "summary", "description"))
        for method in _methods(verb, arguments, definition):
            yield route(
                node, method, path, _handler(definition),
                routers[receiver][0] if receiver in routers else guess,
                router=receiver, end_line=head_end(definition), description=summary,
                description_source="summary",
            )  # fmt: skip


def _route_path(arguments: Node | None, is_router: bool) -> str | None:
    """The route's path; without a known router, only if it can be nothing else."""
    args = positional(arguments)
    node = args[0] if args else keyword(arguments, "path", "rule", "uri")
    value = string_value(node)
    if value is None:
        return "{" + text(node) + "}" if is_router and node is not None else None
    return value if is_router or value.startswith("/") or value == "" else None


def _methods(verb: str, arguments: Node | None, definition: Node) -> list[str]:
    if verb == "websocket":
        return ["WEBSOCKET"]
    if verb not in ("route", "api_route"):
        return [verb.upper()]
    methods = [value.upper() for value in strings_in(keyword(arguments, "methods", "method"))]
    if methods:
        return methods
    return ["GET"] if definition.type == "function_definition" else ["ANY"]


def _handler(definition: Node) -> str:
    outer = enclosing(definition, "class_definition", "function_definition")
    is_method = outer is not None and outer.type == "class_definition"
    return f"{name_of(outer)}.{name_of(definition)}" if is_method else name_of(definition)


def _call_facts(call: Node, routers: _Routers, guess: str | None) -> Iterator[Fact]:
    function, arguments = (call.child_by_field_name("function"), call.child_by_field_name("arguments"))
    receiver = text(function.child_by_field_name("object")) if function else ""
    verb = text(function.child_by_field_name("attribute")) if function else ""
    args = positional(arguments)
    if verb in _MOUNTS:
        yield from _mount_facts(call, receiver, verb, args, arguments)
    elif verb in _ROUTE_CALLS:
        yield from _added_routes(call, receiver, verb, args, arguments, routers, guess)
    elif verb == "register" and routers.get(receiver, ("",))[0] == "django-rest-framework":
        path = string_value(args[0]) if args else None
        if path is not None and len(args) > 1:
            yield route(call, "ANY", path + "/", text(args[1]), "django-rest-framework",
                        router=receiver)  # fmt: skip
    elif verb.startswith("add_") and len(args) > 1 and receiver.endswith("router"):
        path = string_value(args[0])
        if path is not None and path.startswith("/"):
            method = verb.removeprefix("add_").upper()
            yield route(call, method, path, text(args[1]), guess or "aiohttp", router=receiver)


def _mount_facts(call: Node, receiver: str, verb: str, args: list[Node], arguments: Node | None) -> Iterator[Fact]:
    target = args[0] if args else keyword(arguments, "router", "blueprint")
    prefix = keyword(arguments, _MOUNTS[verb])
    if verb == "mount":
        prefix, target = target, args[1] if len(args) > 1 else keyword(arguments, "app")
    if target is not None and target.type in ("identifier", "attribute"):
        yield mount(call, receiver, _path_of(prefix) if prefix else "", text(target),
                    replaces=verb == "register_blueprint" and prefix is not None)  # fmt: skip


def _added_routes(
    call: Node, receiver: str, verb: str, args: list[Node], arguments: Node | None,
    routers: _Routers, guess: str | None,
) -> Iterator[Fact]:  # fmt: skip
    handler = keyword(arguments, "view_func", "endpoint", "route", "handler", "resource")
    paths = [value for node in args if (value := string_value(node)) is not None]
    if verb == "add_resource":
        handler = args[0] if args else handler
    elif verb == "add_url_rule":
        paths = paths[:1]
        handler = keyword(arguments, "view_func") or (args[2] if len(args) > 2 else None)
    else:
        paths = paths[:1]
        handler = args[1] if len(args) > 1 else handler
    methods = strings_in(keyword(arguments, "methods"))
    technology = routers[receiver][0] if receiver in routers else guess
    default = "WEBSOCKET" if "websocket" in verb else "GET" if verb == "add_url_rule" else "ANY"
    for path in paths:
        for method in [name.upper() for name in methods] or [default]:
            yield route(call, method, path, _view(handler), technology, router=receiver)


def _view(node: Node | None) -> str:
    return text(node).split(".as_view(")[0] or "?"


def _path_of(node: Node) -> str:
    value = string_value(node)
    return "{" + text(node) + "}" if value is None else value
