"""Read URL patterns of Django."""

from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import mount, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import first_named_child, positional, string_value, text

_PATTERNS = ("path", "re_path", "url")
_MAX_DEPTH = 6


def applies_to(file: SourceFile) -> bool:
    return file.language == "python" and "urlpatterns" in file.text


def facts(file: SourceFile) -> Iterator[Fact]:
    """A route for each pattern, and the included URL modules."""
    for patterns in file.nodes("patterns"):
        yield from _pattern_facts(patterns.child_by_field_name("right"), "", 0)


def _pattern_facts(node: Node | None, prefix: str, depth: int) -> Iterator[Fact]:
    if node is None or depth > _MAX_DEPTH:
        return
    if node.type == "call":
        yield from _pattern_call(node, prefix, depth)
        return
    if node.type in ("list", "tuple", "binary_operator", "parenthesized_expression"):
        for child in node.named_children:
            yield from _pattern_facts(child, prefix, depth + (node.type != "list"))


def _pattern_call(call: Node, prefix: str, depth: int) -> Iterator[Fact]:
    function = text(call.child_by_field_name("function")).rsplit(".", 1)[-1]
    args = positional(call.child_by_field_name("arguments"))
    if function in ("i18n_patterns", "format_suffix_patterns"):
        for child in args:
            yield from _pattern_facts(child, prefix, depth + 1)
        return
    path = string_value(args[0]) if args else None
    if function not in _PATTERNS or path is None or len(args) < 2:
        return
    full_path = prefix + (path if function == "path" else path.lstrip("^").rstrip("$"))
    view = args[1]
    if view.type == "call" and text(view.child_by_field_name("function")).endswith("include"):
        yield from _included(call, view, full_path, depth)
    elif text(view) == "admin.site.urls":
        yield route(call, "ANY", full_path, "admin.site.urls", "django", router="urlpatterns")
    else:
        yield route(call, "ANY", full_path, _view(view), "django", router="urlpatterns")


def _included(call: Node, include: Node, prefix: str, depth: int) -> Iterator[Fact]:
    args = positional(include.child_by_field_name("arguments"))
    target = args[0] if args else None
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


def _view(node: Node) -> str:
    if node.type == "call":
        function = text(node.child_by_field_name("function"))
        if function.endswith(".as_view"):
            return function.removesuffix(".as_view")
        inner = positional(node.child_by_field_name("arguments"))
        return _view(inner[0]) if inner else function
    return text(node)
