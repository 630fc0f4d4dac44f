import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pytest
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_objects.fs.local import LocalFileSystem

from cortex_pipelines.parallel.processes import JOB_OF
from cortex_pipelines.schemas.table import ContractError, Table
from cortex_pipelines.versioning import peak_memory
from cortex_pipelines.versioning.asset import LoadVersion, VersionedAsset, versioned_asset
from cortex_pipelines.versioning.champions import ChampionPin, ReferenceModel, find_reference, model_folder, model_name
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.graph import Graph
from cortex_pipelines.versioning.materialise import BrokenContractError, ContractCheck, InputMovedError, materialise
from cortex_pipelines.versioning.project import Project, ProjectError, Stage
from cortex_pipelines_tests.versioning.toy import WORDS, Workbench, note_pin, toy_parameters

Compute = Callable[..., Any]


def words_asset(compute: Compute, **given: Any) -> VersionedAsset:
    compute.__name__ = "words"
    compute.__doc__ = "Words of the pinned note."
    return versioned_asset(tables=(WORDS,), code=("toy/words.py",), **given)(compute)


def make(bench: Workbench, asset: VersionedAsset, **given: Any) -> Any:
    from cortex_pipelines.versioning.dvc import stages

    project = Project(bench.root, Graph([asset], [note_pin()], {}), toy_parameters)
    stages.write(project)
    return materialise(Stage(project, asset, "a"), **given)


def frame(*words: str) -> dict[str, pl.DataFrame]:
    return {"words": pl.DataFrame({"word": list(words)}, WORDS.schema)}


def test_an_unchanged_version_is_not_computed_again(bench: Workbench) -> None:
    calls = []

    def compute(note: list[str], observe: Callable[[str, float], None]) -> Any:
        calls.append(note)
        observe("seconds", 1.5)
        return frame(*note)

    first = make(bench, words_asset(compute))
    assert first.computed
    observed = dict(first.observations)
    assert observed.pop("memory_mb") > 50
    assert (observed, first.checks) == ({"seconds": 1.5}, (ContractCheck("words", 2),))
    second = make(bench, words_asset(compute))
    assert not second.computed
    assert second.value == first.value == content_md5(bench.root / "data" / "words" / "a")
    assert len(calls) == 1


def test_what_other_jobs_hold_is_not_memory_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "_SECONDS_BETWEEN_LOOKS", 0.05)
    command = [sys.executable, "-c", "held = b'x' * (200 << 20); print(len(held), flush=True); input()"]

    def observed(**environment: str) -> float:
        values = dict[str, float]()
        with peak_memory.observed_memory(values.__setitem__):
            child = subprocess.Popen(command, env=os.environ | environment, stdin=-1, stdout=-1, text=True)
            assert child.stdout
            child.stdout.readline()
            time.sleep(0.5)
            child.communicate("\n")
        return values["memory_mb"]

    assert observed() - observed(**{JOB_OF: str(os.getpid())}) > 150


def test_code_that_changed_after_it_was_loaded_makes_nothing(bench: Workbench) -> None:
    project = bench.project()
    (bench.root / "toy" / "words.py").write_text("x")
    with pytest.raises(InputMovedError, match="changed on disk after this process loaded it"):
        materialise(Stage(project, project.graph.assets["words"], "a"))
    assert set(bench.lock()) <= {"parameters"}


def test_a_pin_that_moves_meanwhile_publishes_nothing(bench: Workbench) -> None:
    def compute(note: list[str]) -> Any:
        bench.edit("sources.lock", lambda v: v["projects"].update(a=["three"]))
        return frame(*note)

    with pytest.raises(InputMovedError, match=r"sources.lock:projects.a changed while"):
        make(bench, words_asset(compute))
    assert set(bench.lock()) <= {"parameters"}
    assert not (bench.root / "data" / "words" / "a").exists()


def test_what_dvc_records_differently_is_an_error(bench: Workbench) -> None:
    real = dvc_store.commit

    def other(*given: Any) -> Any:
        return "0" * 32 + ".dir", real(*given)[1]

    with (
        mock.patch.object(dvc_store, "commit", other),
        pytest.raises(InputMovedError, match="DVC recorded a version other than the computed one"),
    ):
        make(bench, words_asset(lambda note: frame(*note)))


