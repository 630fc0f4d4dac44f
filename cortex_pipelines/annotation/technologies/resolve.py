"""The libraries and frameworks behind the names that units use.

A technology is a package from outside of the source, called as code or its registry calls it: the top-level module of
Python, the package of npm, the module of Go, the crate (with ``_``), the first parts of a package of Java. Modules of
a standard library do not count, save those of ``STANDARD``; nor does the project itself. What a project passes on
(re-exports, variables that hold what a library gives, bases) counts where it is used.
"""

from collections import defaultdict
from posixpath import basename, dirname

import polars as pl

from cortex_pipelines.annotation.technologies.bindings import STAR, is_technology
from cortex_pipelines.annotation.technologies.names import CRATE, IMPORTED, JSX, UNLISTED
from cortex_pipelines.extraction.architecture.index import EXTERNAL, INTERNAL
from cortex_pipelines.extraction.architecture.index import STANDARD as OF_LANGUAGE

FACT_COLUMNS = ("source", "path", "start_line", "fact", "object", "scope", "technology")
"""Columns of ARCHITECTURE_FACTS that names are resolved by."""

BINDINGS = pl.List(pl.Struct({**dict.fromkeys(("local", "module", "name"), pl.String), "line": pl.Int64}))

# owners of many libraries, each of which has a package of its own below them
_JAVA_OWNERS = frozenset({"com", "org.apache", "org.eclipse", "org.jetbrains", "io.github"})
_JAVA_LIBRARIES = ("com.google.common.truth",)  # below the package of another library
_JSX_RUNTIMES = ("react", "preact", "solid-js")
_FOLDER_FILES = frozenset({"__init__", "index", "mod", "lib"})

File = tuple[str, str]
"""Source and path."""
Name = tuple[File, str, bool]
"""A name in a file: what it holds, or (true) what the type of this name extends."""


def java_library(package: str) -> str:
    """The part of a package's name that is common to its library (``org.junit`` of ``org.junit.jupiter.api``)."""
    for library in _JAVA_LIBRARIES:
        if f"{package}.".startswith(f"{library}."):
            return library
    words = package.split(".")
    length = next((n for n in (2, 1) if ".".join(words[:n]) in _JAVA_OWNERS), 0)
    return ".".join(words[: length + (1 if length > 1 else 2)])


def technologies_of_units(units: pl.DataFrame, names: pl.DataFrame, facts: pl.DataFrame) -> pl.DataFrame:
    """``unit_id`` and ``technologies``, sorted, of each unit.

    ``names``: by ``unit_id`` the columns ``uses``, ``heads``, ``bases`` and, on one unit of each file, ``bindings``.
    ``facts``: ``FACT_COLUMNS`` of ARCHITECTURE_FACTS; a file without facts has no technologies.
    """
    rows = units.select("unit_id", "source", "path", "language", "kind", "name", "qualified_name").join(
        names, on="unit_id", maintain_order="left"
    )
    project = _Project(rows, facts)
    columns = rows.select("source", "path", "kind", "qualified_name", "uses")
    found = [sorted(project.technologies(*row)) for row in columns.iter_rows()]
    return rows.select("unit_id", technologies=pl.Series(found, dtype=pl.List(pl.String)))


