"""`make audit` with a file of advisories reports vulnerable locked packages."""

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


def reported(process: subprocess.CompletedProcess[str]) -> dict[str, list[str]]:
    """Advisory ids by package, after checking that all packages were audited."""
    answer = json.loads(process.stdout.split("\n", 1)[1])
    assert len(answer["dependencies"]) == len(pins("constraints.txt"))
    rows = {dependency["name"]: [v["id"] for v in dependency["vulns"]] for dependency in answer["dependencies"]}
    return {name: sorted(ids) for name, ids in rows.items() if ids}


def test_an_advisory_on_a_locked_version_is_reported_and_on_another_is_not(tmp_path: Path) -> None:
    zero, fixed = {"introduced": "0"}, {"fixed": PIN}
    advisories = advisory("click", 8)
    advisories["affected"][0]["versions"] = [pins("constraints.txt")["click"]]
    made_up = [
        advisory("Jinja2", 1, zero, {"fixed": "99"}),
        advisory("jinja2", 2, zero, fixed),
        advisory("jinja2", 3, {"last_affected": PIN}, zero),
        advisory("jinja2", 4, zero, fixed, {"introduced": "98"}),
        advisory("jinja2", 5, {"introduced": PIN}),
        advisory("jinja2", 6, zero, withdrawn="2026-01-01T00:00:00Z"),
        advisory("no-such-package", 7, zero),
        advisories,
    ]
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as wheel:
        for package in made_up:
            wheel.writestr(f"{package['id']}.json", json.dumps(package))

    process = audit(archive)

    assert process.returncode == 1, process.stderr
    assert reported(process) == {"jinja2": ["MADE-UP-1", "MADE-UP-3", "MADE-UP-5"], "click": ["MADE-UP-8"]}


def test_nothing_known_is_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(json.dumps(advisory("jinja2", 1, {"introduced": "0"}, {"fixed": PIN})))

    process = audit(path)

    assert process.returncode == 0, process.stderr
    assert reported(process) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", "[1]"])
def test_a_file_without_advisories_is_no_clean_bill(tmp_path: Path, text: str) -> None:
    path = tmp_path / "advisories.json"
    path.write_text(text)

    process = audit(path)

    assert process.returncode == 2
    assert "no advisories in the form of OSV" in process.stdout
