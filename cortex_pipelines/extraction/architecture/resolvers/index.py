"""Index of the files, folders, packages and aliases of a source that imports may name."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import basename, dirname, join, normpath
from typing import Any

INTERNAL, EXTERNAL, STANDARD, UNRESOLVED = "internal", "external", "standard", "unresolved"


@dataclass(frozen=True, slots=True)
class Import:
    path: str
    module: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """A file or folder of the source, or a package; ``local`` is its name in the importing file."""

    object: str
    scope: str
    local: str = ""
    name: str = ""


@dataclass(frozen=True)
class SourcePackage:
    name: str
    root: str
    technology: str
    detail: Mapping[str, Any]


@dataclass
class SourceIndex:
    """Index of one source: its files, packages with a manifest, aliases by folder of a TypeScript
    configuration, and namespaces (package of a Java or Go file) by path."""

    paths: frozenset[str]
    packages: list[SourcePackage] = field(default_factory=list)
    aliases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    _package_cache: dict[tuple[str, tuple[str, ...]], SourcePackage | None] = field(default_factory=dict)

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders, the root as an empty text."""
        folders = {""}
        for path in self.paths:
            folder = dirname(path)
            while folder not in folders:
                folders.add(folder)
                folder = dirname(folder)
        return frozenset(folders)

    @cached_property
    def java_types(self) -> dict[str, list[str]]:
        """Files of each top-level type of Java, by its qualified name."""
        return self._java(lambda path: f"{self.namespaces[path]}.{basename(path).removesuffix('.java')}", str)

    @cached_property
    def java_packages(self) -> dict[str, list[str]]:
        """Folders of each package of Java."""
        return self._java(self.namespaces.__getitem__, dirname)

    def _java(self, key: Callable[[str], str], value: Callable[[str], str]) -> dict[str, list[str]]:
        values: dict[str, list[str]] = defaultdict(list)
        for path in sorted(path for path in self.namespaces if path.endswith(".java")):
            values[key(path)].append(value(path))
        return values

    @cached_property
    def by_technology(self) -> dict[str, list[SourcePackage]]:
        """Packages by manifest format, longer names first."""
        packages: dict[str, list[SourcePackage]] = defaultdict(list)
        for package in sorted(self.packages, key=lambda p: (-len(p.name), p.name, p.root)):
            packages[package.technology].append(package)
        return packages

    @cached_property
    def module_roots(self) -> dict[str, tuple[str, ...]]:
        """Folders that hold a top-level Python module or package of a name, in order."""
        roots_of: dict[str, set[str]] = {}
        for path in self.paths:
            if path.endswith((".py", ".pyi")):
                folder, name = path.rpartition("/")[::2]
                stem = name.partition(".")[0]
                if stem == "__init__":
                    roots_of.setdefault(folder.rsplit("/", 1)[-1], set()).add(dirname(folder))
                elif join(folder, "__init__.py") not in self.paths:
                    roots_of.setdefault(stem, set()).add(folder)
        return {name: tuple(sorted(roots)) for name, roots in roots_of.items()}

    def package_of(self, path: str, *technologies: str) -> SourcePackage | None:
        return self._package_at(dirname(path), technologies)

    def _package_at(self, folder: str, technologies: tuple[str, ...]) -> SourcePackage | None:
        visited = []
        package = None
        while (folder, technologies) not in self._package_cache:
            visited.append((folder, technologies))
            packages = self._by_root.get(folder, ())
            matching = [p for p in packages if not technologies or p.technology in technologies]
            package = matching[0] if matching else None
            if package is not None or folder == dirname(folder):
                break
            folder = dirname(folder)
        else:
            package = self._package_cache[folder, technologies]
        self._package_cache.update(dict.fromkeys(visited, package))
        return package

    @cached_property
    def _by_root(self) -> dict[str, list[SourcePackage]]:
        packages: dict[str, list[SourcePackage]] = {}
        for package in sorted(self.packages, key=lambda p: (p.root, p.technology, p.name)):
            packages.setdefault(package.root, []).append(package)
        return packages

    def package_named(self, importer: str, technology: str, *names: str) -> SourcePackage | None:
        """The nearest package of a format with one of the names."""
        matching = [p for p in self.by_technology.get(technology, ()) if p.name in names]
        root = nearest(importer, [package.root for package in matching])
        return next((package for package in matching if package.root == root), None)

    def first(self, candidates: Iterable[str]) -> str | None:
        return next((path for path in candidates if path in self.paths), None)


def nearest(importer: str, paths: Sequence[str]) -> str | None:
    """The path that shares most folders with a file, as a name may exist in several projects."""
    if len(paths) < 2:
        return paths[0] if paths else None
    importer_parts = importer.split("/")

    def shared_folders(path: str) -> int:
        pairs = zip(importer_parts, path.split("/"), strict=False)
        return next(
            (index for index, (importer_part, path_part) in enumerate(pairs) if importer_part != path_part),
            len(importer_parts),
        )

    return min(paths, key=lambda path: (-shared_folders(path), path))


def join_path(folder: str, relative: str) -> str | None:
    """Normalise a path relative to a folder; None if it leaves the source."""
    path = normpath(join(folder, relative))
    if path == ".." or path.startswith(("../", "/")):
        return None
    return "" if path == "." else path


def parsed_detail(text: str) -> Mapping[str, Any]:
    detail: Mapping[str, Any] = json.loads(text) if text else {}
    return detail


Resolver = Callable[[SourceIndex, Import], list[ImportTarget]]
RESOLVERS: dict[str, Resolver] = {}
"""Resolvers of imports by language; the modules beside register them."""


def resolves(*languages: str) -> Callable[[Resolver], Resolver]:
    def register(resolver: Resolver) -> Resolver:
        RESOLVERS.update(dict.fromkeys(languages, resolver))
        return resolver

    return register
