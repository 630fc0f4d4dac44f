"""Pair test cases with the units they exercise, by imports and calls.

A test is paired with a unit if it calls the unit's name, its file reaches the unit's file (imports
it, lies in its package, or is named after it), and no other unit within reach has that name. Where
several methods do, the test has to name the method's type too. So a pair is missed more easily
than a wrong one is made.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath

import polars as pl

from cortex_pipelines.schemas.extraction import TEST_CASES

_FUNCTIONS = ("function", "method")
# Python: pytest and unittest. Go: go test. JavaScript: folders and endings that jest, mocha,
# vitest and node's runner look for. Java: surefire's and failsafe's patterns.
_FILES = {
    "python": r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.pyi?$|(^|/)tests?/",
    "javascript": r"[._-](test|spec|e2e)\.[cm]?[jt]sx?$|(^|/)(__tests__|tests?|specs?)/",
    "typescript": r"[._-](test|spec|e2e)\.[cm]?[jt]sx?$|(^|/)(__tests__|tests?|specs?)/",
    "java": (
        r"(^|/)src/(test|it|integrationTest)/"
        r"|(^|/)(Test[A-Z][^/]*|[^/]*(Tests?|IT|TestCase))\.java$"
    ),
    "go": r"_test\.go$",
    "rust": r"(^|/)(tests?|benches)(/|\.rs$)|_tests?\.rs$",
}
_NAMES = {"python": r"^test", "go": r"^(Test|Example|Fuzz)([^a-z]|$)", "java": r"^test[A-Z_0-9]"}
# An annotation or attribute makes it a test, in whatever file it is.
_MARKERS = {
    "java": r"@(Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b",
    "rust": r"#\[\s*(\w+\s*::\s*)*(test|test_case|rstest|quickcheck|proptest)\b",
}
# Markers precede the function, so its body is not searched.
_HEAD_CHARS = 400


def in_test_file() -> pl.Expr:
    """Whether a unit's path is a test file in its language."""
    matches = pl.lit(False)
    for language, pattern in _FILES.items():
        matches = matches | ((pl.col("language") == language) & pl.col("path").str.contains(pattern))
    return matches


def select_test_cases(definitions: pl.DataFrame) -> pl.DataFrame:
    """The test cases among definitions, whose ``kind`` may be ``test``."""
    name, language = pl.col("name"), pl.col("language")
    has_test_name = pl.lit(False)
    for name_language, pattern in _NAMES.items():
        has_test_name = has_test_name | ((language == name_language) & name.str.contains(pattern))
    has_marker = pl.lit(False)
    for name_language, pattern in _MARKERS.items():
        head = pl.col("code").str.head(_HEAD_CHARS)
        has_marker = has_marker | ((language == name_language) & head.str.contains(pattern))
    function = pl.col("kind").is_in(_FUNCTIONS) & (has_test_name & in_test_file() | has_marker)
    call = (pl.col("kind") == "test") & in_test_file()
    return definitions.filter(function | call).select(list(TEST_CASES.schema))


_TESTED_KINDS = ("function", "method", "class", "struct", "enum")
_FAMILY = {"typescript": "javascript"}
_REQUIRED = re.compile(r"(?:require|import)\(\s*['\"]([^'\"]+)['\"]")
_ENDING = re.compile(r"(\.d)?\.\w+$")
# Folders that a module's name does not show.
_ROOTS = re.compile(r"^(.*/)?(src/(main|test)/java|src/(main|test)|src|lib)/")
# Most trailing parts of a path that are indexed as a module name.
_MAX_PARTS = 6
MAX_TESTS = 5
"""Most tests paired with a unit."""


