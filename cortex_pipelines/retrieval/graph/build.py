"""Build the graph of a project's code: who calls, passes on, imports, inherits, tests, configures what."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from posixpath import dirname
from typing import Any, NamedTuple

import polars as pl

from cortex_pipelines.extraction.architecture.index import INTERNAL, join_path
from cortex_pipelines.extraction.settings import ArchitectureSettings, ExtractionSettings
from cortex_pipelines.extraction.test_cases import is_test
from cortex_pipelines.retrieval.graph.declarations import Declarations
from cortex_pipelines.retrieval.graph.imports import Targets
from cortex_pipelines.retrieval.graph.names import FUNCTIONS, GoSignature, GraphUnit, SymbolTable
from cortex_pipelines.retrieval.graph.references import (
    BASE,
    CALL,
    IMPLEMENTS,
    LOCAL,
    PACKAGE,
    PASSED,
    READ,
    WRITE,
    Reference,
    read_references,
)
from cortex_pipelines.retrieval.graph.requests import HttpRoute, answering, path_parts, requests_in
from cortex_pipelines.retrieval.graph.resolution import SCOPE, TYPE, UNIQUE, ReferenceResolver
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.retrieval import CODE_GRAPH, RESOLUTIONS

MOST_CHANGED = 30  # files of a commit above which it says nothing of any two of them, as there
LEAST_TOGETHER = 3  # commits that two files have to share
LEAST_SHARE = 0.25  # share of the commits of the one that is changed less often


_OF_ANY_CHANGE = re.compile(r"(?i)(^|/)(change(s|log)|history|news|releases?)(\.\w+)?$|[.-]lock(\.\w+)?$|(^|/)go\.sum$")


def changed_together(commits: Iterable[Sequence[str]], paths: frozenset[str]) -> dict[tuple[str, str], int]:
    """Commits that changed both of two files, by the two in the order of their paths.

    Limits as in Zimmermann, Weissgerber, Diehl, Zeller: Mining version histories to guide software changes (2005).
    Without lists of changes and locks of packages, which any commit may change.
    """
    files = {path for path in paths if not _OF_ANY_CHANGE.search(path)}
    changed: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for commit in commits:
        if len(commit) > MOST_CHANGED:
            continue
        inside = sorted(files.intersection(commit))
        changed.update(inside)
        together.update(combinations(inside, 2))
    return {
        pair: count
        for pair, count in together.items()
        if count >= LEAST_TOGETHER and count >= LEAST_SHARE * min(changed[pair[0]], changed[pair[1]])
    }


CONSTRUCTORS = ("__init__", "__new__", "__post_init__", "constructor")
CONFIGURATION = (*("yaml", "toml", "ini", "json", "xml", "dockerfile", "make", "cmake", "go-module", "terraform"),)
"""Languages of files that configure."""

_ROWS_AT_ONCE = 10_000  # as dictionaries, which take five times the memory of the table
_MOST = 200_000  # characters of a larger file are data, or a lock file of other people's packages
_MENTION = re.compile(r"(?<![\w./\-])(?:\./)?[\w\-]+(?:[./][\w\-]+)+(?::\w+)?")
_ROOTS = ("src/", "lib/")


def mentions(path: str, text: str, code: Collection[str], modules: Mapping[str, str]) -> Iterator[tuple[int, str, str]]:
    """Each line of a file with each code file that it names, and the name in that file."""
    for number, line in enumerate(text.split("\n") if len(text) <= _MOST else (), start=1):
        for match in _MENTION.finditer(line[:2_000]):
            mentioned, _, name = match[0].partition(":")
            named = (join_path(base, mentioned) for base in (dirname(path), ""))
            target = next((each for each in named if each in code), None) or modules.get(mentioned)
            if target is not None and target != path:
                yield number, target, name


GRAPH_FILE_COLUMNS = ("source", "path", "language", "generated", "text")
FACT_COLUMNS = ("source", "path", "start_line", "end_line", "fact", "subject", "object", "scope")
TEST_COLUMNS = ("unit_id", "source", "path", "language", "name", "start_byte", "end_byte", "start_line", "end_line")
GRAPH_COMMIT_COLUMNS = ("source", "paths")
_DEPENDENCY, _ROUTE = "module-dependency", "route"


class GraphNode(NamedTuple):
    """One end of an edge; the name is empty and the lines are 0 for a file or folder."""

    path: str
    name: str = ""
    kind: str = "file"
    start_line: int = 0
    end_line: int = 0


class GraphTables(NamedTuple):
    files: pl.DataFrame
    units: pl.DataFrame
    tests: pl.DataFrame
    facts: pl.DataFrame
    commits: pl.DataFrame


def code_graph(
    tables: GraphTables,
    settings: ArchitectureSettings,
    parsing: ExtractionSettings,
    cache: RowCache | None = None,
    project: str = "",
) -> pl.DataFrame:
    """Rows of ``CODE_GRAPH``: the edges between the units and files of a project."""
    references = read_references(tables.files, settings, parsing, cache, project)
    parts = [CODE_GRAPH.empty()]
    for source in tables.files["source"].unique().sort():
        inside = GraphTables(*(table.filter(pl.col("source") == source) for table in tables))
        graph = _SourceGraph(inside, references.filter(pl.col("source") == source))
        rows = ({"source": source, **row} for row in graph.rows())
        while part := list(islice(rows, _ROWS_AT_ONCE)):
            parts.append(pl.DataFrame(part, schema=CODE_GRAPH.schema, orient="row"))
    return CODE_GRAPH.conform(pl.concat(parts))


class _SourceGraph:
    def __init__(self, tables: GraphTables, references: pl.DataFrame) -> None:
        self._tables = tables
        self._edges: dict[tuple[str, GraphNode, GraphNode], tuple[int, set[int], int]] = {}
        self._references: dict[str, list[Reference]] = defaultdict(list)
        is_by_name = pl.col("kind").is_in((READ, WRITE, PASSED, LOCAL))  # of a property or function that is known below
        for path, *values in references.filter(~is_by_name).drop("source").iter_rows():
            self._references[path].append(Reference(*values))
        packages = {
            path: reference.name
            for path, inside in self._references.items()
            for reference in inside
            if reference.kind == PACKAGE
        }
        self._paths = frozenset(tables.files["path"])
        self._targets: Targets = defaultdict(list)
        self._facts = tables.facts.filter(pl.col("fact") == _DEPENDENCY)
        for path, line, target, scope in self._facts.select("path", "start_line", "object", "scope").iter_rows():
            self._targets[path, line].append((target, scope))
        languages = dict(tables.files.select("path", "language").iter_rows())
        generated = frozenset(tables.files.filter("generated")["path"])
        self._symbols = SymbolTable(tables.units, tables.tests, languages, packages, generated)
        self._declared = Declarations(self._symbols, self._references, self._targets, self._paths)
        self._resolver = ReferenceResolver(self._symbols, self._declared, self._paths)
        properties = {self._symbols.units[number].name for number in self._declared.properties}
        is_access = pl.col("kind").is_in((READ, WRITE))
        self._accesses = references.filter(is_access & pl.col("name").is_in(sorted(properties))).drop("source")
        functions = {unit.name for unit in self._symbols.units if unit.kind in FUNCTIONS} - properties
        named = references.filter(pl.col("name").is_in(sorted(functions))).drop("source")
        self._passed = named.filter(pl.col("kind") == PASSED)
        self._locals = {
            (path, self._symbols.unit_at(path, byte), name)
            for path, name, byte in named.filter(pl.col("kind") == LOCAL).select("path", "name", "byte").iter_rows()
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        self._inherits()
        self._implements()
        self._overrides()
        self._calls()
        self._passes()
        self._imports()
        self._configures()
        self._requests()
        for (first, second), count in changed_together(self._tables.commits["paths"], self._paths).items():
            self._add("changes_with", GraphNode(first), GraphNode(second), "history", 0, count)
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
        self, relation: str, start: GraphNode, end: GraphNode, resolution: str, line: int, weight: int = 0
    ) -> None:
        if start == end and relation != "calls":
            return
        rank = RESOLUTIONS.index(resolution)
        # two definitions of one name in one line are one place of the table
        key = (relation, start, end)
        known_rank, lines, known_weight = self._edges.get(key, (rank, set(), 0))
        if line:
            lines.add(line)
        self._edges[key] = (min(known_rank, rank), lines, max(known_weight, weight))

    def _inherits(self) -> None:
        """Bases first: methods are looked up by them."""
        resolver, symbols = self._resolver, self._symbols
        for path in sorted(self._references):
            for reference in self._references[path]:
                enclosing_unit = symbols.unit_at(path, reference.byte)
                subtype: tuple[int, str] | None
                if reference.kind == BASE:
                    subtype = (symbols.enclosing_type(enclosing_unit), "")
                elif reference.kind == IMPLEMENTS:
                    subtype = resolver.resolve_type(reference.name, path, enclosing_unit)
                else:
                    continue
                base = resolver.resolve_type(reference.about, path, enclosing_unit)
                if subtype is None or base is None or subtype[0] in (-1, base[0]):
                    continue
                if base[0] not in resolver.bases[subtype[0]]:
                    resolver.bases[subtype[0]].append(base[0])
                ends = self._unit(subtype[0]), self._unit(base[0])
                line = reference.start_line if ends[0].path == path else 0
                self._add("inherits", *ends, base[1], line, weight=1)
        resolver.reset()

    def _implements(self) -> None:
        """In Go a type implements each interface whose methods it has, with parameters of their types and a result or
        none.
        """
        resolver, symbols = self._resolver, self._symbols
        methods: dict[int, dict[str, GoSignature]] = {}
        for number, unit in enumerate(symbols.units):
            if unit.is_type and unit.family == "go":
                members = (
                    (name, symbols.member(each, name))
                    for each in reversed(resolver.with_bases([number]))
                    for name in symbols.member_names(each)
                )
                methods[number] = {name: symbols.go_signature(member) for name, member in members}
        interfaces = [number for number in methods if symbols.units[number].kind == "interface" and methods[number]]
        for number in methods:
            for interface in interfaces if symbols.units[number].kind != "interface" else ():
                of_type, required = methods[number], methods[interface]
                if all(name in of_type and of_type[name].satisfies(required[name]) for name in required):
                    line = symbols.units[number].start_line
                    self._add("inherits", self._unit(number), self._unit(interface), TYPE, line)
                    resolver.bases[number].append(interface)
        resolver.reset()

    def _overrides(self) -> None:
        """Methods of a type inherit from those that they stand for where the type is known as its base."""
        resolver, symbols = self._resolver, self._symbols
        for number in sorted(resolver.bases):
            for name in symbols.member_names(number):
                method = symbols.member(number, name)
                inherited = (symbols.member(base, name) for base in resolver.with_bases(resolver.bases[number]))
                base = next((base for base in inherited if base >= 0), -1)
                if base < 0 or symbols.units[method].kind != symbols.units[base].kind or name in CONSTRUCTORS:
                    continue
                for override, overridden in symbols.overrides(method, base):
                    line = symbols.units[override].start_line
                    self._add("inherits", self._unit(override), self._unit(overridden), TYPE, line)

    def _calls(self) -> None:
        resolver, symbols = self._resolver, self._symbols
        for path in sorted(self._references):
            for reference in self._references[path]:
                if reference.kind == CALL:
                    enclosing_unit = symbols.unit_at(path, reference.byte)
                    self._call(path, enclosing_unit, reference, resolver.resolve_call(path, enclosing_unit, reference))
        for path, *values in self._accesses.iter_rows():
            reference = Reference(*values)
            enclosing_unit = symbols.unit_at(path, reference.byte)
            self._call(path, enclosing_unit, reference, resolver.resolve_property(path, enclosing_unit, reference))
        for number, reference in self._declared.dispatched:
            function = resolver.resolve_dispatch(number, reference)
            if function >= 0:
                unit = self._unit(number)
                line = reference.start_line if symbols.units[function].path == unit.path else 0
                self._add("calls", self._unit(function), unit, SCOPE, line, weight=1)

    def _passes(self) -> None:
        """Functions that are given to others to call: handlers, dependencies, callbacks."""
        symbols = self._symbols
        for path, *values in self._passed.iter_rows():
            reference = Reference(*values)
            enclosing_unit = symbols.unit_at(path, reference.byte)
            first = (reference.about or reference.name).partition(".")[0]
            if any((path, unit, first) in self._locals for unit in symbols.enclosing_units(enclosing_unit)):
                continue
            function = self._resolver.resolve_call(path, enclosing_unit, reference)
            if function is None or function[1] == UNIQUE or symbols.units[function[0]].kind not in FUNCTIONS:
                continue
            start = self._unit_or_file(enclosing_unit, path)
            self._add("passes", start, self._unit(function[0]), function[1], reference.start_line)

    def _call(self, path: str, enclosing_unit: int, reference: Reference, callee: tuple[int, str] | None) -> None:
        if callee is None:
            return
        number, resolution = callee
        symbols, line = self._symbols, reference.start_line
        numbers = symbols.overload(number, reference.arguments)
        start = self._unit_or_file(enclosing_unit, path)
        end = self._unit(numbers[0])
        self._add("calls", start, end, resolution, line)
        case = next((unit for unit in symbols.enclosing_units(enclosing_unit) if symbols.units[unit].is_case), None)
        is_sure = len(numbers) == 1 and resolution != UNIQUE
        is_product = not any(symbols.units[unit].is_test for unit in symbols.enclosing_units(numbers[0]))
        is_interface = symbols.units[numbers[0]].kind == "interface"  # which an anonymous class implements
        if case is not None and is_sure and is_product and not is_interface:
            self._add("tests", self._unit(case), end, resolution, line)

    def _imports(self) -> None:
        for path, line, target, scope in self._facts.select("path", "start_line", "object", "scope").iter_rows():
            if scope == INTERNAL and path != target:
                kind = "file" if target in self._paths else "folder"
                self._add("imports", GraphNode(path), GraphNode(target, kind=kind), "import", line)
        for path in sorted(self._declared.bindings):
            for binding in self._declared.bindings[path].values():
                number = self._resolver.imported_unit(binding)
                if number >= 0:
                    self._add("imports", GraphNode(path), self._unit(number), "import", binding.line)

    def _configures(self) -> None:
        code = self._symbols.families.keys()
        modules: dict[str, str] = {}  # Python files by module, also without the folders that hold all code
        for root in ("", *_ROOTS):
            for path in sorted(path for path in code if path.startswith(root) and path.endswith(".py")):
                module = path[len(root) :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                modules.setdefault(module, path)
        files = self._tables.files.filter(pl.col("language").is_in(CONFIGURATION) & ~pl.col("generated")).sort("path")
        for path, text in files.select("path", "text").iter_rows():
            for line, target, name in mentions(path, text, code, modules):
                number = self._symbols.in_file(target, name) if name else -1
                end = self._unit_or_file(number, target)
                self._add("configures", GraphNode(path), end, "path", line)

    def _requests(self) -> None:
        """Tests of the functions that handle the routes that they request."""
        symbols, routes, with_routes = self._symbols, list[HttpRoute](), set[str]()
        facts = self._tables.facts.filter(pl.col("fact") == _ROUTE)
        columns = ("path", "start_line", "end_line", "subject", "object")
        for path, start, end, subject, name in facts.select(columns).iter_rows():
            method, _, route = subject.partition(" ")
            outer = symbols.unit_at_line(path, start)
            routes.append(HttpRoute(method, path_parts(route), path, self._handler(path, outer, end, name, method)))
            if is_test(path) or (outer >= 0 and symbols.units[outer].is_test):
                with_routes.add(path)  # whose tests request these, of a framework or a server in the test's place
        if not routes:
            return
        cases = [(n, unit) for n, unit in enumerate(symbols.units) if unit.is_case and unit.path not in with_routes]
        texts = self._tables.files.filter(pl.col("path").is_in(sorted({case.path for _, case in cases})))
        contents = {path: text.encode() for path, text in texts.select("path", "text").iter_rows()}
        for number, case in cases:
            code = contents[case.path][case.start : case.end].decode()
            for request in requests_in(code, case.start_line):
                handler = answering(request, case.path, routes)
                if handler >= 0 and not symbols.units[handler].is_test:
                    self._add("tests", self._unit(number), self._unit(handler), "path", request.line)

    def _handler(self, path: str, outer: int, end: int, name: str, method: str) -> int:
        """The function or method that answers a route; -1 if it is not one of the source."""
        symbols = self._symbols
        if in_file := symbols.overloads.get((path, name)):
            decorated = (number for number in in_file if abs(symbols.units[number].start_line - end) <= 1)
            number = next(decorated, in_file[0])
        else:
            resolved = self._resolver.evaluate(name, path, outer, 0)
            number = resolved.symbol.number if resolved and resolved.symbol.kind == "unit" else -1
        if number >= 0 and symbols.units[number].is_type:  # a view: its methods have the names of HTTP's
            number = symbols.member(number, method.lower())
        return number

    def _unit_or_file(self, number: int, path: str) -> GraphNode:
        return self._unit(number) if number >= 0 else GraphNode(path)

    def _unit(self, number: int) -> GraphNode:
        unit: GraphUnit = self._symbols.units[number]
        return GraphNode(unit.path, unit.qualified_name, unit.kind, unit.start_line, unit.end_line)
