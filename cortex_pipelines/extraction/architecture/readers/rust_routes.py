"""Read Rust routes: actix-web, axum, rocket, poem, tide."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import (
    enclosing,
    first_line,
    first_named_child,
    head_end,
    name_of,
    positional,
    short_text,
    string_value,
    text,
    top_of_chain,
)

_FRAMEWORKS = {"actix_web": "actix", "axum": "axum", "rocket": "rocket", "poem": "poem",
               "tide": "tide", "warp": "warp", "salvo": "salvo"}  # fmt: skip
_LINKS = frozenset({"call_expression", "field_expression", "await_expression", "try_expression"})
_MAX_CHAIN = 1_000
_PATH = re.compile(r'"([^"\n]*)"')
_METHOD = re.compile(r'method\s*=\s*"(\w+)"')
_HANDLER = re.compile(
    r"\b(get|post|put|patch|delete|head|options|trace|any)(?:_service)?\s*(?:\(\s*\)\s*\.\s*"
    r"(?:to|to_async)\s*)?\(\s*([\w:.<>]+|\|)"
)
_ROUTES = re.compile(r"routes!\s*\[([^\]]*)\]")


def applies_to(file: SourceFile) -> bool:
    return file.language == "rust"


def facts(file: SourceFile) -> Iterator[Fact]:
    """Routes by attribute or call, and router mounts."""
    frameworks = [name for key, name in _FRAMEWORKS.items() if re.search(rf"\b{key}\b", file.text)]
    technology = frameworks[0] if frameworks else None
    for node in file.nodes("attribute"):
        yield from _attribute_routes(file, node, technology)
    for call in file.nodes("call"):
        yield from _call_facts(file, call, technology)


def _attribute_routes(file: SourceFile, node: Node, technology: str | None) -> Iterator[Fact]:
    attribute = first_named_child(node)
    name = text(first_named_child(attribute)).rsplit("::", 1)[-1] if attribute else ""
    path = _PATH.search(text(node))
    if path is None or (name.upper() not in METHODS and name != "route"):
        return
    function = node.next_named_sibling
    for _ in range(16):
        if function is None or function.type not in ("attribute_item", "line_comment"):
            break
        function = function.next_named_sibling
    if function is None or function.type != "function_item":
        return
    methods = _METHOD.findall(text(node)) if name == "route" else [name]
    handler = name_of(function)
    for method in methods or ["ANY"]:
        yield route(
            node, method.upper(), path[1], handler, technology, router=handler,
            end_line=head_end(function), description=file.comment_above(first_line(node)),
        )  # fmt: skip


def _call_facts(file: SourceFile, call: Node, technology: str | None) -> Iterator[Fact]:
    function = call.child_by_field_name("function")
    verb = text(function.child_by_field_name("field")) if function else ""
    args = positional(call.child_by_field_name("arguments"))
    symbol = _symbol(file, call)
    base = _scope(function.child_by_field_name("value") if function else None)
    path = string_value(args[0]) if args else None
    if verb in ("route", "at") and path is not None and (len(args) > 1 or verb == "at"):
        handlers = args[1] if len(args) > 1 else call.parent
        for method, handler in _HANDLER.findall(text(handlers)[:2000]):
            handler_name = "(inline)" if handler == "|" else handler
            yield route(
                call,
                method.upper(),
                base + path,
                handler_name,
                technology,
                router=symbol,
                start_line=_line(call),
                description=file.comment_above(_line(call)),
            )
    elif verb == "route" and len(args) == 1:  # web::resource("/x").route(web::get().to(h))
        for method, handler in _HANDLER.findall(text(args[0])[:2000]):
            yield route(call, method.upper(), base, handler, technology, router=symbol,
                        start_line=_line(call))  # fmt: skip
    elif verb in ("nest", "nest_service") and path is not None and len(args) > 1:
        yield from _nested_mount(call, symbol, path, args[1])
    elif verb == "merge" and args:
        yield from _nested_mount(call, symbol, "", args[0])
    elif verb == "configure" and args and args[0].type in ("identifier", "scoped_identifier"):
        yield mount(call, symbol, base, "returned " + text(args[0]))
    elif verb == "service" and args and args[0].type == "call_expression":
        yield mount(call, symbol, base, _argument(args[0]))
    elif verb == "mount" and path is not None and len(args) > 1:
        for route_list in _ROUTES.findall(text(args[1])):
            for name in route_list.split(","):
                if name.strip():
                    yield mount(call, symbol, path, name.strip())
    elif verb == "service" and args and args[0].type in ("identifier", "scoped_identifier"):
        yield mount(call, symbol, base, text(args[0]))


def _nested_mount(call: Node, symbol: str, path: str, target: Node) -> Iterator[Fact]:
    expression: Node | None = target
    for _ in range(_MAX_CHAIN):
        if expression is None or expression.type != "call_expression":
            break
        function = expression.child_by_field_name("function")
        if function is None or function.type != "field_expression":
            function_name = text(function)
            is_constructor = function_name.rsplit("::", 1)[-1] == "new"
            yield mount(call, symbol, path, _argument(target) if is_constructor else f"returned {function_name}")
            return
        expression = function.child_by_field_name("value")
    if expression is not None and expression.type == "identifier":
        yield mount(call, symbol, path, f"{_function(call)}:{short_text(expression)}")


def _argument(node: Node) -> str:
    return f"argument {node.parent.start_byte}" if node.parent is not None else ""


def _symbol(file: SourceFile, call: Node) -> str:
    top = top_of_chain(call, _LINKS, file.chains)
    outer = top.parent
    if outer is not None and outer.type == "arguments":
        return f"argument {outer.start_byte}"
    binding = outer if outer is not None and outer.type == "let_declaration" else None
    return f"{_function(top)}:{_pattern(binding)}"


def _pattern(let: Node | None) -> str:
    return text(let.child_by_field_name("pattern")).removeprefix("mut ") if let else ""


def _function(node: Node) -> str:
    return name_of(enclosing(node, "function_item"))


def _scope(node: Node | None) -> str:
    """Prefix of the ``web::scope`` or ``web::resource`` that starts a call chain."""
    for _ in range(_MAX_CHAIN):
        if node is None or node.type != "call_expression":
            return ""
        function = node.child_by_field_name("function")
        if function is None:
            return ""
        function_name = short_text(function) if function.type != "field_expression" else ""
        if function_name.rsplit("::", 1)[-1] in ("scope", "resource"):
            args = positional(node.child_by_field_name("arguments"))
            return string_value(args[0]) or "" if args else ""
        node = function.child_by_field_name("value")
    return ""


def _line(call: Node) -> int:
    return first_line(call.child_by_field_name("arguments") or call)
