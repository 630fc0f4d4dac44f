"""Patterns become rows of the refactoring data set, or the manifest says why not."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from cortex_pipelines.api import load_parameters
from cortex_pipelines.catalog import open_project
from cortex_pipelines.cli.main import main
from cortex_pipelines.datasets import team_patterns
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.changes import pattern_rows, review_rows
from cortex_pipelines.datasets.tasks.refactoring import ERROR_COLUMNS, refactoring_tables
from cortex_pipelines.datasets.team_patterns import proposed_patterns, served_patterns
from cortex_pipelines.extraction.patterns.pattern_files import read_patterns
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import read_rows, write_snapshot
from cortex_pipelines.ingestion.entries import File, SourceLimits
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.schemas.extraction import REFACTORING_PAIRS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines_tests.integration.miniproject import MiniProject
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


def tables_of(
    example_project: Any,
    files: pl.DataFrame,
    settings: DatasetSettings,
    errors: pl.DataFrame = INJECTED_ERRORS.empty(),  # noqa: B008
) -> dict[str, pl.DataFrame]:
    """The refactoring data set of the reviews and patterns among the files."""
    rows = review_rows(files, "shop", _PRIVACY), pattern_rows(files, "shop", _PRIVACY)
    pairs = REFACTORING_PAIRS.empty()
    return refactoring_tables(example_project.inputs, errors, {}, pairs, *rows, files, (), settings)


def test_a_pattern_is_a_row_of_train_for_each_language_or_the_manifest_says_why_not(
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
    entries = tables["manifest"].filter(pl.col("origin") == "pattern", pl.col("left_out").is_not_null())
    assert dict(entries.select("path", "left_out").iter_rows()) == {
        "patterns/round.yaml": "pattern_repeated",
        "patterns/guidance.yaml": "pattern_without_counter_example",
        "patterns/wrong.yaml": "pattern_invalid",
        "patterns/closed.yaml": "licence",
    }
    invalid = entries.filter(pl.col("left_out") == "pattern_invalid")
    assert invalid["filters"].to_list() == [[]]


def test_files_in_another_order_give_the_same_rows(pattern_texts: pl.DataFrame, exported: pl.DataFrame) -> None:
    again = pattern_rows(pattern_texts.reverse(), "shop", _PRIVACY)
    assert again.equals(pattern_rows(pattern_texts, "shop", _PRIVACY))
    assert review_rows(exported.reverse(), "shop", _PRIVACY).equals(review_rows(exported, "shop", _PRIVACY))
    assert again["unit_id"].is_unique().all()


def test_a_pattern_like_held_out_code_is_no_row(
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
    tables = tables_of(example_project, pattern_texts, settings, errors)
    (entry,) = tables["manifest"].filter(pl.col("origin") == "pattern").iter_rows(named=True)
    assert entry["left_out"] == "near_duplicate_elsewhere"


OWN = CASES["OWN"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patterns" / "proposed").mkdir(parents=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("x = 1\ndrop(x)\nkeep(x)\n")
    (tmp_path / "src" / "a.js").write_text("drop(x)\n")
    (tmp_path / "b.py").write_text("keep(1)\n")
    return tmp_path


def cortex(*words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(main, ["patterns", *words])
    assert result.exit_code == status, result.output
    return result


def test_places_that_break_a_pattern_are_listed_and_fail(checkout: Path) -> None:
    (checkout / "patterns" / "own.yaml").write_text(OWN)
    checked = cortex("check", "src", "b.py", status=1)
    assert checked.stdout == "src/a.py:2: keep_ids: An item is changed.\n"
    assert "1 patterns checked, 1 places break one" in checked.stderr
    assert cortex("check", "b.py", "src/a.js").stdout == ""
    assert "no such file or folder" in cortex("check", "gone.py", status=1).output
    (checkout / "patterns" / "own.yaml").write_text(OWN)
    (checkout / "src" / os.fsdecode(b"b\xff.py")).write_text("drop(1)\n")
    assert "1 places break one" in cortex("check", "src", status=1).stderr


def test_a_file_that_is_no_pattern_fails_the_check(checkout: Path) -> None:
    (checkout / "patterns" / "own.yaml").write_text(OWN.replace("python", "cobol"))
    message = cortex("check", "b.py", status=1).stderr
    assert "no pattern: patterns/own.yaml: keep_ids: languages: takes python" in message
    (checkout / "patterns").rename(checkout / "elsewhere")
    assert "--folder names one" in cortex("check", "b.py", status=1).output


def test_a_proposal_counts_once_it_is_accepted(checkout: Path) -> None:
    proposed = checkout / "patterns" / "proposed" / "keep_ids.yaml"
    proposed.write_text(OWN)
    assert "0 patterns checked" in cortex("check", "src").stderr
    assert "there is keep_ids" in cortex("accept", "other", status=1).output
    assert cortex("accept", "keep_ids").stdout == "patterns/keep_ids.yaml\n"
    assert not proposed.exists()
    assert "src/a.py:2" in cortex("check", "src", status=1).stdout
    proposed.write_text(OWN)
    assert "is there already" in cortex("accept", "keep_ids", status=1).output
    (checkout / "patterns" / "keep_ids.yaml").unlink()
    proposed.write_text(OWN.replace("when", "whenever"))
    assert "keep_ids.yaml: keep_ids: " in cortex("accept", "keep_ids", status=1).output


def test_what_would_not_count_is_not_accepted(checkout: Path) -> None:
    patterns = checkout / "patterns"
    proposed = patterns / "proposed" / "another.yaml"
    proposed.write_text("# nothing is left of it\n")
    assert "another.yaml: holds no pattern" in cortex("accept", "another", status=1).output
    (patterns / "ids.yaml").write_text(OWN)
    proposed.write_text(OWN)  # of the two, the first by their files would count
    printed = cortex("accept", "another", status=1).output
    assert "another.yaml: name: keep_ids was accepted before" in printed
    assert proposed.exists()


@pytest.mark.slow
def test_a_project_proposes_and_leaves_what_is_there(
    exact_made: MiniProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exact_made.root)
    proposals = proposed_patterns(open_project(exact_made.root), "alpha", load_parameters(exact_made.root).datasets, 1)
    assert proposals
    unknown = cortex("learn", "--project", "gamma", status=1).output
    assert "params.yaml has no project gamma" in unknown
    # the small project repeats nothing often enough for the command, which asks for two occurrences
    monkeypatch.setattr(team_patterns, "proposed_patterns", lambda *_: proposals)
    out = tmp_path / "proposed"
    words = ("learn", "--project", "alpha", "--least", "2", "--most", "2", "--out", str(out))
    learnt = cortex(*words)
    files = sorted(out.glob("*.yaml"))
    assert 1 <= len(files) <= 4
    assert f"{len(files)} proposed in {out}; 0 were there already" in learnt.stderr
    files[0].write_text(OWN)
    assert f"0 proposed in {out}; {len(files)} were there already" in cortex(*words).stderr
    assert files[0].read_text() == OWN


@pytest.mark.slow
def test_the_gateway_reads_patterns_of_pinned_files(exact_made: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exact_made.root)
    project = open_project(exact_made.root)
    assert not served_patterns(project, "alpha", exact_made.version("repository_files@alpha")).languages
    assert not served_patterns(project, "gamma", None).languages
    files = REPOSITORY_FILES.read(exact_made.root / "data/repository_files/alpha")
    assert read_patterns(files) == []
    message = cortex("check", "sources/alpha", "--project", "alpha").stderr
    assert "0 patterns checked, 0 places break one" in message


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


def test_a_review_is_a_row_with_its_words(
    example_project: Any, exported: pl.DataFrame, settings: DatasetSettings
) -> None:
    tables = tables_of(example_project, exported, settings)
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


def test_trackers_have_reviews(
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
    tables = tables_of(example_project, pl.concat([files, *rows]), settings)
    all_rows = pl.concat([tables[name] for name in tables if name != "manifest"])
    (example,) = all_rows.filter(pl.col("origin") == "review").iter_rows(named=True)
    assert example["completion"] == "return 1"
    of_reviews = tables["manifest"].filter(pl.col("origin") == "review")
    assert set(of_reviews["left_out"].drop_nulls()) == {"review_without_result"}
