import json
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from cortex_pipelines.privacy.assets import compliance
from cortex_pipelines.privacy.compliance import check_compliance, check_logs, report_page
from cortex_pipelines.privacy.pseudonyms import is_forgotten
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import REDACTED_EVENTS
from cortex_pipelines.schemas.ingestion import REDACTIONS, SKIPPED_FILES
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
FILES, COMMITS = pl.DataFrame(CASES["files"]), pl.DataFrame(CASES["commits"])
REDACTED, SKIPPED = REDACTIONS.frame(CASES["redactions"]), SKIPPED_FILES.frame(CASES["skipped"])
STONE = {"project": None, "source": None, "path": None, "author": None}


def test_the_report_says_what_where_what_was_done_and_which_licence(settings: PrivacySettings) -> None:
    report = check_compliance(FILES, COMMITS, REDACTED, SKIPPED, "demo", settings)
    assert report["found"][0] == {"category": "secret", "rule": "password", "severity": "high", "places": 2}
    assert report["files"] == {"published": 3, "trainable": 2, "trainable_without_licence": 0, "redacted": 1}
    message = REDACTED.head(1).with_columns(path=pl.lit("0f" * 20))
    assert report["commits"] == {"published": 1, "redacted": 0}
    more = check_compliance(FILES, COMMITS, pl.concat([REDACTED, message]), SKIPPED, "demo", settings)
    assert (more["files"]["redacted"], more["commits"]) == (1, {"published": 1, "redacted": 1})
    assert report["licences"][0] == {"licence": "0BSD", "files": 1, "bytes": 5, "trainable": 1}
    assert (report["licences"][2]["licence"], report["left_out"]) == ("none", [{"reason": "binary", "files": 2}])
    assert [row["line"] for row in report["places"]] == [1, 2, 3]
    assert report["compliant"] is True
    assert report["problems"] == report["left"] == []
    again = check_compliance(FILES[::-1], COMMITS, REDACTED[::-1], SKIPPED, "demo", settings)
    assert json.dumps(report) == json.dumps(again)


@pytest.mark.parametrize("location", ["file", "message"])
def test_what_is_left_in_the_data_is_not_compliant(settings: PrivacySettings, location: str) -> None:
    """Whatever the settings say: an address that redaction should have taken is counted."""
    text = "ask ada.lovelace@analytical.org\n"
    file_rows = FILES.with_columns(pl.lit(text).alias("text")) if location == "file" else FILES
    history = COMMITS.with_columns(pl.lit(text if location == "message" else "").alias("body"))
    report = check_compliance(file_rows, history, REDACTED, SKIPPED, "demo", settings)
    assert report["compliant"] is False
    (remaining,) = report["left"]
    assert (remaining["rule"], remaining["places"]) == ("email", 3 if location == "file" else 1)
    assert "Personal data is left" in report_page(report)


def test_settings_alone_break_no_rule_but_training_without_a_licence_does(settings: PrivacySettings) -> None:
    only = settings.model_copy(update={"redact": ("secret",)})
    report = check_compliance(FILES, COMMITS, REDACTED, SKIPPED, "demo", only)
    assert report["compliant"] is True
    assert report["action"]["personal"] == "left as is"
    unlicensed = FILES.with_columns(pl.lit(None, dtype=pl.String).alias("licence"))
    report = check_compliance(unlicensed, COMMITS, REDACTED, SKIPPED, "demo", settings)
    assert report["compliant"] is False
    assert report["problems"][0].startswith("2 files without a licence may be trained on")
    assert "2 files without a licence" in report_page(report)


def test_logs_are_compliant_by_what_they_hold(settings: PrivacySettings) -> None:
    only = settings.model_copy(update={"redact": ("secret",)})
    redacted = REDACTED_EVENTS.empty()

    def checked(payload: dict[str, str], settings_used: PrivacySettings) -> bool:
        rows = {"file": ["a.jsonl"], "payload": [json.dumps(payload)]}
        return bool(check_logs(pl.DataFrame(rows), redacted, settings_used)["compliant"])

    assert checked({"title": "Mend the lock"}, only)
    assert not checked({"title": "ask ada.lovelace@analytical.org"}, only)
    assert checked({"title": "Mend the lock"}, settings)


def test_the_page_escapes_and_shows_empty_tables(settings: PrivacySettings) -> None:
    page = report_page(check_compliance(FILES, COMMITS, REDACTED, SKIPPED, "demo", settings))
    assert "&lt;c&gt;.py" in page
    assert "<c>" not in page
    nothing = [frame.clear() for frame in (FILES, COMMITS, REDACTED, SKIPPED)]
    assert report_page(check_compliance(*nothing, "none", settings)).count("<p>None.</p>") == 5


@pytest.mark.parametrize(("stone", "covered"), CASES["a_tombstone_covers_what_all_its_fields_name"])
def test_a_tombstone_covers_what_all_its_fields_name(stone: dict[str, str], covered: bool, settings) -> None:
    with_tombstones = settings.model_copy(update={"forgotten": (Tombstone.model_validate({**STONE, **stone}),)})
    assert is_forgotten(with_tombstones, "demo", "git:a", "src/secret/k.py", "0a1b") is covered


def test_only_a_whole_source_is_covered_where_no_path_is_asked_for(settings: PrivacySettings) -> None:
    for field, value, covered in (("path", "**", False), ("source", "git:a", True)):
        stones = (Tombstone.model_validate({**STONE, field: value}),)
        assert is_forgotten(settings.model_copy(update={"forgotten": stones}), "demo", "git:a") is covered
    assert not is_forgotten(settings, "demo", "git:a", "a.py", "0a1b")


def test_settings_refuse_what_could_not_work(settings: PrivacySettings) -> None:
    with pytest.raises(ValidationError, match="at least one of project"):
        Tombstone.model_validate(STONE)
    with pytest.raises(ValidationError, match="is not a regular expression"):
        PrivacySettings.model_validate({**settings.model_dump(), "allowed": ["("]})


def test_the_asset_writes_the_report_and_a_page(tmp_path: Path, settings: PrivacySettings) -> None:
    files_folder, history, out = (tmp_path / name for name in ("files", "commits", "out"))
    for folder in (files_folder, history, out):
        folder.mkdir()
    FILES.write_parquet(files_folder / "files.parquet")
    SKIPPED.write_parquet(files_folder / "skipped_files.parquet")
    REDACTED.write_parquet(files_folder / "redactions.parquet")
    REDACTED.clear().write_parquet(history / "redactions.parquet")
    COMMITS.write_parquet(history / "commits.parquet")
    cache = RowCache(tmp_path / "cache", "1")
    compliance(files_folder, history, settings, "demo", out, cache)
    before = (out / "compliance.json").read_bytes()
    compliance(files_folder, history, settings, "demo", out, cache)
    assert (out / "compliance.json").read_bytes() == before
    assert json.loads((out / "compliance.json").read_text())["files"]["published"] == 3
    assert "Compliance of demo" in (out / "report.html").read_text()
