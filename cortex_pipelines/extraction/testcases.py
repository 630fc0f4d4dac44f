"""Test cases, by the conventions of each language's usual test runners."""

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
