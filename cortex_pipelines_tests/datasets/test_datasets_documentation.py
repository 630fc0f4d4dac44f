"""Code without its docstring, and the docstring's first paragraph."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.datasets.assets import documentation_dataset
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.documentation import (
    card_notes,
    documentation_candidates,
    documentation_tables,
    first_paragraph,
    repeats_name,
    without_docstring,
)
from cortex_pipelines.datasets.unit_text import file_bytes, with_layout
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.datasets import DOCUMENTATION_DATASET, UNIT_SPLITS
from cortex_pipelines.schemas.ingestion import REDACTIONS, REPOSITORY_FILES
from cortex_pipelines.schemas.vocabulary import SPLITS
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)

MakeFrame = Callable[[Any], pl.DataFrame]
Tables = dict[str, pl.DataFrame]
Rows = dict[str, dict[str, Any]]

PYTHON = CASES["PYTHON"]
GO = CASES["GO"]


@pytest.fixture(scope="module")
def candidates(make_files: MakeFrame, make_units: MakeFrame, settings: DatasetSettings) -> Rows:
    files = make_files({"shop.py": PYTHON, "shop.go": GO})
    laid_out = with_layout(make_units(files), file_bytes(files), settings)
    rows = documentation_candidates(laid_out.filter(pl.col("docstring").is_not_null()), settings)
    return {row["name"]: row for row in rows.iter_rows(named=True)}


def test_a_unit_is_shown_without_its_docstring_and_asked_about_after_it(candidates: Rows) -> None:
    assert candidates["weigh"]["prompt"] == (
        "# shop.py\n"
        "class Shop:\n"
        '    def weigh(self, label="# no comment", *rest):\n'
        "        # don't be confused by a quote here\n"
        "        total = len(label)\n"
        "        return total + len(rest)\n"
        "\n"
        "# What it does:\n"
    )
    assert candidates["weigh"]["completion"] == "Weigh all parcels, and send them."
    assert candidates["one"]["prompt"].endswith("    def one(self): return 1\n\n# What it does:\n")
    assert candidates["Total"]["prompt"] == (
        "// shop.go\nfunc (s *Shop) Total(prices []int) int {\n\treturn len(prices)\n}\n\n// What it does:\n"
    )
    assert candidates["Total"]["completion"] == ("Total adds the prices of a cart,\nand prints them too.")


@pytest.mark.parametrize(("name", "reason"), CASES["what_says_nothing_is_left_out_with_the_reason"])
def test_what_says_nothing_is_left_out_with_the_reason(candidates: Rows, name: str, reason: str) -> None:
    row = candidates[name]
    assert (row["prompt"], row["completion"], row["not_made"]) == (None, None, reason)


@pytest.mark.parametrize(("docstring", "first"), CASES["the_first_paragraph_ends_where_lists_begin"])
def test_the_first_paragraph_ends_where_lists_begin(docstring: str, first: str) -> None:
    assert first_paragraph(docstring) == first


@pytest.mark.parametrize("run", [" ", "\n ", ":", "a", ". ", "a: ", "e.g. ", "/"])
def test_long_runs_of_any_kind_take_linear_time(run: str) -> None:
    program = CASES["long_runs_of_any_kind_take_linear_time"]
    # a quadratic expression would take minutes, and is ended by the limit
    assert subprocess.run([sys.executable, "-c", program, run], check=False).returncode == 0


def test_a_docstring_that_is_not_found_is_not_cut_at_a_guess() -> None:
    code = 'def f():\n    """Said."""\n    return 1'
    assert without_docstring(code, "python", "Said.", len(code) - 8) == "def f():\n    return 1"
    assert without_docstring(code, "python", "Other.", len(code) - 8) is None
    assert without_docstring(code, "python", "Said.", None) is None


def test_a_name_is_repeated_in_other_forms_too() -> None:
    assert repeats_name("Gets the user's name.", "getUserNames")
    assert repeats_name("Get the user names!", "get_user_name")
    assert not repeats_name("Get the user's first name.", "get_user_name")


@pytest.fixture(scope="module")
def tables(example_project: Any, settings: DatasetSettings) -> Tables:
    return documentation_tables(example_project.inputs, settings)


def test_tables_keep_their_contract_and_the_split_and_no_prompt_its_answer(
    tables: Tables, example_project: Any
) -> None:
    assert set(tables) == {*SPLITS, "manifest"}
    unit_splits = dict(example_project.splits.select("unit_id", "split").iter_rows())
    for table in DOCUMENTATION_DATASET:
        frame = tables[table.name]
        assert frame.height > 0
        assert frame.equals(table.conform(frame))
    for split in SPLITS:
        assert {unit_splits[unit] for unit in tables[split]["unit_id"]} == {split}
    for split in SPLITS:
        for prompt, completion in tables[split].select("prompt", "completion").iter_rows():
            assert completion.lower() not in " ".join(prompt.lower().split())


def test_each_documented_unit_is_accounted_for(tables: Tables, example_project: Any) -> None:
    documented = example_project.inputs.splits.filter("documented")
    of_kinds = documented.filter(~pl.col("kind").is_in(["variable", "constant", "import"]))
    assert sorted(tables["manifest"]["unit_id"].unique()) == sorted(of_kinds["unit_id"])
    reasons = set(tables["manifest"]["left_out"].drop_nulls())
    assert {"generated", "near_duplicate"} <= reasons


def test_the_cache_gives_the_rows(
    tables: Tables, example_project: Any, settings: DatasetSettings, tmp_path: Path
) -> None:
    for _ in range(2):
        again = documentation_tables(example_project.inputs, settings, RowCache(tmp_path, "v"))
        assert all(again[name].equals(frame) for name, frame in tables.items())


def test_a_project_without_any_docstring_has_an_empty_data_set_that_says_so(
    make_files: MakeFrame,
    make_units: MakeFrame,
    project_maker: Callable[..., Any],
    settings: DatasetSettings,
    tmp_path: Path,
) -> None:
    bare = {
        f"pack_{word}.py": f"def pack_{word}({word}, limit):\n"
        f"    while {word}_{number} > {number}:\n"
        f"        limit.{word}({word} * {number})\n    return {word}.total_{word}(limit)\n"
        for number, word in enumerate(("crate", "letter", "basket", "wagon", "bottle"))
    }
    files = make_files(bare)
    units = make_units(files)
    folders = {name: tmp_path / name for name in ("units", "files", "splits", "out")}
    for folder in folders.values():
        folder.mkdir()
    units.write_parquet(folders["units"] / f"{ANNOTATED_UNITS.name}.parquet")
    files.write_parquet(folders["files"] / f"{REPOSITORY_FILES.name}.parquet")
    REDACTIONS.empty().write_parquet(folders["files"] / f"{REDACTIONS.name}.parquet")
    splits = project_maker(units, files, settings).splits
    splits.write_parquet(folders["splits"] / f"{UNIT_SPLITS.name}.parquet")
    tables = documentation_dataset(
        *(folders["units"], folders["files"], folders["splits"], settings),
        *(folders["out"], RowCache(tmp_path / "cache", "v")),
    )
    assert [tables[split].height for split in SPLITS] == [0, 0, 0]
    assert tables["manifest"]["left_out"].to_list() == ["documentation_none"]
    assert card_notes(tables) == [
        "There is no example: no function, method or type of this project has a docstring or doc comment."
    ]
    assert card_notes(tables)[0] in (folders["out"] / "card.md").read_text()
