"""A reformatted or commented copy is a copy; a changed program is not."""

import re

import polars as pl
import pytest

from cortex_pipelines.datasets.decontamination import contaminated, fingerprints_of
from cortex_pipelines.datasets.dedup.minhash import IncrementalClustering
from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.dedup.text_tokens import guessed_language, normal_number, normal_string, text_tokens
from cortex_pipelines.datasets.dedup.token_stream import token_stream
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import cluster_units
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "rust")
COPIES = {language: (CASES[language], CASES[f"{language} formatted"]) for language in LANGUAGES}


def squeezed(stream: str) -> list[str]:
    """The words and signs of a token stream, as its shingles are made of them."""
    return re.findall(r"\w+|[^\w\s]", stream)


@pytest.mark.parametrize("language", COPIES)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_reformatted_copy_has_the_same_token_stream(language: str, ends: str) -> None:
    code, formatted = COPIES[language]
    copy = formatted.replace("\n", ends)
    assert squeezed(token_stream(code, language)) == squeezed(token_stream(copy, language))


@pytest.mark.parametrize(
    ("language", "old", "new"),
    CASES["a_changed_program_has_another_one"],
)  # fmt: skip
def test_a_changed_program_has_another_one(language: str, old: str, new: str) -> None:
    code = COPIES[language][0]
    assert old in code
    changed = code.replace(old, new, 1)
    assert squeezed(token_stream(code, language)) != squeezed(token_stream(changed, language))


@pytest.mark.parametrize("language", COPIES)
def test_copies_are_read_alike_by_their_trees_and_signs(language: str) -> None:
    sign = ":\n" if language == "python" else "{"
    bodies = [code.partition(sign)[2] for code in COPIES[language]]
    first, second = (squeezed(token_stream(body, language)) for body in bodies)
    assert first == second
    code = COPIES[language][1]
    by_tree, by_signs = (set(squeezed(read(code, language))) for read in (token_stream, text_tokens))
    assert len(by_tree & by_signs) / len(by_tree | by_signs) > 0.9
    assert {guessed_language(code) for code in COPIES[language]} == {language}


@pytest.mark.parametrize(
    ("language", "first", "second"),
    CASES["code_that_does_not_parse_is_read_by_its_signs"],
)  # fmt: skip
def test_code_that_does_not_parse_is_read_by_its_signs(language: str, first: str, second: str) -> None:
    assert squeezed(token_stream(first, language)) == squeezed(token_stream(second, language))
    assert token_stream(first, language) == text_tokens(first, language)


@pytest.mark.parametrize(("literal", "language", "normal"), CASES["a_string_is_told_by_its_value"])
def test_a_string_is_told_by_its_value(literal: str, language: str, normal: str) -> None:
    assert normal_string(literal, language) == normal


@pytest.mark.parametrize(
    ("literal", "language", "normal"),
    [
        ("1_000", "python", "1000"),
        ("0XfF", "python", "255"),
        ("0b11", "rust", "3"),
        ("0o17", "python", "15"),
        ("017", "go", "15"),
        ("1.50", "javascript", "1.5"),
        ("1.0", "javascript", "1"),
        ("1.0", "python", "1.0"),
        (".5", "java", "0.5"),
        ("1E5", "python", "100000.0"),
        ("10l", "java", "10l"),
        ("1_0u8", "rust", "10u8"),
        ("0xffu8", "rust", "255u8"),
        ("10n", "javascript", "10n"),
        ("2J", "python", "2j"),
        ("0x1p-2", "go", "0x1p-2"),
        ("9" * 5000, "python", "9" * 5000),
    ],
)
def test_a_number_is_told_by_its_value(literal: str, language: str, normal: str) -> None:
    assert normal_number(literal, language) == normal


def test_prose_and_comments_are_no_code() -> None:
    assert guessed_language("Reads the user's file, and returns what is in it.") is None
    assert token_stream("# one thing", "python") != token_stream("# another", "python")


@pytest.mark.parametrize("has_language", [True, False])
@pytest.mark.parametrize("language", COPIES)
def test_copies_are_in_one_cluster_and_side(language: str, has_language: bool, settings: DatasetSettings) -> None:
    codes = COPIES[language]
    units = pl.DataFrame({"unit_id": ["0", "1"], "code": codes, "body": codes})
    rows = pl.DataFrame({"example_id": ["0", "1"], "completion": codes})
    if has_language:
        column = pl.lit(language).alias("language")
        units, rows = units.with_columns(column), rows.with_columns(column)
    clusters = cluster_units(units, IncrementalClustering(None, "shop", settings))["cluster"]
    assert clusters.to_list() == ["0", "0"]
    pairs = near_duplicate_pairs(rows[:1], rows[1:], "completion", settings)
    assert pairs.rows() == [("0", "1", 1.0)]


@pytest.mark.parametrize("language", COPIES)
def test_a_reformatted_copy_of_a_benchmark_is_one(language: str, settings: DatasetSettings) -> None:
    code, formatted = COPIES[language]
    benchmarks = [fingerprints_of([code, token_stream(code, language)], 10, settings.contamination_share)]
    assert contaminated([formatted], benchmarks, [language]).all()


@pytest.mark.parametrize("quotes", ['"""', "'''", '"', "'", "`", 'r#"'])
@pytest.mark.parametrize("language", LANGUAGES)
def test_quotes_that_are_never_closed_are_read_to_the_end(language: str, quotes: str) -> None:
    text = f"value = {quotes}" + "\\n" * 2000  # two ways to read a backslash would be 2 ** 2000
    assert "value" in text_tokens(text, language)
