"""Test candidates: a unit of code, and the test case that exercises it most closely.

What has to be written is the test case, so its file decides the side. Functions of test files are
units like any others, and other data sets train on them: a test case that is in train is known,
whatever it tests. The unit stands in the prompt, so it is in train or on the side of its test.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from cortex_pipelines.datasets.assemble.build import ProjectUnits, Tables, finished_tables
from cortex_pipelines.datasets.assemble.manifest import is_empty
from cortex_pipelines.datasets.filters.decontamination import Fingerprints, contaminated
from cortex_pipelines.datasets.prompts.unit_text import Place, asked_of_unit, folded
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import sides_of
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.datasets.tests import REQUEST, TESTS_DATASET

NAME = "tests_dataset"
OF_UNITS = ("unit_id", "tests", "start_byte", "end_byte")
"""Columns of ANNOTATED_UNITS that are read beside those of all data sets."""
OF_CASES = ("unit_id", "source", "path", "language", "start_line", "end_line", "code")
"""Columns of TEST_CASES that are read."""
OF_FILES = ("source", "path", "blob", "revision", "licence", "trainable", "generated")
"""Columns of REPOSITORY_FILES that are read."""

_NONE = "tests_none"
_S = pl.String
_NOTHING = (
    "There is no example: no test case was paired with a function, method or class of this project "
    "(column tests of annotated_units)."
)
_MEANING = (
    "The test case that is closest to each unit, on the side of its own file; the unit that is "
    "shown is in train or on the same side."
)
_PAIRED = pl.Schema(dict.fromkeys(("unit_id", "test_id", "prompt", "completion", "not_made"), _S))
_OF_UNIT = ("unit_id", "language", "kind", "category", "cyclomatic", "weight")
_OF_CASE = ("source", "path", "blob", "revision", "licence", "start_byte", "end_byte")


@dataclass(frozen=True)
class TestCase:
    """A test case that may be an answer.

    Args:
        test_id: Its id.
        path: Its file.
        language: Its language.
        code: Its code, moved to the margin.
        side: Side of its file; None where that is not known.
        barred: Why it may not be an answer, or None.
    """

    __test__ = False  # for pytest

    test_id: str
    path: str
    language: str
    code: str
    side: str | None
    barred: str | None


def paired_test_tables(
    project: ProjectUnits,
    units: pl.DataFrame,
    cases: pl.DataFrame,
    files: pl.DataFrame,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
    cache: RowCache | None = None,
) -> Tables:
    """Tables of the data set of tests; without any paired test the manifest says so.

    Args:
        project: Units and their surroundings.
        units: ANNOTATED_UNITS of the same project.
        cases: TEST_CASES of the same project.
        files: REPOSITORY_FILES of the same project.
        benchmarks: What must not be trained on.
        settings: Sizes and shares.
        cache: Cached results of unchanged texts; the tables are the same without it.
    """
    placed = _placed(cases, units, files, project.splits)
    paired = _paired(project, units, _cases(placed, project, benchmarks, settings), settings)
    of_case = placed.select(
        *(pl.col(name) for name in _OF_CASE),
        pl.col("unit_id").alias("test_id"),
        pl.coalesce("cluster", "unit_id").alias("cluster"),
        *("cluster_size", "split", "split_reason"),
    )
    # where no test could be chosen, the manifest names the unit
    candidates = (
        paired.join(project.units.select(_OF_UNIT), on="unit_id", maintain_order="left")
        .join(of_case, on="test_id", how="left", maintain_order="left")
        .with_columns(pl.lit("original").alias("origin"))
    )
    return finished_tables(
        NAME, TESTS_DATASET, candidates, project.name, settings, cache, nothing=_NONE
    )


def in_words(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """For the data card: what is asked, and why there is nothing."""
    return [_NOTHING if is_empty(tables, _NONE) else _MEANING]


def at_the_margin(code: str, indent: str) -> str:
    """Code without the white space before its first line, which does not begin with it."""
    return code.replace(f"\n{indent}", "\n") if indent else code


def _placed(
    cases: pl.DataFrame, units: pl.DataFrame, files: pl.DataFrame, splits: pl.DataFrame
) -> pl.DataFrame:
    """Test cases with their files, the spans of those that are units, and the side of the file."""
    sides = [
        (source, path, side, reason) for (source, path), (side, reason) in sides_of(splits).items()
    ]
    schema = dict.fromkeys(("source", "path", "split", "split_reason"), _S)
    of_files = pl.DataFrame(sides, schema=schema, orient="row")
    ordered = cases.sort("unit_id")
    in_files = _beside(_beside(ordered, files, "source", "path"), of_files, "source", "path")
    spans = units.select("unit_id", "start_byte", "end_byte")
    clusters = splits.select("unit_id", "cluster", "cluster_size", "left_out")
    return _beside(_beside(in_files, spans, "unit_id"), clusters, "unit_id")


def _beside(rows: pl.DataFrame, others: pl.DataFrame, *on: str) -> pl.DataFrame:
    """Rows in order, with what is known of them elsewhere."""
    return rows.join(others, on=on, how="left", maintain_order="left")


def _cases(
    placed: pl.DataFrame,
    project: ProjectUnits,
    benchmarks: Sequence[Fingerprints],
    settings: DatasetSettings,
) -> dict[str, TestCase]:
    """Test cases by id."""
    languages = placed["language"].to_list()
    dirty = contaminated(placed["code"].to_list(), benchmarks, settings, languages)
    nested = _nested(placed)
    lines: dict[Place, list[str]] = {}
    cases = {}
    for row, listed in zip(placed.iter_rows(named=True), dirty, strict=True):
        place = (row["source"], row["path"])
        if place not in lines:
            lines[place] = project.texts.get(place, b"").decode().split("\n")
        cases[row["unit_id"]] = TestCase(
            row["unit_id"],
            row["path"],
            row["language"],
            at_the_margin(row["code"], _indent(lines[place], row["start_line"])),
            row["split"],
            "tests_nested" if row["unit_id"] in nested else _barred(row, listed, settings),
        )
    return cases


def _nested(placed: pl.DataFrame) -> set[str]:
    """Test cases inside of others: what a test defines and is named like one."""
    nested: set[str] = set()
    ordered = placed.sort("source", "path", "start_line", -pl.col("end_line"), "unit_id")
    here, last = None, 0
    for *place, end, case in ordered.select("source", "path", "end_line", "unit_id").iter_rows():
        if place == here and end <= last:
            nested.add(case)
        else:
            here, last = place, end
    return nested


def _barred(row: Mapping[str, Any], listed: str | None, settings: DatasetSettings) -> str | None:
    """Why a test case may not be an answer, or None."""
    if row["left_out"] not in (None, "near_duplicate"):
        return str(row["left_out"])
    if row["generated"] or not row["trainable"]:
        return "generated" if row["generated"] else "licence"
    if listed is not None:
        return "contaminated"
    if row["split"] is None:
        return "tests_without_side"
    size = len(row["code"].encode())
    return None if settings.min_body_bytes <= size <= settings.max_body_bytes else "body_size"


def _paired(
    project: ProjectUnits,
    units: pl.DataFrame,
    cases: Mapping[str, TestCase],
    settings: DatasetSettings,
) -> pl.DataFrame:
    """Units with prompt, test and its id, or an exclusion reason."""
    paired = units.select("unit_id", "tests").filter(pl.col("tests").list.len() > 0)
    asked = project.units.drop("tests", strict=False).join(
        paired, on="unit_id", maintain_order="left"
    )
    rows = [_example(unit, cases, settings) for unit in asked.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=_PAIRED, orient="row")


def _example(
    unit: Mapping[str, Any], cases: Mapping[str, TestCase], settings: DatasetSettings
) -> tuple[str, str | None, str | None, str | None, str | None]:
    known = [cases[test] for test in unit["tests"] if test in cases]
    case, why = _chosen(unit, known)
    if case is None:
        return unit["unit_id"], known[0].test_id if known else None, None, None, why
    prompt = asked_of_unit(unit, unit["code"], REQUEST.format(path=case.path))
    if len(prompt.encode()) > settings.max_prompt_bytes:
        return unit["unit_id"], case.test_id, None, None, "prompt_size"
    if folded(case.code) in folded(prompt):
        return unit["unit_id"], case.test_id, None, None, "answer_in_prompt"
    return unit["unit_id"], case.test_id, prompt, case.code, None


def _chosen(
    unit: Mapping[str, Any], known: Iterable[TestCase]
) -> tuple[TestCase | None, str | None]:
    """The closest test case that may be asked for; else why the closest one may not."""
    reasons: list[str] = []
    for case in known:
        why = case.barred or _other_side(unit["split"], str(case.side))
        if why is None:
            return case, None
        reasons.append(why)
    return None, reasons[0] if reasons else "tests_without_side"


def _other_side(unit: str, test: str) -> str | None:
    """Why a unit of one side may not be shown to ask for a test of another one, or None."""
    return None if unit in ("train", test) else "tests_on_another_side"


def _indent(lines: Sequence[str], start_line: int) -> str:
    line = lines[start_line - 1] if start_line <= len(lines) else ""
    return line[: len(line) - len(line.lstrip())]
