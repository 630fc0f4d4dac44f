import json
from pathlib import Path

import polars as pl
import pytest

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.orchestration.location import check_table
from cortex_pipelines.schemas import expectations
from cortex_pipelines.schemas.expectations import profile, validate
from cortex_pipelines.schemas.table import Column, ContractError, Table

TABLE = Table(
    "things",
    "A thing.",
    (
        *(Column("name", pl.String, "Name"), Column("language", pl.String, "Language")),
        Column("start_line", pl.Int64, "First line"),
        Column("end_line", pl.Int64, "Last line", True),
        Column("quality", pl.Float64, "Quality", True),
        Column("generated", pl.Boolean, "Whether it is generated"),
        *(Column("words", pl.List(pl.String), "Words"), Column("commit", pl.String, "Commit")),
    ),
    ("name",),
)


def frame(seed: int = 0, rows: int = 1000) -> pl.DataFrame:
    """Rows of one population: another seed draws others."""
    numbers = pl.int_range(rows, eager=True).shuffle(seed=seed + 7)
    return pl.DataFrame(
        {
            "name": [f"{seed}-{n}" for n in range(rows)],
            "language": ["go" if n % 10 == 0 else "java" if n % 3 == 0 else "python" for n in numbers],
            "start_line": numbers,
            "end_line": [None if n % 7 == 0 else n + n % 40 for n in numbers],
            "quality": [None if n % 4 == 0 else (n % 97) / 97 for n in numbers],
            "generated": [n % 11 == 0 for n in numbers],
            "words": [["a"]] * rows,
            "commit": [str(seed)] * rows,
        },
        schema=TABLE.schema,
    )


@pytest.mark.parametrize("seed", range(5))
def test_other_rows_of_the_same_population_raise_no_warning(seed: int) -> None:
    report = validate(frame(seed), TABLE, profile(frame(99)))
    assert (report.failures, report.warnings) == ((), ())


def test_few_rows_other_columns_and_a_first_version_raise_no_warning() -> None:
    report = validate(frame(), TABLE, None)
    assert (report.failures, report.warnings) == ((), ())
    assert report.document.statistics["evaluated_expectations"] == 1
    before = profile(frame(0).drop("quality").with_columns(gone=pl.lit(1)))
    assert validate(frame(1), TABLE, before).warnings == ()
    assert validate(frame(1), TABLE, profile(frame(0, 100))).warnings == ()
    assert validate(frame(1), TABLE, profile(frame(0).with_columns(quality=pl.lit(None, pl.Float64)))).warnings == ()
    assert validate(TABLE.empty(), TABLE, profile(TABLE.empty())).warnings == ()


def test_great_expectations_is_not_loaded_without_expectations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_EXPECTATIONS", "on")
    monkeypatch.setattr(expectations, "load_expectations", lambda: pytest.fail("loaded, which takes seconds"))
    table = Table("things", "A thing.", tuple(c for c in TABLE.columns if c.name != "end_line"), ("name",))
    check = check_table(frame().drop("end_line"), table, tmp_path)
    assert (check.failures, check.warnings, check.page) == ((), (), None)
    assert (tmp_path / "things.json").is_file(), "the next version is held against this one"


OTHERWISE = "column language: values are distributed otherwise than before"
PRESENT = "column quality: share of present values {}, 0.65 to 0.85 expected"
SHIFTS = {
    "half of the rows": (lambda f: f.head(400), "400 rows, 500 to 2000 expected"),
    "thrice the rows": (lambda f: pl.concat([f] * 3), "3000 rows, 500 to 2000 expected"),
    "a lost language": (lambda f: f.filter(pl.col("language") != "go"), "column language: no go any more"),
    "one language for all": (lambda f: f.with_columns(language=pl.lit("python")), OTHERWISE),
    "a new language": (
        lambda f: f.with_columns(language=pl.when(pl.col("start_line") < 500).then(pl.lit("c")).otherwise("language")),
        OTHERWISE,
    ),
    "another scale": (lambda f: f.with_columns(quality=pl.col("quality") * 100), "column quality: median"),
    "nothing measured": (lambda f: f.with_columns(quality=pl.lit(None, pl.Float64)), PRESENT.format(0)),
    "always a value": (lambda f: f.with_columns(pl.col("quality").fill_null(0.5)), PRESENT.format(1)),
    "all generated": (lambda f: f.with_columns(generated=pl.lit(True)), "column generated: no false any more"),
}


@pytest.mark.parametrize(("change", "expected"), SHIFTS.values(), ids=SHIFTS)
def test_a_shift_is_a_warning_and_never_a_failure(change, expected: str) -> None:
    report = validate(change(frame(1)), TABLE, json.loads(json.dumps(profile(frame(0)))))
    assert report.failures == ()
    assert any(warning.startswith(expected) for warning in report.warnings), report.warnings


def test_an_end_before_its_start_is_a_failure_for_every_data_asset_with_spans() -> None:
    rows = frame().with_columns(end_line=pl.when(pl.col("start_line") == 9).then(3).otherwise("end_line"))
    assert validate(rows, TABLE, None).failures == ("1 rows have start_line above end_line",)
    spans = {asset.name for asset in ASSETS for table in asset.tables if table.ascending}
    assert {"code_units", "annotated_units", "architecture_facts", "code_graph", "search_documents"} <= spans


def test_a_profile_names_no_people_and_no_states_of_sources() -> None:
    rows = frame().with_columns(author=pl.lit("person-1"))
    assert profile(rows)["columns"].keys() == {"language", "start_line", "end_line", "quality", "generated"}


def test_a_published_version_is_what_the_next_one_is_held_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CORTEX_EXPECTATIONS", "on")
    first = check_table(frame(), TABLE, tmp_path / "things@shop")
    second = check_table(frame(1).head(400), TABLE, tmp_path / "things@shop")
    assert (first.warnings, second.warnings) == ((), ("400 rows, 500 to 2000 expected",))
    assert "things@shop, table things: 400 rows, 500 to 2000 expected" in caplog.text
    assert "start_line" in Path(str(second.page)).read_text()
    broken = check_table(frame().with_columns(end_line=pl.lit(-1)), TABLE, tmp_path / "things@shop")
    assert broken.failures
    third = check_table(frame(2).head(400), TABLE, tmp_path / "things@shop")
    assert third.warnings == (), "a version that is not published is not what the next one is held against"


def test_a_table_of_another_version_says_what_makes_it_again(tmp_path: Path) -> None:
    frame().drop("quality").write_parquet(tmp_path / "things.parquet")
    assert TABLE.read(tmp_path, "name").height == 1000
    with pytest.raises(ContractError, match=r"another version .* without the column quality; `cortex run` makes"):
        TABLE.read(tmp_path, "name", "quality")
