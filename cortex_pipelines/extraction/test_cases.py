"""Which code is a test, and which of its functions and calls are test cases."""

import re

import polars as pl

from cortex_pipelines.schemas.extraction import TEST_CASES

# Any language: also `tests_e2e`, `integration-tests`, `test_helpers`, `testdata`, Gradle's `integrationTest` and
# `testFixtures`.
_SUPPORT = r"tests?[_-]?(common|data|fixtures?|harness|helpers?|support|utils?)"
_FOLDERS = rf"(^|/)(tests?|e2e|test-dts?|tests[_-][\w-]+|[\w-]+[_-]tests|{_SUPPORT}|src/(test[A-Z]\w+|\w+Test))/"
# Packages of Go that support tests are called after what they test: `httptest`, but not `latest` or `contest`.
_GO_SUPPORT = r"(^|/)[a-z0-9]*[b-mo-z0-9]test/(.*/)?[^/]+\.go$"
# Python: pytest and unittest. Go: go test. JavaScript: folders and endings that jest, mocha,
# vitest and node's runner look for. Java: surefire's and failsafe's patterns.
_FILES = {
    "python": r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.pyi?$|" + _FOLDERS,
    "javascript": r"[._-](test|spec|e2e)\.[cm]?[jt]sx?$|(^|/)(__tests__|specs?)/|" + _FOLDERS,
    "typescript": r"[._-](test|spec|e2e)(-d)?\.[cm]?[jt]sx?$|(^|/)(__tests__|specs?)/|" + _FOLDERS,
    "java": r"(^|/)src/(test([A-Z]\w+)?|it|\w+Test)/|(^|/)(Test[A-Z][^/]*|[^/]*(Tests?|IT|TestCase))\.java$",
    "go": rf"_test\.go$|(^|/){_SUPPORT}/|{_GO_SUPPORT}",
    "rust": r"(^|/)((tests?|benches)\.rs$|benches/)|_tests?\.rs$|" + _FOLDERS,
}
_NAMES = {"python": r"^test", "go": r"^(Test|Example|Fuzz)([^a-z]|$)", "java": r"^test[A-Z_0-9]"}
TEST_PATH = (
    r"(^|/)(testing|__tests__|specs?)/|(^|/)test_[^/]*$|(^|/)tests?\.(py|rs|[cm]?[jt]sx?)$"
    rf"|[._](test|spec)(s|-d)?\.\w+$|(^|/)conftest\.py$|Tests?\.java$|{_GO_SUPPORT}|" + _FOLDERS
)
"""Pattern of the paths of test code, support of tests included."""
_TEST = re.compile(TEST_PATH)
_RUST_TEST = re.compile(r"(^|\.)(\w+_)?tests?(_\w+)?\.|^test_\w+$")  # beside the code that they test
# An annotation or attribute makes it a test, in whatever file it is.
_MARKERS = {
    "java": r"@(Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b",
    "rust": r"#\[\s*(\w+\s*::\s*)*(test|test_case|rstest|quickcheck|proptest)\b",
}
# Markers precede the function, so its body is not searched.
_HEAD_CHARS = 400


def is_test(path: str, qualified_name: str = "") -> bool:
    """Whether a path is that of test code, in any language, or a name in a file of Rust that of a test."""
    return _TEST.search(path) is not None or (path.endswith(".rs") and _RUST_TEST.search(qualified_name) is not None)


def in_test_file() -> pl.Expr:
    """Whether a unit's path is a test file in its language."""
    matches = (
        (pl.col("language") == language) & pl.col("path").str.contains(pattern) for language, pattern in _FILES.items()
    )
    return pl.any_horizontal(*matches)


def in_test_code() -> pl.Expr:
    """Whether a unit is in a test file, or in a module of tests in the file that they test, as in Rust."""
    return in_test_file() | _beside_code()


def tests_beside_code(units: pl.DataFrame) -> frozenset[str]:
    """Ids of the units in modules of tests in the file that they test; ``units``: CODE_UNITS."""
    return frozenset(units.filter(_beside_code())["unit_id"])


def _beside_code() -> pl.Expr:
    return (pl.col("language") == "rust") & pl.col("context").str.contains(r"\bmod (\w+_)?tests?(_\w+)?\b")


def select_test_cases(definitions: pl.DataFrame) -> pl.DataFrame:
    """The test cases among definitions, whose ``kind`` may be ``test``."""
    head = pl.col("code").str.head(_HEAD_CHARS)
    has_test_name, has_marker = (
        pl.any_horizontal(*((pl.col("language") == name) & text.str.contains(rule) for name, rule in rules.items()))
        for text, rules in ((pl.col("name"), _NAMES), (head, _MARKERS))
    )
    function = pl.col("kind").is_in(("function", "method")) & (has_test_name & in_test_file() | has_marker)
    call = (pl.col("kind") == "test") & in_test_file()
    return definitions.filter(function | call).select(list(TEST_CASES.schema))
