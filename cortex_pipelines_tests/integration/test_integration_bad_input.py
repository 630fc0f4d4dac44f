import errno
import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from click.testing import CliRunner

from cortex_pipelines.cli.main import main
from cortex_pipelines_tests.integration.miniproject import MiniProject, git
from cortex_pipelines_tests.messages import missing
from cortex_pipelines_tests.parameters import load_cases

CASES = load_cases(__file__)
pytestmark = pytest.mark.slow


def fails(mini: MiniProject, *words: str) -> str:
    """What a command says that has to fail and to leave every output and lock as it is."""
    before = mini.outputs()
    errors = mini.cortex(*words, status=1).stderr
    assert mini.outputs() == before
    assert "Traceback" not in errors
    return errors


@pytest.fixture(scope="module")
def shared_copy(exact_made: MiniProject, tmp_path_factory: pytest.TempPathFactory) -> MiniProject:
    return exact_made.copy(tmp_path_factory.mktemp("misconfigured") / "project")


@pytest.fixture
def misconfigured(shared_copy: MiniProject) -> Iterator[MiniProject]:
    """A project of which a test may change params.yaml and nothing else; one copy serves them all."""
    path = shared_copy.root / "params.yaml"
    before = path.read_bytes()
    yield shared_copy
    path.write_bytes(before)


@pytest.mark.parametrize(("section", "key", "value", "words"), CASES["a_wrong_value_in_params_names_the_key"])
def test_wrong_values_name_a_key(misconfigured: MiniProject, section: str, key: str, value: Any, words: str) -> None:
    misconfigured.edit_params(lambda values: values[section].update({key: value}))
    errors = fails(misconfigured, "run")
    assert missing(errors, "params.yaml", words) == []


def test_what_no_profile_knows_and_syntax_errors_are_named(misconfigured: MiniProject) -> None:
    misconfigured.edit_params(lambda values: values.pop("projects"))
    assert "params.yaml: projects: Field required" in fails(misconfigured, "status")
    path = misconfigured.root / "params.yaml"
    path.write_text(path.read_text() + "release: [1, 2\n")
    lines = path.read_text().count("\n")
    for words in (["run"], ["add", "more", "sources/beta"], ["update"]):
        errors = fails(misconfigured, *words)
        assert "params.yaml cannot be read" in errors
        assert f"line {lines + 1}" in errors or f"line {lines}" in errors
    assert "MISSING params.yaml" in misconfigured.cortex("doctor", status=1).stdout


def test_repositories_that_are_gone_or_empty(data_made: MiniProject) -> None:
    empty = data_made.root / "sources" / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    before = (data_made.root / "params.yaml").read_bytes()
    errors = fails(data_made, "add", "empty", "sources/empty")
    assert "the repository has no commits yet" in errors
    assert (data_made.root / "params.yaml").read_bytes() == before
    (data_made.root / "sources" / "alpha").rename(data_made.root / "sources" / "elsewhere")
    errors = fails(data_made, "update", "alpha")
    assert missing(errors, "git:sources/alpha", "params.yaml") == []
    (data_made.root / "sources" / "beta").rename(data_made.root / "sources" / "too")
    assert "correct `directory` in params.yaml" in fails(data_made, "update", "beta")


