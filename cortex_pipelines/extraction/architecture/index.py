"""Index of the files, folders, packages and aliases of a source that imports may name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from posixpath import basename, dirname, join, normpath
from typing import Any

INTERNAL, EXTERNAL, STANDARD, UNRESOLVED = "internal", "external", "standard", "unresolved"


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
    """Index of one source: its files with their languages, packages with a manifest, aliases by folder of
    a TypeScript configuration, and namespaces (package of a Java or Go file) by path."""

    languages: Mapping[str, str | None]
    packages: list[SourcePackage]
    aliases: Mapping[str, Mapping[str, Any]]
    namespaces: Mapping[str, str]
    _package_cache: dict[tuple[str, tuple[str, ...]], SourcePackage | None] = field(default_factory=dict)

    @cached_property
    def folders(self) -> frozenset[str]:
        """All folders, the root as an empty text."""
        folders = {""}
        for path in self.languages:
            folder = dirname(path)
            while folder not in folders:
                folders.add(folder)
                folder = dirname(folder)
        return frozenset(folders)

    @cached_property
    def java_names(self) -> dict[str, list[str]]:
        """Files of each top-level type of Java, and folders of each package (with ``.*``), by qualified name."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path, namespace in sorted(self.namespaces.items()):
            if path.endswith(".java"):
                paths[f"{namespace}.{basename(path).removesuffix('.java')}"].append(path)
                paths[f"{namespace}.*"].append(dirname(path))
        return paths

    @cached_property
    def module_roots(self) -> dict[str, tuple[str, ...]]:
        """Folders that hold a top-level Python module or package of a name, in order."""
        roots_of: dict[str, set[str]] = defaultdict(set)
        for path in self.languages:
            if path.endswith((".py", ".pyi")):
                folder, name = path.rpartition("/")[::2]
                stem = name.partition(".")[0]
                if stem == "__init__":
                    roots_of[folder.rsplit("/", 1)[-1]].add(dirname(folder))
                elif join(folder, "__init__.py") not in self.languages:
                    roots_of[stem].add(folder)
        return {name: tuple(sorted(roots)) for name, roots in roots_of.items()}

    @cached_property
    def _by_root(self) -> dict[str, list[SourcePackage]]:
        packages: dict[str, list[SourcePackage]] = defaultdict(list)
        for package in sorted(self.packages, key=lambda p: (p.root, p.technology, p.name)):
            packages[package.root].append(package)
        return packages

    def package_of(self, path: str, *technologies: str) -> SourcePackage | None:
        """The package in the innermost folder around a file, of one of the formats if any is given."""
        key = (dirname(path), technologies)
        if key not in self._package_cache:
            folder, inner, package = key[0], None, None
            while package is None and folder != inner:
                package = self.package_at(folder, *technologies)
                folder, inner = dirname(folder), folder
            self._package_cache[key] = package
        return self._package_cache[key]

    def package_at(self, root: str, *technologies: str) -> SourcePackage | None:
        """The package in just this folder, of one of the formats if any is given."""
        packages = self._by_root.get(root, ())
        return next((p for p in packages if not technologies or p.technology in technologies), None)

    def package_named(self, importer: str, technology: str, *names: str) -> SourcePackage | None:
        """The nearest package of a format with one of the names."""
        by_root = {p.root: p for p in self.packages if p.technology == technology and p.name in names}
        root = nearest(importer, list(by_root))
        return None if root is None else by_root[root]

    def first(self, candidates: Iterable[str]) -> str | None:
        return next((path for path in candidates if path in self.languages), None)


def nearest(importer: str, paths: Sequence[str]) -> str | None:
    """The path that shares most folders with a file, as a name may exist in several projects."""
    importer_parts = importer.split("/")

    def shared_folders(path: str) -> int:
        for index, (importer_part, part) in enumerate(zip(importer_parts, path.split("/"), strict=False)):
            if importer_part != part:
                return index
        return len(importer_parts)

    return min(paths, key=lambda path: (-shared_folders(path), path), default=None)


def join_path(folder: str, relative: str) -> str | None:
    """Normalise a path relative to a folder; None if it leaves the source."""
    path = normpath(join(folder, relative))
    if path == ".." or path.startswith(("../", "/")):
        return None
    return "" if path == "." else path
