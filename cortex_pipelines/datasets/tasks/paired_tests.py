"""Test candidates: a unit of code, and the test case that exercises it most closely.

The completion is the test case, so its split decides: functions of test files are units too, and other data sets train
on those of train. The unit is in the prompt, so it must be in train or in the split of its test.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finish_tables
from cortex_pipelines.datasets.assemble.selection import is_empty
from cortex_pipelines.datasets.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import split_by_hash
from cortex_pipelines.datasets.splitting.unit_splits import cluster_splits
from cortex_pipelines.datasets.tasks.completion import FUNCTIONS
from cortex_pipelines.datasets.unit_text import FileKey, fold_whitespace, prompt_about_unit
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets import TEST_REQUEST, TESTS_DATASET

NAME = "tests_dataset"
_EDGE_END = ("to_path", "to_kind", "to_start_line", "to_end_line")
EDGE_COLUMNS = (*("source", "relation", "from_path", "from_start_line", "from_end_line"), "to_name", *_EDGE_END)
"""Columns read from CODE_GRAPH."""
FILE_COLUMNS = ("source", "path", "blob", "revision", "licence", "trainable", "generated")
"""Columns read from REPOSITORY_FILES."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_MARKS = ("test", "tests", "Test", "Tests", "spec")  # of the name of a test file
_TYPES = ("class", "struct", "trait", "interface", "enum")
_REQUEST = (
    r"(?i)client\s*\.\s*(?:get|post|put|patch|delete|request)\(|\bmvc\s*\.\s*perform\(|\brequest\(app\)"
    r"|\bhttp(?:test)?\.NewRequest|\bpage\.goto\("
)
"""What sends a request in a test, of which it is a test, whatever it calls besides."""
_NONE = "tests_none"
_S = pl.String
_NOTHING = (
    "There is no example: no test case was paired with a function, method or class of this project "
    "(relation tests of code_graph)."
)
_MEANING = (
    "The test case that is closest to each unit, in the split of the test; the unit that is shown is in train or in "
    "the same split."
)
_PAIRED = pl.Schema(dict.fromkeys(("unit_id", "test_id", "prompt", "completion", "not_made"), _S))
_UNIT_FIELDS = ("unit_id", "language", "kind", "category", "cyclomatic", "weight")
_CASE_FIELDS = ("source", "path", "blob", "revision", "licence", "start_byte", "end_byte")


@dataclass(frozen=True)
class TestCase:
    __test__ = False  # for pytest

    test_id: str
    path: str
    code: str
    split: str
    exclusion: str | None  # reason for excluding it, or None


