"""Read Next.js routes, which follow from file paths."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from cortex_pipelines.extraction.architecture.facts import Fact
from cortex_pipelines.extraction.architecture.route import METHODS, route
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile
from cortex_pipelines.extraction.architecture.syntax import head_end, name_of, text

_APP = re.compile(r"(?:^|/)app/(.*?)/?route\.[jt]sx?$")
_PAGES = re.compile(r"(?:^|/)pages/(api/.*?)(?:/index)?\.[jt]sx?$")
_GROUP = re.compile(r"\([^/()]*\)/?|@[^/]+/?")
_PARAMETER = re.compile(r"\[+(?:\.\.\.)?(\w+)\]+")


def applies_to(file: SourceFile) -> bool:
    code = file.language in ("javascript", "typescript")
    return code and bool(_APP.search(file.path) or _PAGES.search(file.path))


def facts(file: SourceFile) -> Iterator[Fact]:
    """A route for each exported handler."""
    app = _APP.search(file.path)
    pages = _PAGES.search(file.path)
    match = app or pages
    if match is None:
        return
    path = _PARAMETER.sub(r"{\1}", _GROUP.sub("", match[1]))
    for node in file.nodes("export"):
        declared = node.child_by_field_name("declaration") or node.child_by_field_name("value")
        if declared is None:
            continue
        if app is not None:
            for name in _names(declared):
                if name in METHODS:
                    yield route(node, name, path, name, "nextjs", end_line=head_end(declared))
        elif "default" in text(node)[:24]:
            handler = name_of(declared) or text(declared)[:40].split("(")[0]
            yield route(node, "ANY", path, handler, "nextjs", end_line=head_end(declared))


def _names(declared: Node) -> list[str]:
    name = name_of(declared)
    return [name] if name else [name_of(child) for child in declared.named_children]
