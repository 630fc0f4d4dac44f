"""YAML (and so JSON) as a tree with line numbers, safe for untrusted input.

Built from the parser's events: nothing is constructed from a tag, an alias stays a name (so no
document grows by reading it), and nesting, size and number of nodes are bounded. Nodes before an
error are kept. Helm templates are read with their actions blanked out.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, Event, MappingStartEvent, NodeEvent, ScalarEvent

from cortex_pipelines.extraction.settings import ArchitectureSettings

# The parser's own error, and others that hostile input raises.
_PARSE_ERRORS = (YAMLError, ValueError, RecursionError, AssertionError, IndexError)
_MAX_NODES = 100_000
_ACTION_LINE = re.compile(r"^[ \t]*\{\{.*\}\}[ \t]*$", re.MULTILINE)
_ACTION = re.compile(r"\{\{[^\n]{0,400}?\}\}")
# A parser written in Python walks each level again for every line below it.
_MAX_INDENT = re.compile(r"^[ \t]{400}|(?:[\[{][ \t\n]*){100}|(?:[-?:][ \t]+){100}", re.MULTILINE)


@dataclass
class Yaml:
    """A node and its lines, from 1, inclusive; ``value`` is the text of a scalar (an alias is ``*name``).

    ``entries`` are the pairs of a mapping.
    """

    start_line: int
    end_line: int
    value: str = ""
    entries: list[tuple["Yaml", "Yaml"]] = field(default_factory=list)
    items: list["Yaml"] = field(default_factory=list)
    is_map: bool = False
    is_list: bool = False

    @property
    def lines(self) -> tuple[int, int]:
        return self.start_line, self.end_line

    def get(self, *keys: str) -> "Yaml | None":
        node = self
        for key in keys:
            child = next((value for name, value in node.entries if name.value == key), None)
            if child is None:
                return None
            node = child
        return node

    def scalar(self, *keys: str) -> str:
        """Text of the scalar under a path of keys; empty if missing."""
        node = self.get(*keys)
        return node.value if node else ""

    def strings(self, *keys: str) -> "list[Yaml]":
        """Scalars under a path of keys: list items, mapping keys, or a single scalar."""
        node = self.get(*keys)
        if node is None:
            return []
        if node.is_map:
            return [Yaml(*lines, name) for name, lines, _ in node.children()]
        return [item for item in (node.items if node.is_list else [node]) if item.value]

    def children(self, *keys: str) -> "list[tuple[str, tuple[int, int], Yaml]]":
        """Key, lines and value of each pair of the mapping under a path of keys."""
        node = self.get(*keys)
        return [(key.value, (key.start_line, value.end_line), value) for key, value in node.entries] if node else []

    def list(self, *keys: str) -> "list[Yaml]":
        node = self.get(*keys)
        return node.items if node else []


def documents(text: str, settings: ArchitectureSettings) -> list[Yaml]:
    """The documents of a YAML text, up to the first error; none if it is too large or too deep."""
    if len(text) > settings.max_yaml_bytes or _MAX_INDENT.search(text):
        return []
    if "{{" in text:
        text = _ACTION.sub(_placeholder, _ACTION_LINE.sub("", text))
    roots: list[Yaml] = []
    open_nodes: list[tuple[Yaml, list[Yaml]]] = []  # node, keys that wait for a value
    count = 0
    with suppress(*_PARSE_ERRORS):  # nodes before the error are kept
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, CollectionEndEvent):
                open_nodes.pop()
            if not isinstance(event, NodeEvent):
                continue
            count += 1
            if count > _MAX_NODES or len(open_nodes) >= settings.max_yaml_depth:
                break
            node = _node(event)
            parent, pending_keys = open_nodes[-1] if open_nodes else (None, [])
            if parent is None:
                roots.append(node)
            elif parent.is_list:
                parent.items.append(node)
            elif pending_keys:
                parent.entries.append((pending_keys.pop(), node))
            else:
                pending_keys.append(node)
            for outer, _ in open_nodes:
                outer.end_line = max(outer.end_line, node.end_line)
            if node.is_map or node.is_list:
                open_nodes.append((node, []))
    return roots


def _placeholder(action: re.Match[str]) -> str:
    inner = re.sub(r"[^\w.]+", "_", action[0]).strip("_")
    return f"__{inner}__"


def _node(event: Event) -> Yaml:
    start, end = event.start_mark.line + 1, event.end_mark.line + 1
    if event.end_mark.column == 0 and end > start:
        end -= 1
    if isinstance(event, AliasEvent):
        return Yaml(start, end, f"*{event.anchor}")
    if isinstance(event, ScalarEvent):
        return Yaml(start, end, event.value)
    is_map = isinstance(event, MappingStartEvent)
    return Yaml(start, start, is_map=is_map, is_list=not is_map)