def pair_tests(units: pl.DataFrame, tests: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """The tests of each tested unit: those named after it and the shortest first, at most ``MAX_TESTS``."""
    reachable = _reachable_files(units, tests, files)
    targets = _targets(
        units.filter(pl.col("name").is_in(tests["calls"].explode().drop_nulls().unique().sort().to_list()))
    )
    candidates: dict[str, list[tuple[bool, int, str]]] = defaultdict(list)
    columns = ("unit_id", "source", "path", "name", "calls", "code")
    for case, source, path, name, calls, code in tests.select(columns).iter_rows():
        reachable_files = reachable.get((source, path), [])
        for unit, name_called in _called_units(reachable_files, calls, targets, source):
            if unit != case:
                differs_in_name = _normalised(name_called) not in _normalised(name)
                candidates[unit].append((differs_in_name, len(code), case))
    ids = sorted(candidates)
    closest_tests = [[case for *_, case in sorted(candidates[unit])[:MAX_TESTS]] for unit in ids]
    schema = pl.Schema({"unit_id": pl.String(), "tests": pl.List(pl.String)})
    return pl.DataFrame({"unit_id": ids, "tests": closest_tests}, schema=schema)


_Targets = dict[tuple[str, str], dict[str, list[tuple[str, str]]]]


def _targets(units: pl.DataFrame) -> _Targets:
    """Testable units by source and path, then by simple name: id and enclosing type."""
    testable = units.filter(pl.col("kind").is_in(_TESTED_KINDS) & _is_tested())
    targets: _Targets = {}
    columns = ("source", "path", "name", "unit_id", "qualified_name", "kind")
    for source, path, name, unit, qualified, kind in testable.select(columns).iter_rows():
        parts = qualified.split(".")
        owner = parts[-2] if kind == "method" and len(parts) > 1 else ""
        targets.setdefault((source, path), {}).setdefault(name, []).append((unit, owner))
    return targets


def _is_tested() -> pl.Expr:
    # Rust's unit tests are in a module of the file that they test
    in_test_module = (pl.col("language") == "rust") & pl.col("context").str.contains(r"\bmod tests?\b")
    return ~in_test_file() & ~in_test_module


def _called_units(paths: list[str], calls: list[str], targets: _Targets, source: str) -> Iterator[tuple[str, str]]:
    called = set(calls)
    for name in calls:
        matches = [target for path in paths for target in targets.get((source, path), {}).get(name, ())]
        if len(matches) > 1:
            matches = [(unit, owner) for unit, owner in matches if owner and owner in called]
        if len(matches) == 1:
            yield matches[0][0], name


def _reachable_files(units: pl.DataFrame, tests: pl.DataFrame, files: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    reachable: dict[tuple[str, str], set[str]] = defaultdict(set)
    test_files = tests.select("source", "path", "language").unique(maintain_order=True)
    imports = _imports(units, test_files)
    for (source, language), index in _indices(units).items():
        for test_source, path, test_language in test_files.iter_rows():
            if test_source == source and _FAMILY.get(test_language, test_language) == language:
                names = imports.get((source, path), [])
                reachable[source, path] |= set(_candidate_files(path, language, names, index))
    files_with_tests = files.filter(pl.col("tested_paths").list.len() > 0)
    for source, path, tested in files_with_tests.select("source", "path", "tested_paths").iter_rows():
        reachable[source, path] |= set(tested)
    return {key: sorted(paths) for key, paths in reachable.items()}


@dataclass(slots=True)
class _Index:
    paths: set[str] = field(default_factory=set)
    folders: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    packages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    modules: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def _indices(units: pl.DataFrame) -> dict[tuple[str, str], _Index]:
    indices: dict[tuple[str, str], _Index] = defaultdict(_Index)
    files = units.select("source", "path", "language").unique().sort("source", "path", "language")
    for source, path, language in files.iter_rows():
        index = indices[source, _FAMILY.get(language, language)]
        index.paths.add(path)
        index.folders[dirname(path)].append(path)
        index.packages[_package(dirname(path))].append(path)
        for module in _module_names(path):
            index.modules[module].append(path)
    return indices


def _package(folder: str) -> str:
    return _ROOTS.sub("", folder + "/").rstrip("/")


def _module_names(path: str) -> list[str]:
    stem = _ENDING.sub("", path)
    for end in ("/__init__", "/index", "/mod"):
        stem = stem.removesuffix(end)
    parts = stem.split("/")
    names = {stem, _ROOTS.sub("", stem)}
    names |= {"/".join(parts[-length:]) for length in range(2, min(len(parts), _MAX_PARTS) + 1)}
    return sorted(names)


def _imports(units: pl.DataFrame, test_files: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    test_file_units = units.join(test_files, on=["source", "path"], how="semi")
    imported_names: dict[tuple[str, str], list[str]] = defaultdict(list)
    imports = test_file_units.filter(pl.col("kind") == "import").sort("path", "start_byte")
    for source, path, name, code in imports.select("source", "path", "name", "code").iter_rows():
        imported_names[source, path] += _imported(name, code)
    units_with_require = test_file_units.filter(pl.col("calls").list.contains("require") & (pl.col("kind") != "import"))
    for source, path, code in units_with_require.select("source", "path", "code").iter_rows():
        imported_names[source, path] += _REQUIRED.findall(code)
    return imported_names


def _imported(name: str, code: str) -> list[str]:
    """Possible meanings of an import: in ``from a import b``, module ``a`` or ``b`` in it."""
    if not code.startswith("from"):
        return [name]
    imported = code.partition("import")[2].replace("(", " ").replace(")", " ").split(",")
    words = [part.split()[0] for part in imported if part.split()]
    return [name, *(f"{name}.{word}".replace("..", ".") for word in words if word.isidentifier())]


def _candidate_files(path: str, language: str, names: Iterable[str], index: _Index) -> Iterator[str]:
    folder = dirname(path)
    if language == "go":
        yield from index.folders.get(folder, ())
    elif language == "java":
        package = _package(folder)
        for name in names:
            yield from index.modules.get(name.replace(".", "/"), ())
        yield from index.packages.get(package, ())
    elif language == "rust":
        yield path
        if "/tests/" in f"/{path}":
            root = f"/{path}".partition("/tests/")[0].strip("/")
            yield from (candidate for candidate in index.paths if candidate.startswith(join(root, "src/")))
    elif language == "python":
        for name in names:
            yield from _python_files(folder, name, index)
    else:
        for name in names:
            if name.startswith("."):
                stem = _ENDING.sub("", normpath(join(folder, name)))
                yield from index.modules.get(stem, ())
                yield from index.modules.get(normpath(join(folder, name)), ())


def _python_files(folder: str, name: str, index: _Index) -> Iterator[str]:
    """Files of a module; for a package all its files, as it may re-export them."""
    dots = len(name) - len(name.lstrip("."))
    parts = name.lstrip(".").replace(".", "/")
    module = normpath(join(folder, "../" * (dots - 1), parts)) if dots else parts
    modules = index.modules.get(module, ())
    yield from modules
    for path in modules:
        if path.endswith("/__init__.py"):
            yield from index.folders.get(dirname(path), ())


def _normalised(name: str) -> str:
    return name.replace("_", "").replace(" ", "").lower()
