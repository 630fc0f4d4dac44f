"""Full paths of routes through all routers they are mounted on, across files."""

from collections import defaultdict
from collections.abc import Mapping
from posixpath import dirname
from typing import Any

from cortex_pipelines.extraction.architecture.facts import MOUNT, parsed_detail
from cortex_pipelines.extraction.architecture.index import INTERNAL, ImportTarget, SourceIndex
from cortex_pipelines.extraction.architecture.resolvers import import_targets

Router = tuple[str, str]
"""A router: file, and name in it (for Go and Rust the function and the name)."""

_MAX_MOUNTS = 4  # of one router
_MAX_DEPTH = 8


class Mounts:
    def __init__(
        self, rows: list[dict[str, Any]], imports: Mapping[str, list[ImportTarget]], index: SourceIndex
    ) -> None:
        self._index = index
        self._imports = {
            path: {target.local: target for target in targets if target.scope == INTERNAL}
            for path, targets in imports.items()
        }
        self._symbols: dict[str, dict[str, None]] = defaultdict(dict)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._prefixes_of: dict[Router, list[str]] = {}
        self._own_prefixes: dict[Router, str] = {}
        self._mounts: dict[Router, list[tuple[Router, str, bool]]] = defaultdict(list)
        mounts = []
        for row in rows:
            path, detail = row["path"], parsed_detail(row["detail"])
            self._symbols[path].setdefault(detail["router"])
            if row["fact"] == MOUNT and detail["router"]:
                mounts.append((row["object"], ((path, detail["router"]), row["subject"], detail["replaces"])))
            elif row["fact"] == MOUNT:
                self._own_prefixes[path, row["object"]] = row["subject"]
        for path in sorted(self._symbols):
            self._files[dirname(path)].append(path)
        for target, edge in mounts:
            for node in self._routers_of(edge[0][0], target, 0):
                if node != edge[0] and edge not in self._mounts[node]:
                    self._mounts[node].append(edge)

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

    def _routers_of(self, path: str, name: str, depth: int) -> list[Router]:
        kind, _, function = name.partition(" ")
        if kind == "module":
            modules = import_targets(self._index, path, function, {"names": [("", "")]})
            return self._roots(next((target.object for target in modules if target.scope == INTERNAL), ""), "")
        in_function = kind in ("returned", "parameter")
        words = (function if in_function else name).replace("::", ".").split(".")
        target = self._imports.get(path, {}).get(words[0])
        if in_function:
            files = self._files[dirname(path)] if path.endswith(".go") else [path]
            if target is not None:
                files = self._files.get(target.object) or [target.object]
            return [node for file in files for node in self._roots(file, words[-1] + ":")]
        if name in self._symbols[path] or (path, name) in self._own_prefixes or depth > _MAX_DEPTH:
            return [(path, name)]
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

    def _roots(self, path: str, start: str) -> list[Router]:
        """Routers of a file that are mounted on no other router in it."""
        symbols = [name for name in self._symbols.get(path, ()) if name.startswith(start)]
        for usual in ("urlpatterns", "default"):
            if usual in symbols:
                return [(path, usual)]
        nodes = [(path, name) for name in symbols if name]
        return [node for node in nodes if not any(outer[0] == path for outer, _, _ in self._mounts.get(node, ()))]


def _join_paths(base: str, suffix: str) -> str:
    if not base or not suffix:
        return base or suffix
    return base.rstrip("/") + "/" + suffix.lstrip("/")
