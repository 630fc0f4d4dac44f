"""Patterns become rows of the refactoring data set, or the manifest says why not."""

from typing import Any

import polars as pl
import pytest

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import REVIEW_ROWS, pattern_rows
from cortex_pipelines.datasets.tasks.refactoring import ERROR_COLUMNS, refactoring_tables
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines_tests.parameters import load_cases, sections

CASES = load_cases(__file__)

_PRIVACY = PrivacySettings.model_validate(sections()["privacy"])

MAIL = "bo.miller" + "@northgate.dev"
ROUND = f"""\
name: round_prices
when: A price is shown; ask {MAIL}.
languages: [python, typescript]
counter_example: show($PRICE)
example: show(round($PRICE, $DIGITS))
"""
GUIDANCE = CASES["GUIDANCE"]


def yaml_file(files: pl.DataFrame, path: str, text: str, trainable: bool = True) -> pl.DataFrame:
    return files.head(1).with_columns(
        *(pl.lit(value).alias(name) for name, value in (("path", path), ("text", text))),
        pl.lit("yaml").alias("language"),
        pl.lit(trainable).alias("trainable"),
    )


@pytest.fixture(scope="module")
def pattern_texts(files: pl.DataFrame) -> pl.DataFrame:
    texts = {
        "patterns/round.yaml": ROUND,
        "patterns/guidance.yaml": GUIDANCE,
        "patterns/wrong.yaml": ROUND.replace("python", "cobol"),
        "patterns/again.yaml": "- " + ROUND.replace("\n", "\n  ").rstrip(),
        "patterns/proposed/new.yaml": ROUND.replace("round_prices", "new"),
    }
    rows = [yaml_file(files, path, text) for path, text in texts.items()]
    closed = yaml_file(files, "patterns/closed.yaml", ROUND.replace("_prices", "_closed"), False)
    return pl.concat([files, *rows, closed])


def tables_of(example_project: Any, pattern_texts: pl.DataFrame, settings: DatasetSettings) -> dict[str, Any]:
    errors, pairs = INJECTED_ERRORS.empty(), REFACTORING_PAIRS.empty()
    rows, none = pattern_rows(pattern_texts, "shop", _PRIVACY), REVIEW_ROWS.to_frame()
    return refactoring_tables(example_project.inputs, errors, {}, pairs, none, rows, pattern_texts, (), settings)


def test_a_pattern_is_a_row_of_train_for_each_language(
    example_project: Any, pattern_texts: pl.DataFrame, settings: DatasetSettings
) -> None:
    tables = tables_of(example_project, pattern_texts, settings)
    rows = tables["train"].filter(pl.col("origin") == "pattern").sort("language")
    assert rows["language"].to_list() == ["python", "typescript"]
    python, typescript = rows.iter_rows(named=True)
    assert "# Follow the pattern round_prices: A price is shown; ask " in python["prompt"]
    assert "// Follow the pattern round_prices: " in typescript["prompt"]
    assert "\nshow(price)\n" in python["prompt"]
    assert python["completion"] == "show(round(price, digits))"
    assert python["kind"] == "pattern"
    assert "northgate" not in python["prompt"] + python["explanation"]
    assert python["split_reason"] == "a pattern, which is guidance: train"
    held_out = pl.concat([tables["validation"], tables["test"]])
    assert held_out.filter(pl.col("origin") == "pattern").is_empty()


def test_the_manifest_says_which_patterns_are_no_examples(
    example_project: Any, pattern_texts: pl.DataFrame, settings: DatasetSettings
) -> None:
    tables = tables_of(example_project, pattern_texts, settings)
    entries = tables["manifest"].filter(pl.col("origin") == "pattern", pl.col("left_out").is_not_null())
    assert dict(entries.select("path", "left_out").iter_rows()) == {
        "patterns/round.yaml": "pattern_repeated",
        "patterns/guidance.yaml": "pattern_without_counter_example",
        "patterns/wrong.yaml": "pattern_invalid",
        "patterns/closed.yaml": "licence",
    }
    invalid = entries.filter(pl.col("left_out") == "pattern_invalid")
    assert invalid["filters"].to_list() == [[]]


def test_the_same_patterns_in_another_order_give_the_same_rows(pattern_texts: pl.DataFrame) -> None:
    again = pattern_rows(pattern_texts.reverse(), "shop", _PRIVACY)
    assert again.equals(pattern_rows(pattern_texts, "shop", _PRIVACY))
    assert again["unit_id"].is_unique().all()


def test_a_pattern_that_is_like_held_out_code_is_left_out(
    example_project: Any, files: pl.DataFrame, settings: DatasetSettings
) -> None:
    """The units of test are not to be learnt by way of a pattern either."""
    units = example_project.inputs.units.sort("unit_id")
    held_out_unit = units.filter(pl.col("split") == "test", pl.col("language") == "python").row(0, named=True)
    code = held_out_unit["code"]
    text = "name: own\nwhen: Always.\nlanguages: python\ncounter_example: use($A)\n"
    text += "example: |\n  " + code.replace("\n", "\n  ") + "\n"
    error_row = (held_out_unit["unit_id"], "use(a)", code, "wrong_name", "Put right.")
    errors = pl.DataFrame([error_row], schema=list(ERROR_COLUMNS), orient="row")
    pattern_texts = pl.concat([files, yaml_file(files, "patterns/own.yaml", text)])
    rows, none = pattern_rows(pattern_texts, "shop", _PRIVACY), REVIEW_ROWS.to_frame()
    pairs = REFACTORING_PAIRS.empty()
    tables = refactoring_tables(example_project.inputs, errors, {}, pairs, none, rows, pattern_texts, (), settings)
    (entry,) = tables["manifest"].filter(pl.col("origin") == "pattern").iter_rows(named=True)
    assert entry["left_out"] == "near_duplicate_elsewhere"
