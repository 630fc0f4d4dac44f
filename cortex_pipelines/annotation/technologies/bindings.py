"""What the imports of a file bind: local names, each with the module that it comes from."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from tree_sitter import Node

from cortex_pipelines.annotation.complexity.treewalk import WalkResult
from cortex_pipelines.damage import encodable
from cortex_pipelines.extraction.architecture.facts import Fact, parsed_detail
from cortex_pipelines.extraction.architecture.readers import imports
from cortex_pipelines.extraction.architecture.sourcefile import SourceFile

STAR = "*"
"""The local name of an import that binds names which it does not list."""

_SCRIPT = ("import_statement", "export_statement", "call_expression")
NODES = {
    "python": ("import_statement", "import_from_statement"),
    "javascript": _SCRIPT,
    "typescript": (*_SCRIPT, "import_require_clause"),
    "java": ("import_declaration",),
    "go": ("import_spec",),
    "rust": ("use_declaration", "extern_crate_declaration"),
}
"""Types of the nodes that import, by language."""

_READERS: dict[str, Callable[[SourceFile], Iterator[Fact]]] = {
    "python": imports.python_imports,
    "javascript": imports.javascript_imports,
    "typescript": imports.javascript_imports,
    "java": imports.java_imports,
    "go": imports.go_imports,
    "rust": imports.rust_imports,
}
_LOADERS = (b"require", b"import")
_GO_AFFIXES = re.compile(r"^go-|[-.]go$")


_STANDARD_START = {"java": "java.", "javascript": "node:", "typescript": "node:"}
_RUST_STANDARD = frozenset({"std", "core", "alloc"})
_SCRIPT_STANDARD = frozenset({"node:sqlite", "node:test"})
STANDARD = {
    "python": frozenset({"asyncio", "ctypes", "curses", "doctest", "sqlite3", "tkinter", "unittest"}),
    "javascript": _SCRIPT_STANDARD,
    "typescript": _SCRIPT_STANDARD,
    "java": frozenset({"java.awt", "java.sql", "javax.swing"}),
    "go": frozenset({"database/sql", "testing"}),
    "rust": frozenset[str](),
}
"""Modules of standard libraries that are technologies: what other libraries compete with or build on."""


class Binding(NamedTuple):
    """``name`` is what the module calls it; empty for the module itself, ``*`` for all of it or a namespace."""

    local: str
    module: str
    name: str
    line: int
    start: int  # bytes of the import
    end: int

    def as_row(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("local", "module", "name", "line")}


@dataclass(frozen=True)
class _OneImport:
    """What the readers of architecture facts need of a file, of one import that is parsed already."""

    language: str
    node: Node

    def nodes(self, kind: str) -> list[Node]:
        return [self.node] if kind == "import" else []


def bindings(walk: WalkResult, language: str) -> list[Binding]:
    """What the imports of a file bind. A local name may be bound several times (branches)."""
    found = []
    for node_type in NODES[language]:
        for visit in walk.visits.get(node_type, ()):
            if _imports(visit.node):
                # the readers of facts have the same lines, by which imports are resolved
                file = cast(SourceFile, _OneImport(language, visit.node))
                for fact in _READERS[language](file):
                    for local, name in _locals(language, fact, visit.node):
                        if local != STAR and _is_plain(language, fact.object):
                            continue
                        span = (fact.start_line, visit.node.start_byte, visit.node.end_byte)
                        found.append(Binding(encodable(local), encodable(fact.object), encodable(name), *span))
    return found


def is_technology(language: str, module: str) -> bool:
    """Whether a module of the standard library counts as a technology."""
    name = module.split(".")[0] if language == "python" else module
    listed = STANDARD[language]
    return name in listed or (language == "java" and name.rpartition(".")[0] in listed)


def _is_plain(language: str, module: str) -> bool:
    """Whether a module looks like one of the standard library that is not a technology."""
    if language == "python":
        standard = module.split(".")[0] in sys.stdlib_module_names
    elif language == "go":
        standard = "." not in module.split("/")[0]
    elif language == "rust":
        standard = module.lstrip(":").split("::")[0] in _RUST_STANDARD
    else:
        standard = module.startswith(_STANDARD_START[language])
    return standard and not is_technology(language, module)


def _imports(node: Node) -> bool:
    if node.type == "export_statement":
        return node.child_by_field_name("source") is not None
    if node.type != "call_expression":
        return True
    function = node.child_by_field_name("function")
    return function is not None and function.text in _LOADERS


def _locals(language: str, fact: Fact, node: Node) -> Iterator[tuple[str, str]]:
    names: list[Any] = parsed_detail(fact.detail).get("names") or []
    if language == "java":
        local = fact.object.rpartition(".")[2]
        yield local, local
    elif language == "rust":
        last = fact.object.rpartition("::")[2]
        yield (names[0][1] if names else last), last
    elif language == "go":
        local = names[0][1]
        if local == ".":
            yield STAR, STAR
        elif node.child_by_field_name("name") is not None:
            yield local, ""
        else:  # the package may be called otherwise than the end of its path
            parts = fact.object.split("/")
            package = parts[-2] if local == "go" and len(parts) > 1 else local
            yield from ((name, "") for name in {package, _GO_AFFIXES.sub("", package)})
    elif names:
        yield from ((local, STAR if local == STAR else name) for name, local in names)
    elif node.type == "import_require_clause":  # import a = require("b")
        yield (node.named_children[0].text or b"").decode(errors="replace"), "default"
    elif language != "python":
        yield _assigned(node), "default"


def _assigned(call: Node) -> str:
    """The name that a module is exported by at once (``exports.a = require("./a")``); empty for none."""
    outer = call.parent
    left = outer.child_by_field_name("left") if outer is not None and outer.type == "assignment_expression" else None
    name = left.child_by_field_name("property") if left is not None else None
    return (name.text or b"").decode(errors="replace") if name is not None else ""
