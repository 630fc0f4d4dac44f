"""Ordered matches of a language's query in a file.

The captures of ``queries/<language>.scm``:

* ``@definition.<kind>``: a unit, with ``@name`` (a declaration of several, or of a pattern that
  takes a value apart, is several units; the name of others runs on to ``@name_end``; a variable
  whose name matches the pattern's ``#set! constant`` is a constant), ``@keyword`` (def, class,
  func, ...), ``@body`` (where the implementation begins), ``@receiver`` (type of a Go method),
  ``@holder`` (``a`` of ``a.b = function () {}``) and ``@constant`` (what makes a variable one);
* ``@scope.type``, ``@scope.module``, ``@scope.function``: encloses units, but is not a unit;
* ``@whole``: a declaration that belongs to the span of what it declares if that is one thing only;
  a pattern's ``#set! whole`` names the one type of node that can be it;
* ``@wrapped`` in ``@wrapper``: a definition in what also belongs to its span (decorators, export),
  unless it is also ``@grouped``;
* ``@comment``: it documents what follows if it begins with one of the words of the pattern's
  ``#set! doc``, with ``#set! apart`` across blank lines too; ``@attribute``: a decorator, annotation
  or attribute; ``@trailing``: what may end a node and not its last statement;
* ``@docstring`` in ``@documented``: documentation inside of a body, with the ``@implementation``.

``#set! body`` names the field of a definition with its body: in a pattern for the body itself each
name of ``var a, b, c`` would wait for the value.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tree_sitter import Node

from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.schemas.vocabulary import UNIT_KINDS
from cortex_pipelines.syntax.grammars import Grammar, matches, pattern_settings

_QUERIES = Path(__file__).parent / "queries"
_OPENING = re.compile(rb"\s*(?:(?:#!|//)[^\n]*\s*|['\"]use \w+['\"];?\s*)*")  # what may stand before a file's header
# Tags of a comment that describes a file or declares a type by itself.
_OF_NO_UNIT = re.compile(rb"@(?:callback|file|fileoverview|import|licen[cs]e|module|namespace|overview|typedef)\b")

Captures = dict[str, list[Node]]

_SCOPES = ("type", "module", "function", "method")
# Role and kind by the capture, which is looked up once a definition.
_DEFINITION_CAPTURES = {f"definition.{kind}": ("definition", kind) for kind in (*UNIT_KINDS, "test")} | {
    f"scope.{kind}": ("scope", kind) for kind in _SCOPES
}


@dataclass(slots=True)
class Definition:
    """A unit, or a scope that encloses units, with the captures and directives of the pattern that found it.

    The pattern's number decides: the first in the file wins.
    """

    node: Node
    role: str  # `definition` or `scope`
    kind: str
    pattern: int
    captures: Captures
    settings: dict[str, str]

    def first(self, capture: str) -> Node | None:
        return self.captures[capture][0] if capture in self.captures else None

    def outer_first(self) -> tuple[int, int, int]:
        """Key of the order of definitions: by first byte, outer ones before inner ones."""
        return self.node.start_byte, -self.node.end_byte, self.pattern


@dataclass(slots=True)
class Outline:
    """Definitions of a file by the id of their node, with comments, attributes and wrappers.

    A wrapper extends the span of a node; ``documented`` has captures by the id of the body. Comments,
    docs, attributes and what may trail are end byte to start byte; ``apart`` has the ends of the docs that blank
    lines may part from what they document.
    """

    definitions: dict[int, Definition] = field(default_factory=dict)
    wrappers: dict[int, Node] = field(default_factory=dict)
    documented: dict[int, Captures] = field(default_factory=dict)
    comments: dict[int, int] = field(default_factory=dict)
    docs: dict[int, int] = field(default_factory=dict)
    apart: set[int] = field(default_factory=set)
    attributes: dict[int, int] = field(default_factory=dict)
    trailing: dict[int, int] = field(default_factory=dict)

    def widest(self, node: Node) -> Node:
        while wrapper := self.wrappers.get(node.id):
            node = wrapper
        return node


def outline(root: Node, grammar: Grammar, data: bytes) -> Outline:
    result = Outline()
    grouped: list[int] = []
    opening = _OPENING.match(data)
    header = opening.end() if opening else 0  # what a comment there describes is the file
    settings = pattern_settings(grammar, _QUERIES)
    doc_words = [tuple(pattern["doc"].encode().split(b" ")) if "doc" in pattern else () for pattern in settings]
    for pattern, captures in matches(grammar, root, _QUERIES):
        if "comment" in captures:
            start, end = captures["comment"][0].start_byte, captures["comment"][0].end_byte
            # a line comment of Rust holds the end of its line
            if data[end - 1 : end] == b"\n":
                end -= 1
            result.comments[end] = start
            if data.startswith(doc_words[pattern], start):
                result.docs[end] = start
                if "apart" in settings[pattern] and start > header and not _OF_NO_UNIT.search(data, start, end):
                    result.apart.add(end)
        elif "wrapper" in captures:
            result.wrappers[captures["wrapped"][0].id] = captures["wrapper"][0]
        elif "grouped" in captures:
            grouped.append(captures["grouped"][0].id)
        elif "attribute" in captures:
            result.attributes |= {node.end_byte: node.start_byte for node in captures["attribute"]}
        elif "trailing" in captures:
            result.trailing |= {node.end_byte: node.start_byte for node in captures["trailing"]}
        elif "documented" in captures:
            result.documented[captures["documented"][0].id] = captures
        else:
            _add_definition(result, pattern, captures, settings[pattern])
    for node_id in grouped:
        result.wrappers.pop(node_id, None)
    result.wrappers |= _sole_declarations(result.definitions.values())
    return result


def _sole_declarations(definitions: Iterable[Definition]) -> dict[int, Node]:
    """The declaration around each definition that is the only one in it."""
    declarations: dict[int, Node] = {}
    kinds: dict[int, Counter[str]] = {}  # children of a declaration are counted once for all
    for definition in definitions:
        declaration = definition.first("whole")
        if declaration is None or declaration.type != definition.settings.get("whole", declaration.type):
            continue
        if declaration.id not in kinds:
            kinds[declaration.id] = Counter(child.type for child in declaration.named_children)
        if kinds[declaration.id][definition.node.type] == 1:
            declarations[definition.node.id] = declaration
    return declarations


def _add_definition(file_outline: Outline, pattern: int, captures: Captures, settings: dict[str, str]) -> None:
    capture = next(name for name in captures if name in _DEFINITION_CAPTURES)
    node = captures.pop(capture)[0]
    existing = file_outline.definitions.get(node.id)
    if existing is None or pattern < existing.pattern:
        role, kind = _DEFINITION_CAPTURES[capture]
        body = node.child_by_field_name(settings["body"]) if "body" in settings else None
        if body is not None:
            captures["body"] = [body]
        file_outline.definitions[node.id] = Definition(node, role, kind, pattern, captures, settings)
    elif existing.pattern == pattern:
        for name, nodes in captures.items():
            existing.captures.setdefault(name, []).extend(nodes)


DECLARATIONS = frozenset({"variable", "constant"})
"""Kinds whose definitions may introduce several names."""


def defined_names(data: bytes, definition: Definition, settings: ExtractionSettings) -> list[tuple[str, Node]]:
    """Names of a definition with their nodes; several only for declarations of normal size."""
    nodes = definition.captures.get("name")
    if nodes is None:
        return []
    declares = definition.kind in DECLARATIONS
    if declares:
        # a pattern of the query may find one name twice
        declared = {identifier.id: identifier for node in nodes for identifier in _bound_names(node)}
        nodes = list(declared.values())
    if len(nodes) == 1:
        last = definition.first("name_end")
        if last is None:
            title = definition.settings.get("name")
            return [(title or name_text(data, nodes[0]), nodes[0])]
        text = data[nodes[0].start_byte : last.end_byte].decode(errors="replace")
        return [("".join(text.split()), nodes[0])]
    names = [(name_text(data, node), node) for node in nodes]
    size = definition.node.end_byte - definition.node.start_byte
    if not names or (declares and len(names) * size <= settings.max_repeated_bytes):
        return names
    return [(", ".join(name for name, _ in names), nodes[0])]


def _bound_names(name: Node) -> list[Node]:
    if "pattern" not in name.type:
        return [name]
    pending, names = [name], []
    while pending:
        node = pending.pop()
        if "identifier" in node.type:
            names.append(node)
        elif "pattern" in node.type:
            non_bindings = [part for name in ("key", "right") for part in node.children_by_field_name(name)]
            excluded_ids = {other.id for other in non_bindings}
            pending += [child for child in node.children if child.id not in excluded_ids][::-1]
    return names


def name_text(data: bytes, node: Node) -> str:
    text = data[node.start_byte : node.end_byte].decode(errors="replace")
    if text.isidentifier():
        return text
    text = " ".join(text.split())
    return text[1:-1] if text[:1] in ("'", '"', "`") else text
