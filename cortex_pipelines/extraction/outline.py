"""Ordered matches of a language's query in a file.

The captures of ``queries/<language>.scm``:

* ``@definition.<kind>``: a unit, with ``@name`` (a declaration of several, or of a pattern that
  takes a value apart, is several units; the name of others runs on to ``@name_end``; a variable
  whose name matches the pattern's ``#set! constant`` is a constant), ``@keyword`` (def, class,
  func, ...), ``@body`` (where the implementation begins), ``@receiver`` (type of a Go method) and
  ``@constant`` (what makes a variable one);
* ``@scope.type``, ``@scope.module``, ``@scope.function``: encloses units, but is none itself;
* ``@whole``: a declaration that belongs to the span of what it declares if that is one thing only;
  a pattern's ``#set! whole`` names the one type of node that can be it;
* ``@wrapped`` in ``@wrapper``: a definition in what also belongs to its span (decorators, export),
  unless it is also ``@grouped``;
* ``@comment``: it documents what follows if it begins with one of the words of the pattern's
  ``#set! doc``; ``@attribute``: a decorator, annotation or attribute; ``@trailing``: what may end
  a node and not its last statement;
* ``@docstring`` in ``@documented``: documentation inside of a body, with the ``@implementation``;
* ``@call``: the simple name of what is called; ``@member``: what is called where the pattern's
  ``#set! field`` names the field with the simple name. A pattern for the name itself would wait for
  it through all that stands before, and in ``x.a().b().c()`` every link of the chain would.

``#set! body`` names the field of a definition with its body, for the same reason: each name of
``var a, b, c`` would wait for the value.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tree_sitter import Node

from cortex_pipelines.schemas.vocabulary import UNIT_KINDS
from cortex_pipelines.syntax.grammars import Grammar, matches, pattern_settings

_QUERIES = Path(__file__).parent / "queries"

Captures = dict[str, list[Node]]

_SCOPES = ("type", "module", "function", "method")
# Role and kind by the capture, which is looked up once a definition.
_DEFINING = {f"definition.{kind}": ("definition", kind) for kind in (*UNIT_KINDS, "test")} | {
    f"scope.{kind}": ("scope", kind) for kind in _SCOPES
}


@dataclass(slots=True)
class Definition:
    """A unit, or a scope that encloses units.

    Args:
        node: The node that defines it.
        role: ``definition`` or ``scope``.
        kind: Kind of unit, or of scope.
        pattern: Number of the pattern that found it; the first in the file wins.
        pieces: Its other captures.
        settings: What the pattern says of it: ``name``, ``constant``, ``whole``.
    """

    node: Node
    role: str
    kind: str
    pattern: int
    pieces: Captures
    settings: dict[str, str]

    def first(self, capture: str) -> Node | None:
        """The first node of a capture, or None."""
        return self.pieces[capture][0] if capture in self.pieces else None


@dataclass(slots=True)
class Outline:
    """Definitions of a file, and what surrounds them.

    Args:
        definitions: By the id of their node.
        wrappers: What belongs to the span of a node, by the id of that node.
        documented: Captures ``docstring`` and ``implementation`` by the id of the body.
        comments, docs, attributes, trailing: End byte to start byte of each.
        calls: Byte where a call's name stands, and the name, in the order of the text.
    """

    definitions: dict[int, Definition] = field(default_factory=dict)
    wrappers: dict[int, Node] = field(default_factory=dict)
    documented: dict[int, Captures] = field(default_factory=dict)
    comments: dict[int, int] = field(default_factory=dict)
    docs: dict[int, int] = field(default_factory=dict)
    attributes: dict[int, int] = field(default_factory=dict)
    trailing: dict[int, int] = field(default_factory=dict)
    calls: list[tuple[int, str]] = field(default_factory=list)

    def widest(self, node: Node) -> Node:
        """The node with all that is wrapped around it."""
        while wrapper := self.wrappers.get(node.id):
            node = wrapper
        return node


def outline(root: Node, grammar: Grammar, data: bytes) -> Outline:
    """Run the language's query under a node."""
    collected = Outline()
    calls: list[tuple[int, bytes]] = []
    grouped: list[int] = []
    settings, doc_words = _settings(grammar), _doc_words(grammar)
    for pattern, captures in matches(grammar, root, _QUERIES):
        # by far the most frequent, so first and without a detour
        if "call" in captures:
            node = captures["call"][0]
            start = node.start_byte
            calls.append((start, data[start : node.end_byte]))
        elif "member" in captures:
            member = captures["member"][0].child_by_field_name(settings[pattern]["field"])
            if member is not None:
                start = member.start_byte
                calls.append((start, data[start : member.end_byte]))
        elif "comment" in captures:
            _add_comment(collected, captures["comment"][0], data, doc_words[pattern])
        elif "wrapper" in captures:
            collected.wrappers[captures["wrapped"][0].id] = captures["wrapper"][0]
        elif "grouped" in captures:
            grouped.append(captures["grouped"][0].id)
        elif "attribute" in captures:
            _add_stretches(collected.attributes, captures["attribute"])
        elif "trailing" in captures:
            _add_stretches(collected.trailing, captures["trailing"])
        elif "documented" in captures:
            collected.documented[captures["documented"][0].id] = captures
        else:
            _add_definition(collected, pattern, captures, settings[pattern])
    for node_id in grouped:
        collected.wrappers.pop(node_id, None)
    collected.wrappers |= _wholes(collected.definitions.values())
    words = {name: name.decode(errors="replace") for _, name in calls}
    collected.calls = sorted((start, words[name]) for start, name in calls)
    return collected


