"""Full paths of routes through all routers they are mounted on, across files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from posixpath import dirname
from typing import Any

from cortex_pipelines.extraction.architecture.resolvers import ImportResolver
from cortex_pipelines.extraction.architecture.resolvers.index import INTERNAL, ImportTarget, parsed_detail

Router = tuple[str, str]
"""A router: file, and name in it (for Go and Rust the function and the name)."""

_MAX_MOUNTS = 4  # of one router
_MAX_DEPTH = 8


class Mounts:
    def __init__(
        self, rows: list[dict[str, Any]], imports: Mapping[str, list[ImportTarget]], resolver: ImportResolver
    ) -> None:
        self._resolver = resolver
        self._imports = {
            path: {target.local: target for target in targets if target.scope == INTERNAL}
            for path, targets in imports.items()
        }
        self._symbols: dict[str, dict[str, None]] = defaultdict(dict)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._prefixes_of: dict[Router, list[str]] = {}
        self._own_prefixes: dict[Router, str] = {}
        self._mounts: dict[Router, list[tuple[Router, str, bool]]] = defaultdict(list)
        for row in rows:
            path, detail = row["path"], parsed_detail(row["detail"])
            self._symbols[path].setdefault(detail["router"])
            if row["fact"] == "mount" and not detail["router"]:
                self._own_prefixes[path, row["object"]] = row["subject"]
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

    def _prefixes(self, node: Router, visited: frozenset[Router]) -> list[str]:
        own_prefix = self._own_prefixes.get(node, "")
        mounts = self._mounts.get(node, [])[:_MAX_MOUNTS]
        if not mounts or node in visited or len(visited) >= _MAX_DEPTH:
            return [own_prefix]
        prefixes: dict[str, None] = {}
        for outer, prefix, replaces in mounts:
            inner = prefix if replaces else _join_paths(prefix, own_prefix)
            for outer_prefix in self._prefixes(outer, visited | {node}):
                prefixes.setdefault(_join_paths(outer_prefix, inner))
        return list(prefixes)[:_MAX_MOUNTS]

    def _add(self, row: dict[str, Any]) -> None:
        path, detail = row["path"], parsed_detail(row["detail"])
        if not detail["router"]:
            return
        edge = ((path, detail["router"]), row["subject"], detail["replaces"])
        for node in self._routers_of(path, row["object"], 0):
            if node != edge[0] and edge not in self._mounts[node]:
                self._mounts[node].append(edge)

    def _routers_of(self, path: str, name: str, depth: int) -> list[Router]:
        kind, _, target_name = name.partition(" ")
        if kind == "module":
            return self._roots(self._resolver.module(path, target_name), "")
        if kind in ("returned", "parameter"):
            return self._function_routers(path, target_name)
        if name in self._symbols[path] or (path, name) in self._own_prefixes or depth > _MAX_DEPTH:
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

    def _function_routers(self, path: str, name: str) -> list[Router]:
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
        inner = set(self._mounted_in_file(str(path), symbols))
        return [(str(path), name) for name in symbols if name and name not in inner]

    def _mounted_in_file(self, path: str, symbols: list[str]) -> Iterator[str]:
        for name in symbols:
            if any(outer[0] == path for outer, _, _ in self._mounts.get((path, name), ())):
                yield name


def _join_paths(base: str, suffix: str) -> str:
    if not base or not suffix:
        return base or suffix
    return base.rstrip("/") + "/" + suffix.lstrip("/")
