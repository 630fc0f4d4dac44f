"""Where the names of a source are defined: units by file, package and type, and what is around."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from posixpath import dirname
from typing import NamedTuple

import polars as pl

from cortex_pipelines.extraction.test_cases import in_test_code
from cortex_pipelines.syntax.grammars import PARSED

FUNCTIONS = ("function", "method")
TYPES = ("class", "struct", "trait", "interface", "enum")
GRAPH_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "language", "kind", "name", "qualified_name"),
    *("start_byte", "end_byte", "start_line", "end_line", "signature", "body_start_byte", "context"),
)  # columns of ``CODE_UNITS`` that a graph is made from

_FAMILY = {"typescript": "javascript"}
_LAST = {"python"}  # languages where the last of several definitions holds (the others are overloads)

_BRACKETED = re.compile(r"<[^<>]*>|\([^()]*\)|\[[^\[\]]*\]")
_OF_SEVERAL_WORDS = re.compile(r"\b(func)\b.*|(?:<-\s*)?\bchan\b(?:\s*<-)?\s*")  # types of Go
_TYPE_PARAMETER = re.compile(r"[A-Z]\d?")  # of an interface of Go
_OF_ITS_TYPE_ALONE = re.compile(r"\b(?:static|private)\b")  # methods of Java that none overrides
_INNER = {"python", "javascript"}  # languages where what is inside of another definition is not known outside of it

_SEVERAL_WORDS = re.compile(r"[^\W_]_+[^\W_]|[a-z][A-Z]")
_BUILT_IN = frozenset(
    re.findall(
        r"\w+",
        """
        add_argument addEventListener and_then appendChild as_bytes as_mut as_ref as_str
        charAt charCodeAt codePointAt createElement dispatchEvent endsWith fetch_add
        flat_map for_each forEach format_help from_str getAttribute getElementById getItem
        getReader getTime getWriter hasOwnProperty indexOf
        into_inner into_iter is_alive is_dir is_empty is_err is_file is_none is_ok is_set
        is_some isArray lastIndexOf localeCompare map_err ok_or ok_or_else parse_args
        pipeThrough preventDefault push_str querySelector querySelectorAll read_bytes read_line
        read_text read_to_end read_to_string removeChild removeEventListener removeItem
        replaceAll setAttribute setItem setTimeout sort_by sort_by_key split_at starts_with startsWith
        stopPropagation to_lowercase to_owned to_string to_uppercase to_vec toFixed
        toISOString toJSON toLocaleString toLowerCase toString toUpperCase trimEnd
        trimStart try_into unwrap_err unwrap_or unwrap_or_default unwrap_or_else valueOf
        with_capacity write_all write_bytes write_str write_text
        """,
    )
)  # methods of types that the languages themselves have


def is_telling(method: str) -> bool:
    """Whether a method's name is seldom one of what is not of the source."""
    return bool(_SEVERAL_WORDS.search(method)) and method not in _BUILT_IN


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
    is_test: bool  # in a test file, or a module of tests
    is_case: bool  # a test case

    @property
    def owner(self) -> str:
        """Simple name of what encloses it; empty at the top of a file."""
        return self.qualified_name[: -len(self.name)].rstrip(".").rpartition(".")[2]

    @property
    def is_type(self) -> bool:
        return self.kind in TYPES


NumbersByName = dict[str, list[int]]


class GoSignature(NamedTuple):
    """Types of the parameters of a function of Go, without packages, pointers and what is in brackets, and whether it
    has a result: ``(r, w io.Reader) error`` gives ``Reader``, ``Reader`` and True.
    """

    types: list[str]
    gives: bool

    def satisfies(self, required: "GoSignature") -> bool:
        """Whether a method is the one that an interface requires; what a type parameter stands for fits it."""
        if self.gives != required.gives or len(self.types) != len(required.types):
            return False
        pairs = zip(self.types, required.types, strict=True)
        return all(actual == expected or _TYPE_PARAMETER.fullmatch(expected) for actual, expected in pairs)