def archive(path: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path.read_bytes()


def test_a_truncated_archive_and_paths_that_lead_out_of_one(data_made: MiniProject) -> None:
    path = data_made.root / "sources" / "cut.tar.gz"
    data = archive(path, {"a.py": os.urandom(50000).hex().encode()})
    path.write_bytes(data[: len(data) // 2])
    data_made.cortex("add", "cut", "sources/cut.tar.gz", status=1)
    data_made.cortex("sync")
    errors = fails(data_made, "run", "repository_files", "--project", "cut")
    assert "FAILED repository_files@cut: " in errors
    assert "archive:sources/cut.tar.gz: the archive is truncated" in errors
    assert not (data_made.root / "data" / "repository_files" / "cut").exists()
    path = data_made.root / "sources" / "out.tar.gz"
    archive(path, {"../../evil.py": b"x = 1\n", "good.py": b"y = 2\n"})
    data_made.cortex("add", "--no-control", "out", "sources/out.tar.gz")
    data_made.cortex("run", "repository_files", "--project", "out")
    folder = data_made.root / "data" / "repository_files" / "out"
    assert pl.read_parquet(folder / "files.parquet")["path"].to_list() == ["good.py"]
    (skipped,) = pl.read_parquet(folder / "skipped_files.parquet").to_dicts()
    assert (skipped["path"], skipped["reason"]) == ("../../evil.py", "unsafe_path")
    assert not list(data_made.root.rglob("evil.py"))


def test_files_that_are_not_text_or_do_not_parse_are_no_reason_to_stop(data_made: MiniProject) -> None:
    folder = data_made.root / "sources" / "alpha"
    (folder / "latin.py").write_bytes("name = 'caf\xe9'\n".encode("latin-1"))
    data_made.commit_to_alpha({"broken.py": "def half(:\n    return (\n\ndef whole():\n    pass\n"})
    data_made.cortex("update", "alpha")
    data_made.cortex("run", "repository_files", "code_units", "architecture_facts", "annotated_units")
    data = data_made.root / "data"
    skipped = pl.read_parquet(data / "repository_files" / "alpha" / "skipped_files.parquet")
    (row,) = skipped.filter(pl.col("path") == "latin.py").to_dicts()
    assert row["reason"] == "not_utf8"
    units = pl.read_parquet(data / "annotated_units" / "alpha" / "units.parquet")
    assert units.filter(pl.col("path") == "broken.py")["has_error"].any()
    assert units.filter(pl.col("path") != "broken.py").height > 100


def test_log_lines_that_are_no_json_or_changed_after_they_were_pinned(data_made: MiniProject) -> None:
    log = data_made.root / "data/samples/coordination/masters/coordinator/logs"
    file = log / "routing-decisions.jsonl"
    size = file.stat().st_size
    with file.open("a") as lines:
        lines.write("this is no JSON\n")
    data_made.cortex("update")
    events = data_made.root / "data" / "coordination_events" / "events.parquet"
    before = pl.read_parquet(events)
    data_made.cortex("run", "coordination_events")
    assert pl.read_parquet(events).equals(before)
    rejected = pl.read_parquet(events.with_name("rejected_events.parquet"))
    (row,) = rejected.filter(pl.col("byte_offset") >= size).to_dicts()
    assert row["file"].endswith("routing-decisions.jsonl")
    assert row["reason"]
    file = data_made.root / "data/samples/coordination/events/routing-events.jsonl"
    file.write_bytes(file.read_bytes().replace(b"a", b"b", 1))
    data_made.edit_params(lambda values: values["coordination"].update(test_rows=["^none-"]))
    errors = fails(data_made, "run", "coordination_events")
    assert missing(errors, "routing-events.jsonl changed in its first", "cortex update") == []


def test_no_base_weights(finished_copy: MiniProject) -> None:
    shutil.rmtree(finished_copy.root / "models" / "base")
    finished_copy.edit_params(lambda values: values["adapters"].update(seed=3))
    errors = fails(finished_copy, "run", "code_adapter", "--project", "alpha")
    assert missing(errors, "FAILED code_adapter@alpha: ", "no model weights") == []
    assert "correct `directory` under models in params.yaml" in errors
    findings = finished_copy.cortex("doctor", status=1).stdout
    assert missing(findings, "MISSING weights: base", "ok      weights: encoder") == []
    assert "no model weights" in fails(finished_copy, "update")


def test_a_project_too_small_for_data_sets_keeps_the_last_good_ones(data_made: MiniProject) -> None:
    data_made.edit_params(lambda values: values["datasets"].update(max_prompt_bytes=1))
    errors = fails(data_made, "run", "completion_dataset", "--project", "beta")
    assert missing(errors, "FAILED completion_dataset@beta: ", "cortex add") == []


def test_names_and_inputs_that_are_not_there(begun: MiniProject) -> None:
    errors = fails(begun, "run", "code_units@alpha")
    assert missing(errors, "missing: data/repository_files/alpha", "`cortex run NAME --upstream`") == []
    errors = fails(begun, "run", "code_unit")
    assert missing(errors, "no asset code_unit; did you mean code_units?") == []
    errors = fails(begun, "run", "code_units@alpha", "--project", "beta")
    assert "name one project at a time, not alpha and beta" in errors
    errors = fails(begun, "run", "--project", "gamma")
    assert missing(errors, "params.yaml has no project gamma", "; there is: alpha, beta") == []
    assert "params.yaml has no project gamma" in fails(begun, "update", "gamma")


def test_a_folder_that_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORTEX_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["status"])
    assert result.exit_code == 1
    assert f"no params.yaml in {tmp_path.resolve()} or above it" in result.stderr


def test_a_stage_list_that_is_out_of_date(data_made: MiniProject) -> None:
    path = data_made.root / "dvc.yaml"
    path.write_text(path.read_text().replace("cortex run code_units", "cortex run  code_units"))
    assert "run `cortex dvc-yaml`" in fails(data_made, "dvc-yaml", "--check")
    assert "run `cortex dvc-yaml`" in fails(data_made, "run")
    data_made.cortex("dvc-yaml")
    data_made.cortex("dvc-yaml", "--check")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data")


def test_a_full_disk_leaves_all_as_it_was_until_there_is_space(data_made: MiniProject) -> None:
    words, scratch = ("run", "code_units", "--project", "beta"), data_made.root / ".cortex" / "tmp"
    data_made.edit_params(lambda values: values["extraction"].update(max_header_chars=30))
    for function in CASES["a_full_disk_before_publishing"]:
        with mock.patch(function, full):
            errors = fails(data_made, *words)
        assert missing(errors, "FAILED code_units@beta: OSError: ", "No space left on device") == []
        assert not list(scratch.iterdir())
    before = data_made.lock()
    with mock.patch("dvc.output.Output.commit", full):
        assert "No space left on device" in data_made.cortex(*words, status=1).stderr
    assert data_made.lock() == before, "no version of what DVC does not have"
    data_made.cortex(*words)
    (row,) = [row for row in data_made.status() if row["asset"] == "code_units" and row["partition"] == "beta"]
    assert row["fresh"]
    assert row["data_version"] == row["dvc_md5"] == row["mlflow_digest"]
    changed = {address for address, stage in data_made.lock().items() if before[address] != stage}
    assert changed == {"code_units@beta"}
    assert not list(scratch.iterdir())


def test_a_full_disk_says_so_on_the_command_line(begun: MiniProject) -> None:
    with mock.patch("cortex_pipelines.versioning.dvc.stages.write", full):
        errors = begun.cortex("dvc-yaml", status=1).stderr
    assert "the disk is full: free some space" in errors


def test_a_failure_in_one_project_does_not_stop_the_other(begun: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(begun.root / ".cortex" / "cache" / "git")
    (begun.root / "sources" / "alpha").rename(begun.root / "sources" / "gone")
    errors = begun.cortex("run", "repository_files", "code_units", status=1).stderr
    assert "FAILED repository_files@alpha: " in errors
    assert "cannot be fetched" in errors or "no repository at" in errors
    assert set(begun.lock()) == {"repository_files@beta", "code_units@beta"}


def test_where_an_error_comes_from_can_be_asked_for(begun: MiniProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_DEBUG", "1")
    monkeypatch.chdir(begun.root)
    result = CliRunner().invoke(main, ["run", "nothing"])
    assert result.exception is not None
    assert "no asset nothing" in str(result.exception)
