"""`make audit` from a file of advisories: what is locked and vulnerable is reported."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines_tests.supply.test_supply_lock import pins

ROOT = Path(__file__).parents[2]
PIN = pins("constraints.txt")["jinja2"]


def advisory(name: str, number: int, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"name": name, "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}],
    }
    return {"id": f"MADE-UP-{number}", "summary": "A hole.", "affected": [affected], **more}


def audit(database: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), "--format=json"],
        env={**os.environ, "AUDIT_DB": str(database)},
        capture_output=True,
        text=True,
    )


def reported(done: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Ids by package, and that all packages were looked at."""
    answer = json.loads(done.stdout.split("\n", 1)[1])
    assert len(answer["dependencies"]) == len(pins("constraints.txt"))
    rows = {one["name"]: [v["id"] for v in one["vulns"]] for one in answer["dependencies"]}
    return {name: sorted(ids) for name, ids in rows.items() if ids}


def test_an_advisory_on_a_locked_version_is_reported_and_on_another_is_not(
    tmp_path: Path,
) -> None:
    zero, fixed = {"introduced": "0"}, {"fixed": PIN}
    listed = advisory("click", 8)
    listed["affected"][0]["versions"] = [pins("constraints.txt")["click"]]
    made_up = [
        advisory("Jinja2", 1, zero, {"fixed": "99"}),
        advisory("jinja2", 2, zero, fixed),
        advisory("jinja2", 3, {"last_affected": PIN}, zero),
        advisory("jinja2", 4, zero, fixed, {"introduced": "98"}),
        advisory("jinja2", 5, {"introduced": PIN}),
        advisory("jinja2", 6, zero, withdrawn="2026-01-01T00:00:00Z"),
        advisory("no-such-package", 7, zero),
        listed,
    ]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for one in made_up:
            written.writestr(f"{one['id']}.json", json.dumps(one))

    done = audit(archive)

    assert done.returncode == 1, done.stderr
    assert reported(done) == {
        "jinja2": ["MADE-UP-1", "MADE-UP-3", "MADE-UP-5"],
        "click": ["MADE-UP-8"],
    }


def test_nothing_known_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(json.dumps(advisory("jinja2", 1, {"introduced": "0"}, {"fixed": PIN})))

    done = audit(path)

    assert done.returncode == 0, done.stderr
    assert reported(done) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]"])
def test_a_file_without_advisories_is_no_clean_bill(tmp_path: Path, text: str) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(text)

    done = audit(path)

    assert done.returncode == 2
    assert "no advisories in the form of OSV" in done.stdout