def test_an_edit_through_a_hard_link_does_not_stay_in_the_cache(bench: Workbench) -> None:
    version = bench.make("words", "a").value
    file = bench.root / "data" / "words" / "a" / "words.parquet"
    before = file.read_bytes()
    file.unlink()
    (stored,) = (f for f in (bench.root / ".dvc" / "cache").rglob("*") if f.is_file() and f.read_bytes() == before)
    stored.chmod(0o644)
    file.hardlink_to(stored)
    file.write_bytes(before + b"x")
    stored.chmod(0o444)
    assert (bench.make("words", "a").value, stored.read_bytes()) == (version, before)
    assert content_md5(file.parent) == version


def test_a_broken_contract_publishes_nothing_and_says_what_breaks_it(bench: Workbench) -> None:
    good = make(bench, words_asset(lambda note: frame(*note)))
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "one"]))
    with pytest.raises(BrokenContractError, match="nothing was published, because words: ") as err:
        make(bench, words_asset(lambda note: frame(*note)))
    assert err.value.checks[0].rows == 2
    assert content_md5(bench.root / "data" / "words" / "a") == good.value


def test_a_table_that_fails_a_further_check_is_not_published(bench: Workbench) -> None:
    def never(rows: pl.DataFrame, table: Table, pages: Path) -> ContractCheck:
        return ContractCheck(table.name, rows.height, ("too quiet",), str(pages))

    with pytest.raises(BrokenContractError, match="words: too quiet"):
        make(bench, words_asset(lambda note: frame(*note)), validate=never)


def test_a_table_too_many_or_too_few(bench: Workbench) -> None:
    with pytest.raises(ContractError, match=r"returned tables \[\], expected \['words'\]"):
        make(bench, words_asset(lambda note: {}))


