import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines.cli.status import count_states, state
from cortex_pipelines.execution.sandbox import sandbox
from cortex_pipelines.projects import status_cache
from cortex_pipelines.projects.doctor import _sandbox, check_machine
from cortex_pipelines.projects.reproduce import Reproduction, VersionComparison
from cortex_pipelines.projects.status import status_rows
from cortex_pipelines.projects.status_cache import FILE, cache_status, collect_state, read_cached_status
from cortex_pipelines.versioning.dagster.instance import close_databases, open_instance
from cortex_pipelines_tests.versioning.toy import Workbench

ROWS: list[dict[str, Any]] = [{"asset": "words", "rows": 3}]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("params.yaml", "dvc.lock", "data/words/a/words.parquet", "cache/ab/cd"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    monkeypatch.setattr(status_cache, "_SETTLED_SECONDS", -3600.0)
    cache_status(tmp_path, collect_state(tmp_path, [str(tmp_path / "cache")]), ROWS)
    assert read_cached_status(tmp_path) == ROWS
    return tmp_path


def same_size_and_time(root: Path) -> None:
    path = root / "params.yaml"
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # file systems keep times in steps
        path.write_text("two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_in_its_place(root: Path) -> None:
    path = root / "data/words/a/words.parquet"
    shutil.copy2(path, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a parameter": lambda root: (root / "params.yaml").write_text("longer"),
    "a parameter of the same size, its time set back": same_size_and_time,
    "an output replaced by its copy": another_in_its_place,
    "an output gone": lambda root: (root / "data/words/a/words.parquet").unlink(),
    "a file more": lambda root: (root / "data/words/a/stray").write_text(""),
    "a folder more": lambda root: (root / "data/words/b").mkdir(),
    "a lock more": lambda root: (root / "releases.lock").write_text("{}"),
    "an object of DVC's cache gone": lambda root: (root / "cache/ab/cd").unlink(),
    "an answer that is cut off": lambda root: (root / FILE).write_text('{"rows": ['),
    "no answer kept": lambda root: (root / FILE).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_is_forgotten_when_anything_is_touched(root: Path, change: str) -> None:
    CHANGES[change](root)
    assert read_cached_status(root) is None


def test_what_no_version_depends_on_changes_nothing_and_links_count(root: Path) -> None:
    (root / "data/words/a/__pycache__").mkdir()
    (root / "notes.txt").write_text("")
    assert read_cached_status(root) == ROWS
    (root / "data" / "link").symlink_to(root / "notes.txt")
    cache_status(root, collect_state(root), ROWS)
    assert read_cached_status(root) == ROWS
    (root / "notes.txt").write_text("")
    assert read_cached_status(root) is None


def test_no_answer_is_kept_about_what_was_touched_this_moment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / FILE).unlink()
    monkeypatch.setattr(status_cache, "_SETTLED_SECONDS", 3600.0)
    cache_status(root, collect_state(root), ROWS)
    assert not (root / FILE).exists()


@pytest.mark.parametrize("remote_store", ["mlflow", "dagster"])
def test_no_answer_is_stored_beside_a_server(root: Path, monkeypatch: pytest.MonkeyPatch, remote_store: str) -> None:
    if remote_store == "mlflow":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example.org:5000")
    else:
        (root / ".dagster").mkdir()
        (root / ".dagster" / "dagster.yaml").write_text("storage: {postgres: {}}\n")
    assert read_cached_status(root) is None
    (root / FILE).unlink()
    cache_status(root, collect_state(root), ROWS)
    assert not (root / FILE).exists()


def row(asset: str, partition: str | None, **changes: Any) -> dict[str, Any]:
    version = "0" * 32 + ".dir"
    versions = dict.fromkeys(("data_version", "dvc_md5", "mlflow_digest"), version)
    usual = {**versions, "run_id": "1", "fresh": True, "reason": "", "rows": 1234, "agree": True}
    return {"asset": asset, "partition": partition, **usual, **changes}


SHOWN = [
    row("words", "b"),
    row("words", "a", fresh=False, reason="params.yaml:loudness modified"),
    row("tally", None, dvc_md5=None, data_version=None, fresh=False, reason="never made", rows=0),
    row("page", "a", mlflow_digest=None, agree=False),
    row("page", "b", data_version=None, fresh=False),
]


def test_the_table_is_by_project_and_states_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("cortex_pipelines.cli.status._rows", lambda root: SHOWN)
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()][2:]
    assert [line[0] for line in lines[:-1]] == [*("a", "words", "page"), *("b", "words", "page"), *("all", "tally")]
    assert lines[1][1:] == ["1,234", "0" * 12, "stale", "params.yaml:loudness", "modified"]
    assert "(views differ)" in " ".join(lines[2])
    assert " ".join(lines[-1]) == "2 fresh, 1 stale, 2 missing"
    assert [state(row) for row in SHOWN] == ["fresh", "stale", "missing", "fresh", "missing"]
    assert count_states([]) == "0 fresh, 0 stale, 0 missing"


def test_of_many_projects_a_line_each_and_of_one_its_outputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [f"p{number:02d}" for number in range(21)]
    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.setenv("CORTEX_ROOT", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    rows = [*(row("words", name, fresh=name != "p07") for name in names), row("tally", None)]
    monkeypatch.setattr("cortex_pipelines.cli.status._rows", lambda root: rows)
    monkeypatch.setattr("cortex_pipelines.cli.status.current_project", lambda: Mock(selected=names.index))
    lines = CliRunner().invoke(main, ["status"]).stdout.splitlines()
    shown = [" ".join(line.split()) for line in lines if line.strip()][2:]
    counts = {"p07": "0 fresh, 1 stale, 0 missing"}
    assert shown[:21] == [f"{name} {counts.get(name, '1 fresh, 0 stale, 0 missing')}" for name in names]
    assert [line.split()[0] for line in shown[21:-1]] == ["all", "tally"]
    assert shown[-1].startswith("21 fresh, 1 stale, 0 missing; `cortex status --project NAME`")
    of_one = CliRunner().invoke(main, ["status", "--project", "p07", "--json"]).stdout
    assert [entry["asset"] for entry in json.loads(of_one)] == ["words", "tally"]


def test_a_sandbox_that_works_is_named_and_its_absence_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "unavailable", lambda: "no sandbox on this machine: refused")
    finding = _sandbox()
    assert (finding.good, finding.needed) == (False, False), "data can be made without one"
    assert finding.detail.startswith("no sandbox on this machine: refused; tests and generated")
    assert "apparmor_restrict_unprivileged_userns" in finding.remedy
    monkeypatch.setattr(sandbox, "unavailable", lambda: None)
    finding = _sandbox()
    assert (finding.good, finding.detail) == (True, "works")


def comparison(determinism: str, *, identical: bool) -> VersionComparison:
    return VersionComparison("stage", determinism, "a", "a" if identical else "b", "")


@pytest.mark.parametrize(
    ("determinism", "same_processor", "expected"),
    [("exact", True, False), ("exact", False, False), ("machine", True, False), ("machine", False, True)],
)
def test_a_model_may_differ_only_on_another_processor(determinism: str, same_processor: bool, expected: bool) -> None:
    compared = (comparison("exact", identical=True), comparison(determinism, identical=False))
    assert Reproduction("m version 1", "c", Path(), same_processor, compared).is_reproduced is expected


def test_the_status_of_a_read_only_project_is_found_without_writing(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run_all()
    (bench.root / "data" / "loud" / "b" / "more.txt").write_text("more")
    expected = list(status_rows(bench.project(), bench.instance()))
    close_databases()

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in bench.root.rglob("*")}

    access, before = os.access, times()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    assert list(status_rows(bench.project(), open_instance(bench.root))) == expected
    assert times() == before
    assert {row["fresh"] for row in expected} == {True, False}


def test_the_doctor_says_that_a_folder_is_in_no_git_repository(tmp_path: Path) -> None:
    def missing() -> set[str]:
        return {check.what for check in check_machine(tmp_path) if not check.good and check.needed}

    (tmp_path / ".dvc").mkdir()
    assert "git repository" in missing()
    (tmp_path / ".dvc" / "config").write_text("[core]\nno_scm = true\n")
    assert "git repository" not in missing(), "DVC was told to do without"
    (tmp_path / ".dvc" / "config").write_text("[core\n")
    assert "git repository" in missing()


def test_the_doctor_says_that_a_repository_is_of_another_user(tmp_path: Path, monkeypatch) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    (check,) = [check for check in check_machine(tmp_path) if check.what == "git repository"]
    assert "dubious ownership" in check.detail
    assert "safe.directory" in check.remedy
