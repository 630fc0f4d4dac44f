"""Code reviews become rows of the refactoring data set, or the manifest says why not."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import PATTERN_ROWS, review_rows
from cortex_pipelines.datasets.tasks.refactoring import refactoring_tables
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import read_rows, write_snapshot
from cortex_pipelines.ingestion.entries import File, SourceLimits
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines_tests.parameters import sections

_PRIVACY = PrivacySettings.model_validate(sections()["privacy"])


def comment(path: str, **fields: Any) -> dict[str, Any]:
    hunk = f"@@ -1 +1,2 @@\n+def price_of(item, rate):\n+    return item.price * rate + len('{path}')"
    remark = "Round it here,\nask bo.miller@northgate.dev.\n"
    body = f"{remark}```suggestion\n    return round(item.price * rate)\n```"
    return {"path": path, "diff_hunk": hunk, "body": body, "original_line": 2, **fields}


@pytest.fixture(scope="module")
def exported(files: pl.DataFrame) -> pl.DataFrame:
    code = files.filter(pl.col("language") == "python", pl.col("trainable"))["path"][0]
    comments = [comment(code), comment(code), comment(code, body="Why?"), comment("gone/away.py"), comment("notes.md")]
    export = files.head(1).with_columns(
        pl.lit("directory:reviews").alias("source"),
        pl.lit("pulls.json").alias("path"),
        pl.lit("json").alias("language"),
        pl.lit(json.dumps(comments) + '\n[{"cut').alias("text"),
    )
    return pl.concat([files, export])


def test_a_review_is_a_row_with_what_was_said(
    example_project: Any, exported: pl.DataFrame, settings: DatasetSettings
) -> None:
    reviews = review_rows(exported, "shop", _PRIVACY)
    errors, pairs = INJECTED_ERRORS.empty(), REFACTORING_PAIRS.empty()
    rows = reviews, PATTERN_ROWS.to_frame()
    tables = refactoring_tables(example_project.inputs, errors, {}, pairs, *rows, exported, (), settings)
    all_rows = pl.concat([tables[name] for name in tables if name != "manifest"])
    (row,) = all_rows.filter(pl.col("origin") == "review").iter_rows(named=True)
    assert "A reviewer says: Round it here, ask redacted-" in row["prompt"]
    assert "northgate" not in row["prompt"] + row["explanation"]
    assert row["completion"] == "    return round(item.price * rate)"
    assert row["source"] == "directory:example"
    of_reviews = tables["manifest"].filter(pl.col("origin") == "review")
    reasons = ["review_damaged", "language", "licence", "review_without_result"]
    assert set(of_reviews["left_out"].drop_nulls()) == set(reasons)
    damaged = of_reviews.filter(pl.col("left_out") == "review_damaged")
    assert damaged.select("source", "path").row(0) == ("directory:reviews", "pulls.json")
    assert of_reviews.filter(pl.col("left_out") == "review_without_result")["filters"].to_list() == [[]]


def test_exports_are_known_by_what_is_in_them(exported: pl.DataFrame) -> None:
    """GitLab's project export is ``.ndjson``, archives of lists are ``.txt``."""
    (text,) = exported.filter(pl.col("path") == "pulls.json")["text"]
    lines = "\n".join(map(json.dumps, json.loads(text.partition("\n")[0])))
    mail = (
        "From ann at acme.dev Mon Jan  1 10:00:00 2024\nMessage-ID: <v1>\nSubject: [PATCH] sum\n\n"
        "--- a/sum.c\n+++ b/sum.c\n@@ -0,0 +1 @@\n+int s;\n"
        "From bo at acme.dev Mon Jan  1 11:00:00 2024\nMessage-ID: <r1>\nIn-Reply-To: <v1>\n"
        "Subject: Re: [PATCH] sum\n\n> +int s;\nA longer name, please.\n"
    )
    exports = [("notes.ndjson", None, lines), ("2024-January.txt", "text", mail)]
    of_kind = exported.clear().vstack(
        pl.concat(
            exported.filter(pl.col("path") == "pulls.json").with_columns(
                pl.lit(path).alias("path"),
                pl.lit(language, dtype=pl.String).alias("language"),
                pl.lit(text).alias("text"),
            )
            for path, language, text in exports
        )
    )
    reviews = review_rows(of_kind, "shop", _PRIVACY)
    assert dict(reviews.group_by("export").len().iter_rows()) == {"notes.ndjson": 4, "2024-January.txt": 1}


def test_the_same_reviews_in_another_order_give_the_same_rows(exported: pl.DataFrame) -> None:
    again = review_rows(exported.reverse(), "shop", _PRIVACY)
    assert again.equals(review_rows(exported, "shop", _PRIVACY))


def test_a_review_of_a_tracker_is_a_row_too(
    example_project: Any, files: pl.DataFrame, settings: DatasetSettings, tmp_path: Path
) -> None:
    code = files.filter(pl.col("language") == "python", pl.col("trainable"))["path"][0]
    row = {"path": code, "body": "Round it here.", "before": "return price", "after": "return 1"}
    source = DltSource.model_validate({"dlt": "tracker", "sql": "URL", "tables": {"remarks": {"rows": "reviews"}}})
    sha256, _ = write_snapshot([("remarks", row), ("remarks", {**row, "after": ""})], tmp_path)
    limits = SourceLimits(IngestionSettings.model_validate(sections()["ingestion"]))
    rows = [
        files.head(1).with_columns(
            pl.lit(source.label).alias("source"),
            pl.lit(file.path).alias("path"),
            pl.lit("json").alias("language"),
            pl.lit(file.data.decode()).alias("text"),
        )
        for file in read_rows(source, sha256, tmp_path, limits)
        if isinstance(file, File)
    ]
    with_tracker = pl.concat([files, *rows])
    reviews = review_rows(with_tracker, "shop", _PRIVACY)
    errors, pairs = INJECTED_ERRORS.empty(), REFACTORING_PAIRS.empty()
    both = reviews, PATTERN_ROWS.to_frame()
    tables = refactoring_tables(example_project.inputs, errors, {}, pairs, *both, with_tracker, (), settings)
    all_rows = pl.concat([tables[name] for name in tables if name != "manifest"])
    (example,) = all_rows.filter(pl.col("origin") == "review").iter_rows(named=True)
    assert example["completion"] == "return 1"
    of_reviews = tables["manifest"].filter(pl.col("origin") == "review")
    assert set(of_reviews["left_out"].drop_nulls()) == {"review_without_result"}
