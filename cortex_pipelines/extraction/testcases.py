"""Test cases, by the conventions of each language's usual test runners."""

import polars as pl

from cortex_pipelines.schemas.code_units import TEST_CASES

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
_MARKS = {
    "java": r"@(Test|ParameterizedTest|RepeatedTest|TestFactory|Property)\b",
    "rust": r"#\[\s*(\w+\s*::\s*)*(test|test_case|rstest|quickcheck|proptest)\b",
}
# Marks stand before the function: no need to look through its body.
_HEAD_CHARS = 400


def in_test_file() -> pl.Expr:
    """Whether a unit's path is a test file in its language."""
    matches = pl.lit(False)
    for language, form in _FILES.items():
        matches = matches | ((pl.col("language") == language) & pl.col("path").str.contains(form))
    return matches


def cases_in(definitions: pl.DataFrame) -> pl.DataFrame:
    """The test cases among definitions.

    Args:
        definitions: Columns of ``TEST_CASES`` and ``kind``, which may be ``test``.

    Returns:
        Rows of ``TEST_CASES``.
    """
    name, language = pl.col("name"), pl.col("language")
    named = pl.lit(False)
    for name_language, form in _NAMES.items():
        named = named | ((language == name_language) & name.str.contains(form))
    marked = pl.lit(False)
    for name_language, form in _MARKS.items():
        head = pl.col("code").str.head(_HEAD_CHARS)
        marked = marked | ((language == name_language) & head.str.contains(form))
    function = pl.col("kind").is_in(_FUNCTIONS) & (named & in_test_file() | marked)
    call = (pl.col("kind") == "test") & in_test_file()
    return definitions.filter(function | call).select(list(TEST_CASES.schema))