def test_an_asset_needs_a_stage_list_that_knows_it(bench: Workbench) -> None:
    (bench.root / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(ProjectError, match="run `cortex dvc-yaml`"):
        bench.make("words", "a")


def test_a_lock_that_is_never_free_and_one_that_is_damaged(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.lock import LockError
    from dvc.rwlock import RWLockFileCorruptedError

    def run_locked() -> None:
        raise LockError("held by pid 1")

    monkeypatch.setattr(dvc_store, "_LOCK_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(dvc_store, "_LOCK_POLL_SECONDS", 0.01)
    with pytest.raises(ProjectError, match="DVC's lock stayed busy: held by pid 1"):
        dvc_store.retry_while_locked(bench.root, run_locked)

    def damaged() -> None:
        raise RWLockFileCorruptedError(".dvc/tmp/rwlock")

    with pytest.raises(ProjectError, match=r"delete .dvc/tmp/rwlock"):
        dvc_store.retry_while_locked(bench.root, damaged)


def test_a_lock_is_waited_for(bench: Workbench) -> None:
    from dvc.lock import LockError

    tries = []

    def soon() -> str:
        tries.append(time.monotonic())
        if len(tries) < 3:
            raise LockError("held")
        return "done"

    assert dvc_store.retry_while_locked(bench.root, soon) == "done"
    assert len(tries) == 3


def test_a_stage_is_its_own_under_dvc_however_dvc_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not dvc_store.under_dvc("words@a")
    for name in ("words@a", "../dvc.yaml:words@a"):
        monkeypatch.setenv("DVC_STAGE", name)
        assert dvc_store.under_dvc("words@a")
        assert not dvc_store.under_dvc("words@b")


def test_a_reference_is_found_in_the_workspace_or_in_the_cache(bench: Workbench) -> None:
    first = bench.make("words", "a").value
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    second = bench.make("words", "a").value
    project = bench.project()
    pin = ChampionPin(champion=first)
    reference = find_reference(project, "words", "a", second, pin)
    assert reference == ReferenceModel(first, bench.root / ".cortex" / "models" / first)
    assert content_md5(reference.folder) == first
    assert model_folder(project, "words", "a", second) == bench.root / "data" / "words" / "a"
    # the champion itself, judged again, meets the one before it: here the baseline
    assert find_reference(project, "words", "a", first, pin) is None
    pin = ChampionPin(champion=second, previous=first)
    assert find_reference(project, "words", "a", second, pin) == reference


def test_a_reference_whose_files_are_lost(bench: Workbench) -> None:
    version = bench.make("words", "a").value
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    bench.make("words", "a")
    project = bench.project()
    for file in (bench.root / ".dvc" / "cache").rglob("*"):
        if file.is_file() and not file.name.endswith(".dir"):
            file.unlink()
    with pytest.raises(ProjectError, match=r"of words-a, named in releases.lock, is not in the DV"):
        model_folder(project, "words", "a", version)
    missing = "0" * 32 + ".dir"
    with pytest.raises(ProjectError, match=r"`dvc fetch --all-commits` .* or `cortex rollback`"):
        model_folder(project, "words", "a", missing)
    assert not (bench.root / ".cortex" / "models" / version).exists()
    assert model_name("words", None) == "words"


def test_a_reference_that_was_pulled_damaged_is_removed_from_the_cache(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    version = bench.make("words", "a").value
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    bench.make("words", "a")
    cache = bench.root / ".dvc" / "cache" / "files" / "md5"
    (entry,) = json.loads((cache / version[:2] / version[2:]).read_text())
    damaged, whole = cache / entry["md5"][:2] / entry["md5"][2:], cache / version[:2] / version[2:]
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(content[::-1])
    damaged.chmod(0o444)
    with Repo(str(bench.root)) as repo:  # as `dvc pull` notes what it brings, unread
        repo.cache.local.state.save(str(damaged), LocalFileSystem(), HashInfo("md5", entry["md5"]))
    with pytest.raises(ProjectError, match=r"is not in the DVC cache: `dvc fetch --all-commits`"):
        model_folder(bench.project(), "words", "a", version)
    assert f"{damaged} was damaged and is removed" in caplog.text
    assert (damaged.exists(), whole.exists()) == (False, True)


def test_an_asset_reads_the_version_of_any_project_that_its_settings_name(bench: Workbench) -> None:
    first = bench.make("words", "a").value
    before = (bench.root / "data" / "words" / "a" / "words.parquet").read_bytes()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    bench.make("words", "a")

    @versioned_asset(code=("toy/page.py",))
    def borrowed(load_version: LoadVersion, project: str, out: Path) -> None:
        (out / project).write_bytes((load_version("words", "a", first) / "words.parquet").read_bytes())

    @versioned_asset(code=("toy/page.py",))
    def lost(load_version: LoadVersion) -> None:
        load_version("words", "b", "0" * 32 + ".dir")

    project = Project(bench.root, Graph([borrowed, lost], [], {}), toy_parameters)
    stages.write(project)
    materialise(Stage(project, borrowed, "b"))
    assert (bench.root / "data" / "borrowed" / "b" / "b").read_bytes() == before
    with pytest.raises(ProjectError, match=r"of words-b, named in params.yaml or releases.lock, .* or name there"):
        materialise(Stage(project, lost, "a"))


def test_a_fan_in_reads_every_project(bench: Workbench) -> None:
    bench.run_all()
    assert pl.read_parquet(bench.root / "data" / "tally" / "tally.parquet").rows() == [("a", 2), ("b", 2)]
    page = (bench.root / "data" / "page" / "a" / "page.txt").read_text()
    assert json.loads(page[page.index("{") : page.index("}") + 1])["total"] == 4


def test_a_fan_in_of_no_project_is_made_until_there_is_one(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path, ())
    bench.repro(["tally"])
    assert pl.read_parquet(tmp_path / "data" / "tally" / "tally.parquet").height == 0
    assert not bench.make("tally", None).computed
    bench.edit("params.yaml", lambda values: values["projects"].update(a={"title": "a"}))
    bench.edit("sources.lock", lambda values: values.update(projects={"a": ["one", "two"]}))
    bench.run_all()
    assert pl.read_parquet(tmp_path / "data" / "tally" / "tally.parquet").rows() == [("a", 2)]
