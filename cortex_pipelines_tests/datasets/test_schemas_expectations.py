"""The Great Expectations suite of a table breaks where, and only where, the contract is broken."""

import datetime
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.datasets.publish.contracts import ContractResult, validate, write_data_docs
from cortex_pipelines.schemas.datasets import COMPLETION_DATASET
from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import SPLITS

TABLE = Table(
    "things",
    "A thing.",
    (
        Column("name", pl.String, "Name"),
        Column("number", pl.Int64, "Number", between=(0, 10)),
        Column("share", pl.Float64, "Share", True, between=(0, 1)),
        Column("colour", pl.String, "Colour", one_of=("red", "blue")),
        Column("known", pl.Boolean, "Known"),
        Column("maybe", pl.Int64, "Maybe", True),
        Column("words", pl.List(pl.String), "Words"),
        Column("at", pl.Datetime("us", "UTC"), "When", True),
    ),
    ("name", "number"),
    min_rows=2,
)


def frame() -> pl.DataFrame:
    """Rows that keep the contract."""
    time = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    return TABLE.frame(
        [
            {
                "name": name, "number": 3, "share": share, "colour": "red", "known": True,
                "maybe": maybe, "words": ["a"], "at": time if maybe else None,
            }
            for name, share, maybe in (("a", 0.5, 1), ("b", None, None), ("c", 1.0, 2))
        ]
    )  # fmt: skip


def test_rows_that_keep_the_contract_pass() -> None:
    result = validate(frame(), TABLE)
    assert result.success, result.failures
    assert result.failures == ()
    assert result.statistics["rows"] == 3
    assert result.statistics["evaluated"] == result.statistics["successful"] >= 12


BROKEN = {
    "a missing value": (pl.lit(None, pl.String).alias("name"), "column name: column values to not be null"),
    "a value out of range": (pl.lit(11, pl.Int64).alias("number"), "column number: column values to be between"),
    "a share out of range": (pl.lit(1.5).alias("share"), "column share: column values to be between"),
    "a value that is not allowed": (pl.lit("green").alias("colour"), "column colour: column values to be in set"),
    "another type": (pl.lit(3.0).alias("number"), "column number: column values to be of type"),
    "text for a flag": (pl.lit("yes").alias("known"), "column known: column values to be of type"),
    "a repeated key": (pl.lit("a").alias("name"), "compound columns to be unique"),
    "one column too many": (pl.lit(1).alias("extra"), "table columns to match ordered list"),
}


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_is_found(change: pl.Expr, expected: str) -> None:
    result = validate(frame().with_columns(change), TABLE)
    assert not result.success
    assert any(failure.startswith(expected) for failure in result.failures), result.failures
    assert result.statistics["unsuccessful"] >= 1


def test_too_few_rows_are_found() -> None:
    result = validate(frame().head(1), TABLE)
    assert [f for f in result.failures if f.startswith("table row count")], result.failures


def test_a_column_that_is_not_there_is_found_once() -> None:
    result = validate(frame().drop("share"), TABLE)
    assert [failure.split(" (")[0] for failure in result.failures] == ["table columns to match ordered list"]


def test_an_empty_table_keeps_every_contract_but_its_size() -> None:
    for table in COMPLETION_DATASET:
        assert validate(table.empty(), table).success


def test_one_key_column_must_be_unique() -> None:
    row = dict.fromkeys(COMPLETION_DATASET[0].schema, "python") | {"task": "completion", "weight": 1.0}
    twice = pl.DataFrame([row, row], schema=COMPLETION_DATASET[0].schema)
    failures = validate(twice, COMPLETION_DATASET[0]).failures
    assert [failure.split(" (")[0].split(";")[0] for failure in failures] == [
        "column example_id: column values to be unique"
    ]


def test_data_docs_have_a_page_for_each_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good, bad = validate(frame(), TABLE), validate(frame().head(1), TABLE)
    assert list(tmp_path.iterdir()) == []  # a check leaves nothing behind
    index = write_data_docs({"a b": [good], "z": [bad]}, tmp_path / "docs")
    text = index.read_text()
    pages = sorted(path.name for path in index.parent.iterdir())
    assert pages == ["a_b_things.html", "index.html", "z_things.html"]
    assert "kept" in text
    assert "table row count" in text
    assert "colour" in (index.parent / "a_b_things.html").read_text()


def test_results_compare_by_what_they_say() -> None:
    first, second = validate(frame(), TABLE), validate(frame(), TABLE)
    assert first == second
    assert isinstance(first, ContractResult)
    assert len(SPLITS) == 3