def _wholes(definitions: Iterable[Definition]) -> dict[int, Node]:
    """The declaration around each definition that is the only one in it."""
    wholes: dict[int, Node] = {}
    kinds: dict[int, Counter[str]] = {}  # children of a declaration are counted once for all
    for definition in definitions:
        whole = definition.first("whole")
        if whole is None or whole.type != definition.settings.get("whole", whole.type):
            continue
        if whole.id not in kinds:
            kinds[whole.id] = Counter(child.type for child in whole.named_children)
        if kinds[whole.id][definition.node.type] == 1:
            wholes[definition.node.id] = whole
    return wholes


@cache
def _settings(grammar: Grammar) -> list[dict[str, str]]:
    """The ``#set!`` directives of each pattern."""
    return pattern_settings(grammar, _QUERIES)


@cache
def _doc_words(grammar: Grammar) -> list[tuple[bytes, ...]]:
    """Prefixes that mark a doc comment, for each pattern."""
    words = [settings.get("doc") for settings in _settings(grammar)]
    return [() if setting is None else tuple(setting.encode().split(b" ")) for setting in words]


def _add_comment(collected: Outline, node: Node, data: bytes, doc_words: tuple[bytes, ...]) -> None:
    start, end = node.start_byte, node.end_byte
    # a line comment of Rust holds the end of its line
    if data[end - 1 : end] == b"\n":
        end -= 1
    collected.comments[end] = start
    if data.startswith(doc_words, start):
        collected.docs[end] = start


def _add_stretches(ends: dict[int, int], nodes: list[Node]) -> None:
    for node in nodes:
        ends[node.end_byte] = node.start_byte


def _add_definition(
    collected: Outline, pattern: int, captures: Captures, settings: dict[str, str]
) -> None:
    capture = next(name for name in captures if name in _DEFINING)
    node = captures.pop(capture)[0]
    known = collected.definitions.get(node.id)
    if known is None or pattern < known.pattern:
        role, kind = _DEFINING[capture]
        body = node.child_by_field_name(settings["body"]) if "body" in settings else None
        if body is not None:
            captures["body"] = [body]
        collected.definitions[node.id] = Definition(node, role, kind, pattern, captures, settings)
    elif known.pattern == pattern:
        for name, nodes in captures.items():
            known.pieces.setdefault(name, []).extend(nodes)