def paired_test_tables(
    project: ProjectUnits,
    cases: pl.DataFrame,
    edges: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the data set of tests; without paired tests, the manifest says so."""
    cases = _with_names_of_groups(cases, project.texts)
    clusters = project.splits.select("unit_id", "cluster", "cluster_size", "left_out")
    located = _left_join(_left_join(cases.sort("unit_id"), files, "source", "path"), clusters, "unit_id")
    located = _left_join(located, cluster_splits(project.splits), "unit_id")
    tested_units = _closest_tests(project.units, cases, edges)
    # a case that is not a unit, such as a call of `it`, stands in no other data set, and is about one unit at most
    of_tested = tested_units.select(pl.col("tests").alias("unit_id"), of_tested="split").explode("unit_id")
    located = _left_join(located, of_tested.drop_nulls().unique("unit_id", keep="first"), "unit_id")
    by_hash = pl.Series("by_hash", [split_by_hash(test_id, settings) for test_id in located["unit_id"]], dtype=_S)
    reason = pl.lit("test case: ") + pl.coalesce(
        pl.lit("as what it tests, ") + pl.col("of_tested"), by_hash + pl.lit(" by hash")
    )
    located_cases = located.with_columns(
        pl.coalesce("split", "of_tested", by_hash), pl.coalesce("split_reason", reason)
    )
    test_cases = _test_cases(located_cases, project, benchmarks, settings)
    rows = [_example(unit, test_cases, settings) for unit in tested_units.iter_rows(named=True)]
    paired = pl.DataFrame(rows, schema=_PAIRED, orient="row")
    of_case = located_cases.select(
        *(pl.col(name) for name in _CASE_FIELDS),
        pl.col("unit_id").alias("test_id"),
        pl.coalesce("cluster", "unit_id").alias("cluster"),
        *("cluster_size", "split", "split_reason"),
    )
    of_unit = project.units.select(*_UNIT_FIELDS, pl.col(_CASE_FIELDS).name.suffix(" of unit"))
    # without a usable test, the manifest names the unit
    of_either = (pl.coalesce(name, f"{name} of unit").alias(name) for name in _CASE_FIELDS)
    candidates = (
        paired.join(of_unit, on="unit_id", maintain_order="left")
        .join(of_case, on="test_id", how="left", maintain_order="left")
        .with_columns(*of_either, origin=pl.lit("original"))
    )
    return finish_tables(NAME, TESTS_DATASET, candidates, settings, cache, rules=project.rules, empty_reason=_NONE)


_GROUP = re.compile(rb"""^([ \t]*)(?:describe|suite|context)(?:\.\w+)?\s*\(\s*(["'`])((?:(?!\2).)+)\2""", re.MULTILINE)


def _with_names_of_groups(cases: pl.DataFrame, texts: Mapping[FileKey, bytes]) -> pl.DataFrame:
    """Test cases whose names begin with those of the groups around them: `describe("parse", …)`."""
    names = [
        " ".join([*group_names(texts.get((source, path), b""), start), name])
        for source, path, start, name in cases.select("source", "path", "start_byte", "name").iter_rows()
    ]
    return cases.with_columns(pl.Series("name", names, dtype=pl.String))


def group_names(text: bytes, start: int) -> list[str]:
    """Names of the groups of tests around an offset, outermost first, told by their indents."""
    line = text.rfind(b"\n", 0, start) + 1
    indent, names = start - line, list[str]()
    for match in reversed([*_GROUP.finditer(text, 0, line)] if indent else []):
        if len(match[1]) < indent:
            indent = len(match[1])
            names.append(match[3].decode())
    return names[::-1]


def card_notes(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Notes for the data card: meaning of the examples, or reason for their absence."""
    return [_NOTHING if is_empty(tables, _NONE) else _MEANING]


def dedent_code(code: str, indent: str) -> str:
    """Remove the indentation of the first line from all further lines."""
    return code.replace(f"\n{indent}", "\n") if indent else code


def _left_join(rows: pl.DataFrame, other: pl.DataFrame, *on: str) -> pl.DataFrame:
    return rows.join(other, on=on, how="left", maintain_order="left")


def _test_cases(
    located_cases: pl.DataFrame, project: ProjectUnits, benchmarks: Sequence[Fingerprints], settings: DatasetSettings
) -> dict[str, TestCase]:
    languages = located_cases["language"].to_list()
    is_contaminated = contaminated(located_cases["code"].to_list(), benchmarks, languages)
    in_order = located_cases.sort("source", "path", "start_line", -pl.col("end_line"), "unit_id")
    end_before = pl.col("end_line").cum_max().shift().over("source", "path")
    nested = set(in_order.filter(pl.col("end_line") <= end_before)["unit_id"])
    lines: dict[FileKey, list[str]] = {}
    cases = {}
    for row, dirty in zip(located_cases.iter_rows(named=True), is_contaminated, strict=True):
        file_key = (row["source"], row["path"])
        if file_key not in lines:
            lines[file_key] = project.texts.get(file_key, b"").decode().split("\n")
        line = "".join(lines[file_key][row["start_line"] - 1 : row["start_line"]])
        cases[row["unit_id"]] = TestCase(
            row["unit_id"],
            row["path"],
            dedent_code(row["code"], line[: len(line) - len(line.lstrip())]),
            row["split"],
            "tests_nested" if row["unit_id"] in nested else _exclusion_reason(row, dirty, settings),
        )
    return cases


def _exclusion_reason(row: Mapping[str, Any], dirty: bool, settings: DatasetSettings) -> str | None:
    if row["left_out"] not in (None, "near_duplicate"):
        return str(row["left_out"])
    if row["generated"] or not row["trainable"]:
        return "generated" if row["generated"] else "licence"
    if dirty:
        return "contaminated"
    size = len(row["code"].encode())
    return None if settings.min_body_bytes <= size <= settings.max_body_bytes else "body_size"


def _closest_tests(units: pl.DataFrame, cases: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Units with the tests that are about them: those named after the unit first, then those that call it alone.

    A test is about one unit: of those that it or its file is named after, the one of the longest name, that of its
    type included. A test that calls a unit among others, and is not named after it, nobody would write when asked for
    its test; nor one of `PriceTest` that calls something of another file than `Price`'s. A function without a body,
    such as one of an interface, has no test of its own.
    """
    tests = cases.unique(["source", "path", "start_line", "end_line"], keep="first", maintain_order=True)
    tests = tests.select(
        "source", "path", "start_line", "end_line", pl.col("unit_id", "path", "name", "code").name.prefix("test_")
    )
    ends = {f"from_{name}": name for name in ("path", "start_line", "end_line")}
    called = edges.filter(pl.col("relation") == "tests").rename(ends).join(tests, on=["source", *ends.values()])
    # a type with its methods elsewhere says little of itself, and most tests make it for a method
    is_bare = pl.col("to_kind") == "struct"
    called = called.filter(~is_bare | is_bare.all().over("test_unit_id"))
    called = called.with_columns(pl.len().over("test_unit_id").alias("units_called"))
    unit_place, place = ["source", "path", "kind", "start_line", "end_line"], ["source", *_EDGE_END]
    pairs = units.join(called.drop(*ends.values()), left_on=unit_place, right_on=place, maintain_order="left")
    word_counts = [
        named_words(*names) for names in pairs.select("to_name", "name", "test_name", "test_path").iter_rows()
    ]
    pairs = pairs.with_columns(pl.Series("words", word_counts, dtype=pl.Float64))
    pairs = pairs.sort(-pl.col("words"), "units_called", pl.col("test_code").str.len_bytes(), "test_unit_id", "unit_id")
    is_first = pl.col("unit_id") == pl.col("unit_id").first().over("test_unit_id")
    has_body = ~pl.col("kind").is_in(FUNCTIONS) | pl.col("body_start_byte").is_not_null()
    calls_it_alone = (pl.col("units_called") == 1) & ~pl.col("test_code").str.contains(_REQUEST)
    type_of_test = pl.col("test_path").str.extract(r"([^/.]+?)(?:Tests?|IT)?\.[^/]*$")
    types = units.filter(pl.col("kind").is_in(_TYPES))["name"].unique()
    is_of_another = type_of_test.is_in(types.implode()) & (
        type_of_test != pl.col("path").str.extract(r"([^/.]+)[^/]*$")
    )
    is_about = is_first & has_body & ((pl.col("words") > 0) | (calls_it_alone & ~is_of_another))
    pairs = pairs.with_columns(is_about.alias("is_about"))
    closest = pairs.group_by("unit_id").agg(pl.col("test_unit_id").filter("is_about").alias("tests"))
    return units.join(closest, on="unit_id", maintain_order="left")


def common_words(name: str, test_name: str) -> int:
    """Number of words of a unit's name if they stand in a test's name in a row; else 0."""
    words, test_words = (_WORD.findall(text) for text in (name, test_name))
    unit_words, words_of_test = (f" {' '.join(each).lower()} " for each in (words, test_words))
    return len(words) if words and unit_words in words_of_test else 0


def named_words(qualified_name: str, name: str, test_name: str, test_path: str) -> float:
    """Words that a test has from a unit's name; if it has any, those from the name of the unit's type, too.

    Half a word less if its file has them, and no others: what the test itself says goes first.
    """
    owner, words = qualified_name.rpartition(".")[0].rpartition(".")[2], common_words(name, test_name)
    if words or owner:
        return words and words + common_words(owner, test_name)
    file_words = [word for word in _WORD.findall(PurePosixPath(test_path).name.partition(".")[0]) if word not in _MARKS]
    return len(file_words) - 0.5 if len(file_words) == common_words(name, " ".join(file_words)) > 0 else 0


def _example(
    unit: Mapping[str, Any], cases: Mapping[str, TestCase], settings: DatasetSettings
) -> tuple[str, str | None, str | None, str | None, str | None]:
    unit_cases = [cases[test] for test in unit["tests"] if test in cases]
    reasons = [
        case.exclusion or (None if unit["split"] in ("train", case.split) else "tests_on_another_side")
        for case in unit_cases
    ]
    if None not in reasons:
        reason = reasons[0] if reasons else "unanswerable_test"
        return unit["unit_id"], unit_cases[0].test_id if unit_cases else None, None, None, reason
    case = unit_cases[reasons.index(None)]
    prompt = prompt_about_unit(unit, unit["code"], TEST_REQUEST.format(path=case.path))
    if len(prompt.encode()) > settings.max_prompt_bytes:
        return unit["unit_id"], case.test_id, None, None, "prompt_size"
    if fold_whitespace(case.code) in fold_whitespace(prompt):
        return unit["unit_id"], case.test_id, None, None, "answer_in_prompt"
    return unit["unit_id"], case.test_id, prompt, case.code, None
