"""Where the names of a source are defined: units by file, package and type, and what is around."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from posixpath import dirname
from typing import NamedTuple

import polars as pl

from cortex_pipelines.extraction.test_pairing import in_test_file

FUNCTIONS = ("function", "method")
TYPES = ("class", "struct", "trait", "interface", "enum")
GRAPH_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "kind", "name", "qualified_name"),
    *("start_byte", "end_byte", "start_line", "end_line", "signature", "body_start_byte", "tests"),
)  # columns of ``CODE_UNITS`` that a graph is made from

_FAMILY = {"typescript": "javascript"}
_LAST = {"python"}  # languages where the last of several definitions holds (the others are overloads)

_INNER = {"python", "javascript"}  # languages where what is inside of another definition is not known outside of it


class GraphUnit(NamedTuple):
    path: str
    family: str
    kind: str
    name: str
    qualified_name: str
    start: int
    end: int
    start_line: int
    end_line: int
    signature: str
    has_body: bool
    is_test: bool

    @property
    def owner(self) -> str:
        """Simple name of what encloses it; empty at the top of a file."""
        return self.qualified_name[: -len(self.name)].rstrip(".").rpartition(".")[2]

    @property
    def is_type(self) -> bool:
        return self.kind in TYPES

    @property
    def is_visible(self) -> bool:
        """Whether its name alone is known in all of its file."""
        return self.family not in _INNER or self.qualified_name == self.name


NumbersByName = dict[str, list[int]]


class SymbolTable:
    """Definitions of one source; all lookups give the number of a unit, -1 for none.

    ``packages`` are those that Java and Go files say they are of, by path.
    """

    def __init__(self, units: pl.DataFrame, packages: dict[str, str]) -> None:
        self.units: list[GraphUnit] = []
        self.paths: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.families: dict[str, str] = {}
        self._in_file: dict[str, NumbersByName] = {}
        self._in_package: dict[str, NumbersByName] = {}
        self._members: dict[tuple[str, str], NumbersByName] = {}
        self._methods: dict[str, NumbersByName] = {}
        self._unit_starts: dict[str, tuple[list[int], list[int]]] = {}
        self.parents: list[int] = []
        self._packages = packages
        definitions = units.filter(pl.col("kind").is_in([*FUNCTIONS, *TYPES]))
        definitions = definitions.sort("path", "start_byte", "end_byte", descending=[False, False, True])
        definitions = definitions.select(*GRAPH_UNIT_COLUMNS, in_test_file().alias("is_test"))
        for row in definitions.iter_rows(named=True):
            self._add(row)
        self._nest()

    def _add(self, row: dict[str, object]) -> None:
        path, language = str(row["path"]), str(row["language"])
        family = _FAMILY.get(language, language)
        unit = GraphUnit(
            path, family, str(row["kind"]), str(row["name"]), str(row["qualified_name"]),
            int(str(row["start_byte"])), int(str(row["end_byte"])),
            int(str(row["start_line"])), int(str(row["end_line"])),
            str(row["signature"]), row["body_start_byte"] is not None, bool(row["is_test"]),
        )  # fmt: skip
        number = len(self.units)
        self.units.append(unit)
        self.numbers[str(row["unit_id"])] = number
        self.families[path] = family
        if unit.kind != "method" and unit.is_visible:
            self._in_file.setdefault(path, {}).setdefault(unit.name, []).append(number)
            package = self.package(path)
            if package:
                self._in_package.setdefault(package, {}).setdefault(unit.name, []).append(number)
        else:
            self._methods.setdefault(family, {}).setdefault(unit.name, []).append(number)
        if unit.owner:
            members = self._members.setdefault((family, unit.owner), {})
            members.setdefault(unit.name, []).append(number)

    def _nest(self) -> None:
        self.parents = [-1] * len(self.units)
        by_file: dict[str, list[int]] = {}
        for number, unit in enumerate(self.units):
            by_file.setdefault(unit.path, []).append(number)
        for path, numbers in by_file.items():
            stack: list[int] = []
            for number in numbers:
                unit = self.units[number]
                while stack and self.units[stack[-1]].end < unit.end:
                    stack.pop()
                while stack and self.units[stack[-1]].end <= unit.start:
                    stack.pop()
                self.parents[number] = stack[-1] if stack else -1
                stack.append(number)
            starts = [self.units[number].start for number in numbers]
            self._unit_starts[path] = (starts, numbers)

    def package(self, path: str) -> str:
        """What files share whose names need no import: a Go folder, a Java package; else empty."""
        if path.endswith(".go"):
            return f"go:{dirname(path)}"
        if path.endswith(".java"):
            return f"java:{self._packages.get(path, dirname(path))}"
        return ""

    def unit_at(self, path: str, byte: int) -> int:
        """The innermost unit around a byte of a file; -1 for none."""
        starts, numbers = self._unit_starts.get(path, ([], []))
        index = bisect_right(starts, byte) - 1
        number = numbers[index] if index >= 0 else -1
        while number >= 0 and self.units[number].end <= byte:
            number = self.parents[number]
        return number

    def enclosing_units(self, number: int) -> Iterator[int]:
        """A unit and its enclosing units, the innermost first."""
        while number >= 0:
            yield number
            number = self.parents[number]

    def in_file(self, path: str, name: str) -> int:
        return self._pick_definition(self._in_file.get(path, {}).get(name, ()), outermost=True)

    def nested(self, number: int, name: str) -> int:
        unit = self.units[number]
        members = self._members.get((unit.family, unit.name), {}).get(name, ())
        return self._pick_definition([inner for inner in members if self.parents[inner] == number])

    def in_package(self, package: str, name: str) -> int:
        candidates = self._in_package.get(package, {}).get(name, ())
        return self._pick_definition(candidates, outermost=True)

    def member(self, number: int, name: str) -> int:
        """The method or inner type of a type, by the name of the type; -1 for none."""
        owner = self.units[number]
        candidates = self._members.get((owner.family, owner.name), {}).get(name, ())
        same_file = [candidate for candidate in candidates if self.units[candidate].path == owner.path]
        if same_file:
            return self._pick_definition(same_file)
        package = self.package(owner.path)
        if owner.family == "rust":  # an impl may be in another file
            paths = {self.units[candidate].path for candidate in candidates}
            return self._pick_definition(candidates) if len(paths) == 1 else -1
        same_package = [
            candidate for candidate in candidates if package and self.package(self.units[candidate].path) == package
        ]
        return self._pick_definition(same_package)

    def only_method(self, family: str, name: str) -> int:
        """The only method of a name in a language outside of tests; -1 if not unique."""
        candidates = self._methods.get(family, {}).get(name, ())
        candidates = [candidate for candidate in candidates if not self.units[candidate].is_test]
        owners = {(self.units[candidate].path, self.units[candidate].qualified_name) for candidate in candidates}
        return self._pick_definition(candidates) if len(owners) == 1 else -1

    def _pick_definition(self, numbers: Iterable[int], *, outermost: bool = False) -> int:
        """Of several definitions of one name the one in effect; -1 for none."""
        units = self.units
        definitions = list(numbers)
        if outermost and len(definitions) > 1:
            fewest_dots = min(units[number].qualified_name.count(".") for number in definitions)
            definitions = [number for number in definitions if units[number].qualified_name.count(".") == fewest_dots]
        if not definitions:
            return -1
        if units[definitions[0]].family in _LAST:
            return definitions[-1]
        return next((number for number in definitions if units[number].has_body), definitions[0])
