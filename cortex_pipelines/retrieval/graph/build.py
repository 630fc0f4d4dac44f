"""Build the graph of a project's code: who calls, imports, inherits, tests, configures what."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from cortex_pipelines.extraction.architecture.settings import ArchitectureSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.retrieval.graph.configuration import CONFIGURATION, Mentions
from cortex_pipelines.retrieval.graph.history import changed_together
from cortex_pipelines.retrieval.graph.names import GraphUnit, Names
from cortex_pipelines.retrieval.graph.references import (
    BASE,
    CALL,
    IMPLEMENTS,
    PACKAGE,
    Reference,
    read_references,
)
from cortex_pipelines.retrieval.graph.resolution import INTERNAL, ReferenceResolver, Targets
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.code_graph import CODE_GRAPH, RESOLUTIONS

FILE_COLUMNS = ("source", "path", "language", "generated", "text")
FACT_COLUMNS = ("source", "path", "start_line", "fact", "object", "scope")
TEST_COLUMNS = ("unit_id", "source", "path", "name", "start_line", "end_line")
COMMIT_COLUMNS = ("source", "paths")
_DEPENDENCY = "module-dependency"


class GraphNode(NamedTuple):
    """One end of an edge; the name is empty and the lines are 0 for a file or folder."""

    path: str
    name: str = ""
    kind: str = "file"
    start_line: int = 0
    end_line: int = 0


class Tables(NamedTuple):
    """What a graph is made from, with the columns above: rows of the tables of the same names."""

    files: pl.DataFrame
    units: pl.DataFrame
    tests: pl.DataFrame
    facts: pl.DataFrame
    commits: pl.DataFrame


def code_graph(
    tables: Tables,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None = None,
    project: str = "",
) -> pl.DataFrame:
    """The edges between the places of a project.

    Args:
        tables: What is known of it.
        settings: Limits of readers.
        parsing: Limits of what is parsed.
        cache: Where what single files refer to is kept; None computes all.
        project: Name of the project, for the cache.

    Returns:
        Rows of ``CODE_GRAPH``.
    """
    references = read_references(tables.files, settings, parsing, cache, project)
    rows: list[dict[str, Any]] = []
    for source in tables.files["source"].unique().sort():
        inside = Tables(*(table.filter(pl.col("source") == source) for table in tables))
        graph = _SourceGraph(inside, references.filter(pl.col("source") == source))
        rows += ({"source": source, **row} for row in graph.rows())
    return CODE_GRAPH.frame(rows)


class _SourceGraph:
    """The edges of one source, as they are collected."""

    def __init__(self, tables: Tables, references: pl.DataFrame) -> None:
        self._tables = tables
        self._edges: dict[tuple[str, GraphNode, GraphNode], tuple[int, set[int], int]] = {}
        self._references: dict[str, list[Reference]] = defaultdict(list)
        for path, *values in references.drop("source").iter_rows():
            self._references[path].append(Reference(*values))
        packages = {
            path: one.name
            for path, inside in self._references.items()
            for one in inside
            if one.kind == PACKAGE
        }
        self._paths = frozenset(tables.files["path"])
        self._targets: Targets = defaultdict(list)
        self._facts = tables.facts.filter(pl.col("fact") == _DEPENDENCY)
        for path, line, target, scope in self._facts.select(
            "path", "start_line", "object", "scope"
        ).iter_rows():
            self._targets[path, line].append((target, scope))
        self._names = Names(tables.units, packages)
        self._resolver = ReferenceResolver(
            self._names, self._references, self._targets, self._paths
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """All edges, as rows of the table."""
        self._inherits()
        self._calls()
        self._imports()
        self._tests()
        self._configures()
        self._changes()
        for (relation, start, end), (resolution, lines, weight) in self._edges.items():
            yield {
                "relation": relation,
                "resolution": RESOLUTIONS[resolution],
                **{f"from_{name}": value for name, value in start._asdict().items()},
                **{f"to_{name}": value for name, value in end._asdict().items()},
                "lines": sorted(lines),
                "weight": weight or len(lines),
            }

    def _add(
        self,
        relation: str,
        start: GraphNode,
        end: GraphNode,
        resolution: str,
        line: int,
        weight: int = 0,
    ) -> None:
        if start == end and relation != "calls":
            return
        place = RESOLUTIONS.index(resolution)
        # two definitions of one name in one line are one place of the table
        key = (relation, start, end)
        known, lines, before = self._edges.get(key, (place, set(), 0))
        if line:
            lines.add(line)
        self._edges[key] = (min(known, place), lines, max(before, weight))

    def _inherits(self) -> None:
        """Bases first: methods are looked up by them."""
        resolver, names = self._resolver, self._names
        for path in sorted(self._references):
            for one in self._references[path]:
                around = names.enclosing(path, one.byte)
                own: tuple[int, str] | None
                if one.kind == BASE:
                    own = (resolver.type_around(around), "")
                elif one.kind == IMPLEMENTS:
                    own = resolver.type_named(one.name, path, around)
                else:
                    continue
                base = resolver.type_named(one.about, path, around)
                if own is None or base is None or own[0] in (-1, base[0]):
                    continue
                if base[0] not in resolver.bases[own[0]]:
                    resolver.bases[own[0]].append(base[0])
                ends = self._unit(own[0]), self._unit(base[0])
                line = one.start_line if ends[0].path == path else 0
                self._add("inherits", *ends, base[1], line, weight=1)
        resolver.forget()

    def _calls(self) -> None:
        for path in sorted(self._references):
            for one in self._references[path]:
                if one.kind != CALL:
                    continue
                around = self._names.enclosing(path, one.byte)
                called = self._resolver.called(path, around, one)
                if called is not None:
                    start = self._unit(around) if around >= 0 else GraphNode(path)
                    self._add("calls", start, self._unit(called[0]), called[1], one.start_line)

    def _imports(self) -> None:
        for path, line, target, scope in self._facts.select(
            "path", "start_line", "object", "scope"
        ).iter_rows():
            if scope == INTERNAL and path != target:
                kind = "file" if target in self._paths else "folder"
                self._add("imports", GraphNode(path), GraphNode(target, kind=kind), "import", line)
        for path in sorted(self._resolver.bindings):
            for binding in self._resolver.bindings[path].values():
                number = self._resolver.imported(binding)
                if number >= 0:
                    self._add(
                        "imports", GraphNode(path), self._unit(number), "import", binding.line
                    )

    def _tests(self) -> None:
        names = self._names
        cases = {row[0]: GraphNode(row[2], row[3], "test", *row[4:])
                 for row in self._tables.tests.select(TEST_COLUMNS).iter_rows()}  # fmt: skip
        for unit_id, tests in self._tables.units.select("unit_id", "tests").iter_rows():
            number = names.numbers.get(unit_id)
            if number is None:
                continue
            for test in tests:
                known = names.numbers.get(test)
                case = cases.get(test) if known is None else self._unit(known)
                if case is not None:
                    self._add("tests", case, self._unit(number), "paired", case.start_line)

    def _configures(self) -> None:
        code = self._names.families.keys()
        mentions = Mentions(code)
        wanted = self._tables.files.filter(
            pl.col("language").is_in(CONFIGURATION) & ~pl.col("generated")
        ).sort("path")
        for path, text in wanted.select("path", "text").iter_rows():
            for mention in mentions.of(path, text):
                number = self._names.in_file(mention.target, mention.name) if mention.name else -1
                end = self._unit(number) if number >= 0 else GraphNode(mention.target)
                self._add("configures", GraphNode(path), end, "path", mention.line)

    def _changes(self) -> None:
        commits: Sequence[Sequence[str]] = self._tables.commits["paths"].to_list()
        for (first, second), count in changed_together(commits, self._paths).items():
            self._add("changes_with", GraphNode(first), GraphNode(second), "history", 0, count)

    def _unit(self, number: int) -> GraphNode:
        unit: GraphUnit = self._names.units[number]
        return GraphNode(unit.path, unit.qualified_name, unit.kind, unit.start_line, unit.end_line)