class _Project:
    def __init__(self, rows: pl.DataFrame, facts: pl.DataFrame) -> None:
        self._targets: dict[tuple[str, str, int], list[tuple[str, str]]] = defaultdict(list)
        self._passed_on: dict[File, list[str]] = defaultdict(list)
        self._crates, self._imported, self._packages = (defaultdict[str, set[str]](set) for _ in range(3))  # by source
        for source, path, line, fact, target, scope, technology in _imports_and_needs(facts).iter_rows():
            if fact == "module-dependency":
                self._targets[source, path, line].append((target, scope))
                if scope == INTERNAL:
                    self._passed_on[source, path].append(target)
                elif technology == "rust" and scope == EXTERNAL:
                    self._imported[source].add(target)
            elif fact == "service-dependency" and scope == EXTERNAL and technology == "cargo":
                self._crates[source].add(target.replace("-", "_"))
            elif fact == "service-dependency" and scope == EXTERNAL and technology == "npm":
                self._packages[source].add(target)
        # what a name is bound to: a technology, or a name in a file
        self._technologies: dict[Name, set[str]] = defaultdict(set)
        self._edges: dict[Name, list[Name]] = defaultdict(list)
        self._stars: dict[File, list[str]] = defaultdict(list)
        self._files = set(rows.select("source", "path").unique().iter_rows())
        self._names = set(rows.filter(pl.col("kind") != "import").select("source", "name").unique().iter_rows())
        self._memo: dict[Name, frozenset[str]] = {}
        for source, path in self._files:
            self._passed_on.pop((source, path), None)  # its names are known
            if path.endswith(".rs"):
                self._imported[source].discard(_module_name(path))
        for column, bases in (("heads", False), ("bases", True)):
            listed = rows.filter(pl.col(column).list.len() > 0).select("source", "path", "name", column)
            for source, path, name, inner in listed.iter_rows():
                file = (source, path)
                self._edges[file, name, bases] += [(file, each, bases) for each in inner if each != name]
        bound = rows.filter(pl.col("bindings").list.len() > 0).select("source", "path", "language", "bindings")
        for source, path, language, bindings in bound.iter_rows():
            for binding in bindings:
                self._bind((source, path), language, **binding)

    def _bind(self, file: File, language: str, local: str, module: str, name: str, line: int) -> None:
        targets = self._targets.get((*file, line), ())
        local = local or module
        for target, scope in targets:
            if scope in (EXTERNAL, OF_LANGUAGE) and _is_of(language, module, target):
                technology = java_library(target) if language == "java" else target
                counts = scope == EXTERNAL or is_technology(language, module)
                if language == "python":  # stubs of types, and compiled parts of the project
                    counts = counts and not target.startswith("_")
                if language == "rust":  # what stars bring are mostly traits, and macros of the language
                    counts = counts and local != STAR and self._is_crate(file[0], target)
                if local == STAR:
                    self._stars[file].append("")
                for bases in (False, True):
                    self._technologies[file, local, bases] |= {technology} if counts else set()
                return
        inside = [target for target, scope in targets if scope == INTERNAL]
        if not inside:
            return
        path = _pick(inside, module, name)
        if local == STAR:
            self._stars[file].append(path)
            return
        # a default export mostly has the name that importers give it
        exported = [local if name in ("", "default", STAR) else name]
        if language == "rust":  # a module on the way may be passed on as a whole: crate::header::HeaderMap
            exported += module.split("::")[1:-1]
        for bases in (False, True):
            self._edges[file, local, bases] += [((file[0], path), inner, bases) for inner in exported]

    def _is_crate(self, source: str, name: str) -> bool:
        return name in self._crates[source] or name in self._imported[source]

    def technologies(self, source: str, path: str, kind: str, qualified_name: str, uses: list[str]) -> set[str]:
        file = (source, path)
        found = {technology for use in uses for technology in self._of_use(file, use)}
        if kind == "method":
            found |= self._behind((file, qualified_name.rpartition(".")[0].rpartition(".")[2], True))
        return found

    def _of_use(self, file: File, use: str) -> frozenset[str]:
        if use.startswith(CRATE):
            name = use.removeprefix(CRATE)
            return frozenset({name} if self._is_crate(file[0], name) else ())
        if use == JSX:
            return frozenset([name for name in _JSX_RUNTIMES if name in self._packages[file[0]]][:1])
        if use.startswith(IMPORTED):
            return frozenset(self._technologies.get((file, use.removeprefix(IMPORTED), False), ()))
        if use.startswith(UNLISTED):
            return self._unlisted(file, use.removeprefix(UNLISTED))
        return self._behind((file, use, False))

    def _unlisted(self, file: File, name: str) -> frozenset[str]:
        """What is behind a name of an import without names: of a file that binds it, or of the only such import."""
        stars = self._stars.get(file, [])
        found = frozenset[str]().union(*(self._behind(((file[0], path), name, False)) for path in stars if path))
        if not found and stars == [""] and (file[0], name) not in self._names:
            found = frozenset(self._technologies.get((file, STAR, False), ()))
        return found

    def _behind(self, name: Name) -> frozenset[str]:
        """All technologies that lie behind a name."""
        if name not in self._memo:
            found: set[str] = set()
            pending, seen = [name], {name}
            while pending:
                at = pending.pop()
                found |= self._technologies.get(at, set())
                following = [inner for inner in self._following(at) if inner not in seen]
                seen.update(following)
                pending += following
            self._memo[name] = frozenset(found)
        return self._memo[name]

    def _following(self, name: Name) -> list[Name]:
        file, local, bases = name
        bound = self._edges.get(name, [])
        if bound or name in self._technologies:
            return bound
        paths = self._passed_on.get(file) or self._stars.get(file, [])
        return [((file[0], path), local, bases) for path in paths if path]


def _imports_and_needs(facts: pl.DataFrame) -> pl.DataFrame:
    return facts.filter(pl.col("fact").is_in(["module-dependency", "service-dependency"])).select(FACT_COLUMNS)


def _is_of(language: str, module: str, target: str) -> bool:
    if language == "rust":
        return module.lstrip(":").split("::")[0] == target
    if language == "java":
        return f"{module}.".startswith(f"{target}.")
    if language == "python":
        return module.split(".")[0] == target
    name = module.removeprefix("node:")
    return name == target or name.startswith(f"{target}/")


def _pick(paths: list[str], module: str, name: str) -> str:
    """Of several files that a line imports, the one that a name is a module of, else the module's own."""
    words = [word for word in module.replace("::", "/").replace(".", "/").split("/") if word]
    for word in (name, *reversed(words[-1:])):
        for path in paths:
            if word == _module_name(path):
                return path
    return paths[0]


def _module_name(path: str) -> str:
    stem = basename(path).split(".")[0]
    return basename(dirname(path)) if stem in _FOLDER_FILES else stem
