"""Full paths of routes through all routers they are mounted on, across files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from posixpath import dirname
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers import ImportResolver
from cortex_pipelines.extraction.architecture.resolvers.index import (
    INTERNAL,
    ImportTarget,
    parsed_detail,
)

Router = tuple[str, str]
"""A router: file, and name in it (for Go and Rust the function and the name)."""

_MAX_PLACES = 4  # of one router
_MAX_DEPTH = 8


class Mounts:
    """The mount points of the routers of one source.

    Args:
        rows: Facts ``route`` and ``mount`` of the source, as rows.
        imports: File to what it imports.
        resolver: Finds the modules that a mount names itself.
    """

    def __init__(
        self,
        rows: list[dict[str, Any]],
        imports: Mapping[str, list[ImportTarget]],
        resolver: ImportResolver,
    ) -> None:
        self._resolver = resolver
        self._imports = {
            path: {target.local: target for target in targets if target.scope == INTERNAL}
            for path, targets in imports.items()
        }
        self._symbols: dict[str, dict[str, None]] = defaultdict(dict)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._prefixes_of: dict[Router, list[str]] = {}
        self._own: dict[Router, str] = {}
        self._above: dict[Router, list[tuple[Router, str, bool]]] = defaultdict(list)
        for row in rows:
            path, detail = row["path"], parsed_detail(row["detail"])
            self._symbols[path].setdefault(detail["router"])
            if row["fact"] == "mount" and not detail["router"]:
                self._own[path, row["object"]] = row["subject"]
        for path in sorted(self._symbols):
            self._files[dirname(path)].append(path)
        for row in rows:
            if row["fact"] == "mount":
                self._add(row)

    def prefixes(self, path: str, router: str) -> list[str]:
        """Prefixes under which a router of a file answers; one empty text if it is on none."""
        node = (path, router)
        if node not in self._prefixes_of:
            self._prefixes_of[node] = self._prefixes(node, frozenset())
        return self._prefixes_of[node]

    def _prefixes(self, node: Router, seen: frozenset[Router]) -> list[str]:
        own = self._own.get(node, "")
        above = self._above.get(node, [])[:_MAX_PLACES]
        if not above or node in seen or len(seen) >= _MAX_DEPTH:
            return [own]
        prefixes: dict[str, None] = {}
        for outer, prefix, replaces in above:
            inner = prefix if replaces else _joined(prefix, own)
            for before in self._prefixes(outer, seen | {node}):
                prefixes.setdefault(_joined(before, inner))
        return list(prefixes)[:_MAX_PLACES]

    def _add(self, row: dict[str, Any]) -> None:
        path, detail = row["path"], parsed_detail(row["detail"])
        if not detail["router"]:
            return
        edge = ((path, detail["router"]), row["subject"], detail["replaces"])
        for node in self._routers_of(path, row["object"], 0):
            if node != edge[0] and edge not in self._above[node]:
                self._above[node].append(edge)

    def _routers_of(self, path: str, name: str, depth: int) -> list[Router]:
        """The routers that a name refers to in a file."""
        kind, _, rest = name.partition(" ")
        if kind == "module":
            return self._roots(self._resolver.module(path, rest), "")
        if kind in ("returned", "parameter"):
            return self._made(path, rest)
        if name in self._symbols[path] or (path, name) in self._own or depth > _MAX_DEPTH:
            return [(path, name)]
        words = name.replace("::", ".").split(".")
        target = self._imports.get(path, {}).get(words[0])
        if target is None:
            return []
        symbol = words[-1] if len(words) > 1 else target.name or target.local
        if symbol in self._symbols.get(target.object, {}):
            return [(target.object, symbol)]
        if symbol in ("default", "*"):
            return self._roots(target.object, "")
        if symbol in self._imports.get(target.object, {}):
            return self._routers_of(target.object, symbol, depth + 1)
        return []

    def _made(self, path: str, name: str) -> list[Router]:
        """Routers that a function creates or receives."""
        words = name.replace("::", ".").split(".")
        files = self._files[dirname(path)] if path.endswith(".go") else [path]
        target = self._imports.get(path, {}).get(words[0])
        if target is not None:
            files = self._files.get(target.object) or [target.object]
        return [node for file in files for node in self._roots(file, words[-1] + ":")]

    def _roots(self, path: str | None, start: str) -> list[Router]:
        """Routers of a file that are mounted on no other router in it."""
        symbols = [name for name in self._symbols.get(path or "", ()) if name.startswith(start)]
        for usual in ("urlpatterns", "default"):
            if usual in symbols:
                return [(str(path), usual)]
        inner = set(self._inside(str(path), symbols))
        return [(str(path), name) for name in symbols if name and name not in inner]

    def _inside(self, path: str, symbols: list[str]) -> Iterator[str]:
        for name in symbols:
            if any(outer[0] == path for outer, _, _ in self._above.get((path, name), ())):
                yield name


def _joined(before: str, after: str) -> str:
    if not before or not after:
        return before or after
    return before.rstrip("/") + "/" + after.lstrip("/")
