"""Read Rust: routes (actix-web, axum, rocket, poem, tide), tables of Diesel and entities of SeaORM."""

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
    head_end,
    last_line,
    lines_of,
    name_of,
    named_children,
    short_text,
    string_value,
    text,
    top_of_chain,
)

_TABLE = re.compile(  # possessive: a comment is never read in parts
    r"(?>\buse\s[^;]*;|#\[[^\]]*\]|///[^\n]*|\s|[{])*+([\w.]+)\s*(?:\([^)]*\))?\s*\{"
)
_COLUMN = re.compile(r"^[ \t]*(\w+)[ \t]*->[ \t]*([^,\n]+)", re.MULTILINE)
_SEA = re.compile(r'table_name\s*=\s*"([^"]+)"')


@fact_reader(lambda file: file.language == "rust" and ("table!" in file.text or "sea_orm" in file.text))
def rust_models(file: SourceFile) -> Iterator[Fact]:
    for node in file.nodes("macro"):
        code, start = text(node), first_line(node)
        opening = code.find("{")
        match = _TABLE.match(code, opening + 1) if opening >= 0 else None
        if match is not None:
            columns = []
            for column in _COLUMN.finditer(code, match.end()):
                line = start + code.count("\n", 0, column.start(1))
                columns.append(ColumnDefinition(column[1], column[2].strip(), (line, line)))
            comment = file.comment_above(start)
            yield from table_facts(match[1], "table", "diesel", lines_of(node), columns, comment)
    for node in file.nodes("attribute"):
        match, struct = _SEA.search(text(node)), node.next_named_sibling
        if match and struct is not None and struct.type == "struct_item":
            fields = [
                ColumnDefinition(name_of(member), child_text(member, "type"), lines_of(member))
                for member in named_children(child(struct, "body"))
                if member.type == "field_declaration"
            ]
            yield from table_facts(match[1], "model", "sea-orm", (first_line(node), last_line(struct)), fields)


_FRAMEWORKS = {
    **{"actix_web": "actix", "axum": "axum", "rocket": "rocket", "poem": "poem"},
    **{"tide": "tide", "warp": "warp", "salvo": "salvo"},
}
_LINKS = frozenset({"call_expression", "field_expression", "await_expression", "try_expression"})
_MAX_CHAIN = 1_000
_PATH = re.compile(r'"([^"\n]*)"')
_METHOD = re.compile(r'method\s*=\s*"(\w+)"')
_HANDLER = re.compile(
    r"\b(get|post|put|patch|delete|head|options|trace|any)(?:_service)?\s*(?:\(\s*\)\s*\.\s*"
    r"(?:to|to_async)\s*)?\(\s*([\w:.<>]+|\|)"
)
_ROUTES = re.compile(r"routes!\s*\[([^\]]*)\]")
_NAMES = ("identifier", "scoped_identifier")


@fact_reader(lambda file: file.language == "rust")
def rust_routes(file: SourceFile) -> Iterator[Fact]:
    frameworks = (name for key, name in _FRAMEWORKS.items() if re.search(rf"\b{key}\b", file.text))
    technology = next(frameworks, None)
    for node in file.nodes("attribute"):
        name = text(first_named_child(first_named_child(node))).rsplit("::", 1)[-1]
        path = _PATH.search(text(node))
        function = node.next_named_sibling
        for _ in range(16):
            if function is not None and function.type in ("attribute_item", "line_comment"):
                function = function.next_named_sibling
        if function is None or function.type != "function_item" or path is None:
            continue
        methods = [name] if name.upper() in METHODS else []
        if name == "route":
            methods = _METHOD.findall(text(node)) or ["ANY"]
        lines, comment = (first_line(node), head_end(function)), file.comment_above(first_line(node))
        handler = name_of(function)
        for method in methods:
            yield route(lines, method.upper(), path[1], handler, technology, router=handler, comment=comment)
    for call in file.nodes("call"):
        yield from _call_facts(file, call, technology)


def _call_facts(file: SourceFile, call: Node, technology: str | None) -> Iterator[Fact]:
    function, args = call.child_by_field_name("function"), arguments_of(call)
    if not args:
        return
    verb, symbol, base = child_text(function, "field"), _symbol(file, call), _scope(child(function, "value"))
    first, second, path = args[0], args[1] if len(args) > 1 else None, string_value(args[0])
    line = first_line(call.child_by_field_name("arguments") or call)  # where its own part of its chain starts
    lines, comment = (line, last_line(call)), file.comment_above(line)
    if verb in ("route", "at") and path is not None and (second is not None or verb == "at"):
        for method, handler in _HANDLER.findall(text(second or call.parent)[:2000]):
            name = "(inline)" if handler == "|" else handler
            yield route(lines, method.upper(), base + path, name, technology, router=symbol, comment=comment)
    elif verb == "route" and second is None:  # web::resource("/x").route(web::get().to(h))
        for method, handler in _HANDLER.findall(text(first)[:2000]):
            yield route(lines, method.upper(), base, handler, technology, router=symbol)
    elif verb in ("nest", "nest_service") and path is not None and second is not None:
        yield from _nested_mount(call, symbol, path, second)
    elif verb == "merge":
        yield from _nested_mount(call, symbol, "", first)
    elif verb == "configure" and first.type in _NAMES:
        yield mount(call, symbol, base, "returned " + text(first))
    elif verb == "service" and first.type in ("call_expression", *_NAMES):
        yield mount(call, symbol, base, text(first) if first.type in _NAMES else _argument(first))
    elif verb == "mount" and path is not None and second is not None:
        for route_list in _ROUTES.findall(text(second)):
            for name in filter(None, map(str.strip, route_list.split(","))):
                yield mount(call, symbol, path, name)


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
        yield mount(call, symbol, path, f"{name_of(enclosing(call, 'function_item'))}:{short_text(expression)}")


def _argument(node: Node) -> str:
    """Name for a router created by a call chain inside an argument."""
    return f"argument {node.parent.start_byte}" if node.parent is not None else ""


def _symbol(file: SourceFile, call: Node) -> str:
    """Router that a call chain creates: a local variable or the return value."""
    top = top_of_chain(call, _LINKS, file.chains)
    outer = top.parent
    if outer is not None and outer.type == "arguments":
        return _argument(top)
    is_bound = outer is not None and outer.type == "let_declaration"
    variable = child_text(outer, "pattern").removeprefix("mut ") if is_bound else ""
    return f"{name_of(enclosing(top, 'function_item'))}:{variable}"


def _scope(node: Node | None) -> str:
    """Prefix of the ``web::scope`` or ``web::resource`` that starts a call chain."""
    for _ in range(_MAX_CHAIN):
        function = child(node, "function")
        if node is None or function is None or node.type != "call_expression":
            break
        function_name = short_text(function) if function.type != "field_expression" else ""
        if function_name.rsplit("::", 1)[-1] in ("scope", "resource"):
            args = arguments_of(node)
            return string_value(args[0]) or "" if args else ""
        node = function.child_by_field_name("value")
    return ""