class SymbolTable:
    """Definitions of one source; all lookups give the number of a unit, -1 for none.

    ``languages`` are those of all files, ``packages`` what Java and Go files say they are of; by path. ``generated``
    are the paths of generated files.
    """

    def __init__(
        self,
        units: pl.DataFrame,
        tests: pl.DataFrame,
        languages: Mapping[str, str | None],
        packages: Mapping[str, str],
        generated: frozenset[str],
    ) -> None:
        self.families = {p: _FAMILY.get(name, name) for p, name in languages.items() if name and name in PARSED}
        self.parents: list[int] = []
        self.secondary: set[int] = set()  # stubs of overloads and setters: another definition stands for the name
        self.overloads: dict[tuple[str, str], list[int]] = {}  # definitions of a qualified name in a file
        self._in_file: dict[str, NumbersByName] = {}
        self._in_package: dict[str, NumbersByName] = {}
        self._members: dict[tuple[str, str], NumbersByName] = {}
        self._methods: dict[str, NumbersByName] = {}
        self._unit_starts: dict[str, tuple[list[int], list[int]]] = {}
        self._packages, self._generated = packages, generated
        definitions = units.filter(pl.col("kind").is_in([*FUNCTIONS, *TYPES]))
        calls = tests.join(units, on="unit_id", how="anti").with_columns(  # it("…", …) is not a unit
            kind=pl.lit("test"), qualified_name="name", signature=pl.lit(""), context=pl.lit(""),
            body_start_byte="start_byte",
        )  # fmt: skip
        columns = [pl.col(name) for name in GRAPH_UNIT_COLUMNS]
        is_case = pl.col("unit_id").is_in(tests["unit_id"].to_list())
        rows = pl.concat([definitions.select(columns), calls.select(columns)], how="vertical_relaxed")
        rows = rows.sort("path", "start_byte", "end_byte", descending=[False, False, True]).select(
            "path", pl.col("language").replace(_FAMILY), "kind", "name", "qualified_name", "start_byte", "end_byte",
            "start_line", "end_line", "signature", pl.col("body_start_byte").is_not_null(),
            (in_test_code() | is_case).alias("is_test"), is_case.alias("is_case"),
        )  # fmt: skip
        self.units = [GraphUnit(*row) for row in rows.iter_rows()]
        for number in range(len(self.units)):
            self._index(number)
        self._nest()

    def _index(self, number: int) -> None:
        unit = self.units[number]
        if unit.kind == "test":
            return
        self.overloads.setdefault((unit.path, unit.qualified_name), []).append(number)
        is_visible = unit.family not in _INNER or unit.qualified_name == unit.name  # its name alone, in all of its file
        if unit.kind != "method" and is_visible:
            self._in_file.setdefault(unit.path, {}).setdefault(unit.name, []).append(number)
            package = self.package(unit.path)
            if package:
                self._in_package.setdefault(package, {}).setdefault(unit.name, []).append(number)
        elif unit.kind == "method":  # what is inside of a function is nobody's member
            self._methods.setdefault(unit.family, {}).setdefault(unit.name, []).append(number)
        if unit.owner:
            members = self._members.setdefault((unit.family, unit.owner), {})
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

    @cached_property
    def java_packages(self) -> dict[str, str]:
        """Java packages by folder."""
        paths = [path for path in self.families if path.endswith(".java")]
        return {dirname(path): self.package(path) for path in sorted(paths, reverse=True)}

    def unit_at(self, path: str, byte: int) -> int:
        """The innermost unit around a byte of a file; -1 for none."""
        starts, numbers = self._unit_starts.get(path, ([], []))
        index = bisect_right(starts, byte) - 1
        number = numbers[index] if index >= 0 else -1
        while number >= 0 and self.units[number].end <= byte:
            number = self.parents[number]
        return number

    def unit_at_line(self, path: str, line: int) -> int:
        """The innermost unit around the start of a line of a file; -1 for none."""
        numbers = self._unit_starts.get(path, ([], []))[1]
        around = (n for n in reversed(numbers) if self.units[n].start_line < line <= self.units[n].end_line)
        return next(around, -1)

    def enclosing_units(self, number: int) -> Iterator[int]:
        """A unit and its enclosing units, the innermost first."""
        while number >= 0:
            yield number
            number = self.parents[number]

    def enclosing_type(self, number: int) -> int:
        """The type that a unit is or belongs to; -1 for none."""
        units = self.units
        for unit_number in self.enclosing_units(number):
            if units[unit_number].is_type:
                return unit_number
            if units[unit_number].owner and units[unit_number].kind == "method":
                owner_type = self.in_file(units[unit_number].path, units[unit_number].owner)
                package = self.package(units[unit_number].path)
                if owner_type < 0 and package:
                    owner_type = self.in_package(package, units[unit_number].owner)
                if owner_type >= 0 and units[owner_type].is_type:
                    return owner_type
        return -1

    def enclosing_object(self, number: int) -> int:
        """A method, or function, of the object of JavaScript whose ``this`` a unit sees; -1 for none."""
        for outer in self.enclosing_units(number):
            unit = self.units[outer]
            if unit.family != "javascript":
                return -1
            if unit.owner and self.parents[outer] < 0:
                return outer
            if unit.kind == "function" and (method := self.method_of(unit.path, unit.name)) >= 0:
                return method  # of a constructor with a prototype
        return -1

    def is_in_inline_module(self, number: int) -> bool:
        """Whether a unit of Rust is in a module that has no file of its own."""
        outermost = [self.units[outer].qualified_name for outer in self.enclosing_units(number)][-1:]
        return any("." in name and name.partition(".")[0].islower() for name in outermost)

    def in_file(self, path: str, name: str) -> int:
        """The definition of a name in a file, as the code of other files sees it."""
        return self._pick_definition(self._in_file.get(path, {}).get(name, ()), outermost=True)

    def in_scope(self, path: str, name: str, unit: int) -> int:
        """The definition of a name in a file, as the code of a unit of the file (-1: of none) sees it."""
        numbers = self._in_file.get(path, {}).get(name, [])
        family = self.families.get(path)
        if family == "javascript":
            numbers = self._in_nearest_function(numbers, unit)
        elif family == "rust" and unit >= 0:
            numbers = self._in_nearest_module(numbers, unit)
        return self._pick_definition(numbers, outermost=True)

    def _in_nearest_function(self, numbers: list[int], unit: int) -> list[int]:
        scopes = [*self.enclosing_units(unit), -1]
        within = ([number for number in numbers if self.parents[number] == scope] for scope in scopes)
        return next(filter(None, within), [])

    def _in_nearest_module(self, numbers: list[int], unit: int) -> list[int]:
        if not self.units[unit].is_test:
            numbers = [number for number in numbers if not self.units[number].is_test]
        if len(numbers) < 2:
            return numbers
        modules = [self.units[number].qualified_name.removesuffix(self.units[number].name) for number in numbers]
        enclosing = [module for module in modules if self.units[unit].qualified_name.startswith(module)]
        nearest = max(enclosing, key=len, default="")
        return [number for number, module in zip(numbers, modules, strict=True) if module == nearest]

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

    def method_of(self, path: str, name: str) -> int:
        """A method, or function, of something named that is not a unit; -1 without one.

        It is an object of a JavaScript file, a type of a Go package that is a list, map, function or number, or a
        module inside of a file of Rust.
        """
        is_module = self.families.get(path) == "rust" and name.islower()
        family = "go" if self.package(path).startswith("go:") else "rust" if is_module else "javascript"
        methods = (n for numbers in self._members.get((family, name), {}).values() for n in numbers)
        top = (number for number in methods if self.units[number].qualified_name == f"{name}.{self.units[number].name}")
        return next((number for number in top if self._are_together(self.units[number].path, path)), -1)

    def sibling(self, number: int, name: str) -> int:
        """The method of a name beside another of the same owner."""
        unit = self.units[number]
        methods = self._members.get((unit.family, unit.owner), {}).get(name, ())
        return next((number for number in methods if self._are_together(self.units[number].path, unit.path)), -1)

    def _are_together(self, path: str, other: str) -> bool:
        return path == other or self.package(path) == self.package(other) != ""

    def member_names(self, number: int) -> list[str]:
        owner = self.units[number]
        names = self._members.get((owner.family, owner.name), {})
        return sorted(name for name in names if self.member(number, name) >= 0)

    def overload(self, number: int, arguments: int) -> list[int]:
        """Definitions of a unit's name in its file that a call may mean: of Java, those that take its arguments."""
        unit = self.units[number]
        if unit.family != "java" or arguments < 0:
            return [number]
        others = self.overloads[unit.path, unit.qualified_name]
        fitting = []
        for other in others:
            parameters = self.parameters(other)
            is_open = bool(parameters) and "..." in parameters[-1]
            if arguments == len(parameters) or (is_open and arguments >= len(parameters) - 1):
                fitting.append(other)
        return fitting or [number]

    def overrides(self, method: int, base: int) -> list[tuple[int, int]]:
        """Overloads of a method, each with the overload of the base's method that it overrides.

        In Java both take parameters of the same types; or as many, where only one method does, because a type that
        a generic base leaves open has another name.
        """
        if self.units[method].family != "java":
            return [(method, base)]
        pairs = []
        overloads, types_in_base = self._types_by_overload(method), self._types_by_overload(base)
        for number, types in overloads.items():
            as_many = [each for each, base_types in types_in_base.items() if len(base_types) == len(types)]
            equal = [each for each in as_many if types_in_base[each] == types]
            pairs += [(number, each) for each in equal or (as_many if len(as_many) == 1 else [])]
        return pairs

    def _types_by_overload(self, method: int) -> dict[int, list[list[str]]]:
        """Types of the parameters of each overload that can be overridden."""
        unit = self.units[method]
        return {
            number: [parameter.split()[-2:-1] for parameter in self.parameters(number)]
            for number in self.overloads[unit.path, unit.qualified_name]
            if not _OF_ITS_TYPE_ALONE.search(self.units[number].signature)
        }

    def parameters(self, number: int) -> list[str]:
        """The parameters of a function of Java or Go, without what is in brackets."""
        return [part for part in self._from_parameters(number).partition(")")[0].split(",") if part.strip()]

    def go_signature(self, number: int) -> GoSignature:
        parameters = [_OF_SEVERAL_WORDS.sub(r"\1", part).split() for part in self.parameters(number)]
        are_named = any(len(words) > 1 for words in parameters)
        types, following = list[str](), ""
        for words in reversed(parameters):
            if len(words) > 1 or not are_named:
                following = words[-1].lstrip("*.").rpartition(".")[2].replace("interface{}", "any")
            types.append(following)
        return GoSignature(types[::-1], bool(self._from_parameters(number).partition(")")[2]))

    def _from_parameters(self, number: int) -> str:
        unit = self.units[number]
        start = re.search(rf"\b{re.escape(unit.name)}\s*\(", unit.signature)
        text = unit.signature[start.end() :] if start else ""
        while (shorter := _BRACKETED.sub("", text)) != text:
            text = shorter
        return text

    def only_method(self, family: str, name: str) -> int:
        """The only method of a name in a language outside of tests and generated code; -1 if not unique."""
        units, methods = self.units, self._methods.get(family, {}).get(name, ())
        candidates = [n for n in methods if not (units[n].is_test or units[n].path in self._generated)]
        owners = {(units[candidate].path, units[candidate].qualified_name) for candidate in candidates}
        return self._pick_definition(candidates) if len(owners) == 1 else -1

    def _pick_definition(self, numbers: Iterable[int], *, outermost: bool = False) -> int:
        """Of several definitions of one name the one in effect; -1 for none."""
        units = self.units
        definitions = list(numbers)
        definitions = [number for number in definitions if number not in self.secondary] or definitions
        if outermost and len(definitions) > 1:
            fewest_dots = min(units[number].qualified_name.count(".") for number in definitions)
            definitions = [number for number in definitions if units[number].qualified_name.count(".") == fewest_dots]
        if not definitions:
            return -1
        if units[definitions[0]].family in _LAST:
            return definitions[-1]
        return next((number for number in definitions if units[number].has_body), definitions[0])
