import json
from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from cortex_pipelines.privacy.assets import compliance
from cortex_pipelines.privacy.compliance import check_compliance, report_page
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone
from cortex_pipelines.privacy.tombstones import is_forgotten
from cortex_pipelines.schemas.repositories import REDACTIONS, SKIPPED_FILES


def files() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": ["git:a"] * 3,
            "path": ["a.py", "b.py", "<c>.py"],
            "licence": ["MIT", "MIT", None],
            "size_bytes": [10, 20, 5],
            "trainable": [True, False, True],
        }
    )


def redactions() -> pl.DataFrame:
    row = {"source": "git:a", "path": "<c>.py", "line": 1, "start": 0, "end": 9}
    mail = {"category": "personal", "rule": "email", "severity": "medium"}
    key = {"category": "secret", "rule": "password", "severity": "high"}
    return REDACTIONS.frame(
        [
            {**row, **mail, "placeholder": "redacted-1@example.invalid"},
            {**row, **key, "line": 2, "placeholder": "REDACTED_PASSWORD_00000000"},
            {**row, **key, "line": 3, "placeholder": "REDACTED_PASSWORD_00000000"},
        ]
    )


def skipped() -> pl.DataFrame:
    row = {"source": "git:a", "reason": "binary", "detail": "", "size_bytes": 1}
    return SKIPPED_FILES.frame([{**row, "path": "x"}, {**row, "path": "y"}])


def test_the_report_says_what_where_what_was_done_and_which_licence(
    settings: PrivacySettings,
) -> None:
    report = check_compliance(files(), redactions(), skipped(), "demo", settings)
    assert report["found"][0] == {
        "category": "secret",
        "rule": "password",
        "severity": "high",
        "places": 2,
    }
    assert report["files"] == {
        "published": 3,
        "trainable": 2,
        "trainable_without_licence": 1,
        "redacted": 1,
    }
    assert report["licences"][0] == {"licence": "MIT", "files": 2, "bytes": 30, "trainable": 1}
    assert report["licences"][1]["licence"] == "none"
    assert report["left_out"] == [{"reason": "binary", "files": 2}]
    assert [place["line"] for place in report["places"]] == [1, 2, 3]
    assert report["compliant"] is True
    again = check_compliance(files()[::-1], redactions()[::-1], skipped(), "demo", settings)
    assert json.dumps(report) == json.dumps(again)


def test_what_is_only_found_is_not_compliant(settings: PrivacySettings) -> None:
    only = settings.model_copy(update={"redact": ("secret",)})
    report = check_compliance(files(), redactions(), skipped(), "demo", only)
    assert report["compliant"] is False
    assert report["action"]["personal"] == "left as is"


def test_the_page_escapes_and_shows_empty_tables(settings: PrivacySettings) -> None:
    page = report_page(check_compliance(files(), redactions(), skipped(), "demo", settings))
    assert "&lt;c&gt;.py" in page
    assert "<c>" not in page
    empty = check_compliance(
        files().clear(), redactions().clear(), skipped().clear(), "none", settings
    )
    assert report_page(empty).count("<p>none</p>") == 4


STONE = {"project": None, "source": None, "path": None, "author": None}


@pytest.mark.parametrize(
    ("stone", "covered"),
    [
        ({"project": "demo"}, True),
        ({"project": "other"}, False),
        ({"source": "git:a"}, True),
        ({"source": "git:b"}, False),
        ({"path": "src/secret"}, True),
        ({"path": "src/*/k.py"}, True),
        ({"path": "src/*"}, True),
        ({"path": "**/k.py"}, True),
        ({"path": "*.py"}, False),
        ({"path": "src/secre"}, False),
        ({"path": "src/secret/k?py"}, True),
        ({"author": "0a1b"}, True),
        ({"author": "ffff"}, False),
        ({"project": "demo", "author": "ffff"}, False),
        ({"project": "demo", "source": "git:a", "path": "src/secret/k.py"}, True),
    ],
)
def test_a_tombstone_covers_what_all_its_fields_name(
    stone: dict[str, str], covered: bool, settings: PrivacySettings
) -> None:
    stones = (Tombstone.model_validate({**STONE, **stone}),)
    known = settings.model_copy(update={"forgotten": stones})
    assert is_forgotten(known, "demo", "git:a", "src/secret/k.py", "0a1b") is covered


def test_only_a_whole_source_is_covered_where_no_path_is_asked_for(
    settings: PrivacySettings,
) -> None:
    path = settings.model_copy(
        update={"forgotten": (Tombstone.model_validate({**STONE, "path": "**"}),)}
    )
    whole = settings.model_copy(
        update={"forgotten": (Tombstone.model_validate({**STONE, "source": "git:a"}),)}
    )
    assert not is_forgotten(path, "demo", "git:a")
    assert is_forgotten(whole, "demo", "git:a")
    assert not is_forgotten(settings, "demo", "git:a", "a.py", "0a1b")


def test_settings_refuse_what_could_not_work(settings: PrivacySettings) -> None:
    with pytest.raises(ValidationError, match="covers all"):
        Tombstone.model_validate(STONE)
    with pytest.raises(ValidationError, match="is no regular expression"):
        PrivacySettings.model_validate({**settings.model_dump(), "allowed": ["("]})


def test_the_asset_writes_the_report_and_a_page(tmp_path: Path, settings: PrivacySettings) -> None:
    made, history, out = (tmp_path / name for name in ("files", "commits", "out"))
    for folder in (made, history, out):
        folder.mkdir()
    files().write_parquet(made / "files.parquet")
    skipped().write_parquet(made / "skipped_files.parquet")
    redactions().write_parquet(made / "redactions.parquet")
    redactions().clear().write_parquet(history / "redactions.parquet")
    compliance(made, history, settings, "demo", out)
    report = json.loads((out / "compliance.json").read_text())
    assert report["files"]["published"] == 3
    assert "Compliance of demo" in (out / "report.html").read_text()
