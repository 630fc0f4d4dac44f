"""Files that were cut off or emptied: the next command mends them, and says so in a sentence."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import polars as pl
import pytest
import zc.lockfile

from cortex_pipelines.orchestration.recovery import recover
from cortex_pipelines.projects import doctor
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.tracking import experiments, store
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dagster.instance import DATABASES, close_databases, open_instance
from cortex_pipelines.versioning.damaged_files import database_damage
from cortex_pipelines.versioning.project import ProjectError
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.versioning.toy import Workbench

LOCK = load_cases(__file__)["LOCK"]


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    bench = Workbench.create(tmp_path_factory.mktemp("cut") / "p")
    (bench.root / "releases.lock").write_text(LOCK)
    for name, partition in bench.all_stages():
        bench.make(name, partition)
    assert recover(bench.root) == []
    return bench


@pytest.fixture
def bench(_template: Workbench, tmp_path: Path) -> Iterator[Workbench]:
    shutil.copytree(_template.root, tmp_path / "p", symlinks=True)
    yield Workbench(tmp_path / "p")
    store.connect.cache_clear()


def looked_at(root: Path) -> dict[str, doctor.CheckResult]:
    return {finding.what: finding for finding in doctor.check_stores(root)}


@pytest.fixture(scope="module")
def mlflow_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database, made by another process: MLflow keeps open what it opened once."""
    root = tmp_path_factory.mktemp("mlflow")
    words = f"from cortex_pipelines.tracking.experiments import *; experiment_id(Path({str(root)!r}), 'w')"
    subprocess.run([sys.executable, "-c", words], check=True, cwd=Path(__file__).parents[2])
    return store.database(root)


def install_database(database: Path, root: Path) -> Path:
    path = store.database(root)
    shutil.copytree(database.parent, path.parent, dirs_exist_ok=True)
    return path


def lengths(text: bytes) -> list[int]:
    """Nothing, one byte, in the middle of a line, at the ends of lines, all but one byte."""
    ends = [index + 1 for index, byte in enumerate(text) if byte == ord("\n")]
    cuts = {0, 1, len(text) // 3, len(text) // 2, ends[0], ends[len(ends) // 2], ends[-2]}
    return sorted({*cuts, ends[-4], ends[-5], len(text) - 1})


@pytest.mark.parametrize("name", damaged_files.BY_MACHINE)
def test_a_lock_cut_anywhere_comes_back(bench: Workbench, name: str) -> None:
    path = bench.root / name
    content = path.read_bytes()
    for length in lengths(content):
        path.write_bytes(content[:length])
        finding = looked_at(bench.root)[f"whole: {name}"]
        assert not finding.good, length
        assert "restores the last good copy" in finding.remedy
        (sentence,) = recover(bench.root)
        assert sentence.startswith(f"{name} is {'cut off' if length else 'empty'}: restored the last good")
        assert path.read_bytes() == content
        assert ((bench.root / sentence.rpartition(" ")[2]).read_bytes(), recover(bench.root)) == (content[:length], [])
        assert looked_at(bench.root)[f"whole: {name}"].good


def test_a_dvc_lock_cut_while_a_command_runs_is_mended_under_its_lock(bench: Workbench) -> None:
    path = bench.root / "dvc.lock"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert not bench.make("words", "a").computed
    assert path.read_bytes() == content


def test_a_first_dvc_lock_that_was_cut_is_begun_anew_with_the_same_bytes(tmp_path: Path) -> None:
    bench = Workbench.create(tmp_path / "p")
    bench.make("words", "a")
    content = (bench.root / "dvc.lock").read_bytes()
    (bench.root / ".cortex" / "kept" / "dvc.lock").unlink()
    (bench.root / "dvc.lock").write_bytes(content[:40])
    (sentence,) = recover(bench.root)
    assert sentence.startswith("dvc.lock is cut off and has no good copy")
    bench.make("words", "a")
    assert (bench.root / "dvc.lock").read_bytes() == content


def test_without_a_copy_the_committed_one_comes_back_or_it_is_said_what_to_type(bench: Workbench) -> None:
    path = bench.root / "releases.lock"
    bench.commit()
    (bench.root / ".cortex" / "kept" / "releases.lock").unlink()
    path.write_text("champions:\n  task")
    assert (len(recover(bench.root)), path.read_text()) == (1, LOCK)
    bench.git("rm", "-q", "--cached", "releases.lock")
    bench.git("commit", "-q", "-m", "without")
    (bench.root / ".cortex" / "kept" / "releases.lock").unlink(missing_ok=True)
    path.write_text("champions:\n  task")
    with pytest.raises(ProjectError, match=r"`git checkout COMMIT -- releases\.lock`"):
        recover(bench.root)
    assert path.read_text() == "champions:\n  task"


def test_what_git_or_a_hand_has_done_is_left_alone(bench: Workbench) -> None:
    lock, params = bench.root / "releases.lock", bench.root / "params.yaml"
    shorter = LOCK[: LOCK.rindex("- at")]
    lock.write_text(shorter)
    bench.commit()
    assert recover(bench.root) == [], "the index says so too"
    conflict = f"<<<<<<< ours\n{LOCK}=======\n{shorter}>>>>>>> theirs\n"
    lock.write_text(conflict)
    assert (recover(bench.root), lock.read_text()) == ([], conflict)
    assert "merge conflict" in looked_at(bench.root)["whole: releases.lock"].detail
    lines = params.read_text().splitlines(keepends=True)
    params.write_text("".join(lines[:-1]))
    assert recover(bench.root) == []
    params.write_text("".join(lines))
    recover(bench.root)
    params.write_text("".join(lines)[:-3])
    (sentence,) = recover(bench.root)
    assert sentence.startswith("params.yaml is cut off: restored the last good copy")
    assert params.read_text() == "".join(lines)


@pytest.mark.parametrize("text", ["", "{", '{"write": {"/p', '{"write": {"/p": 7}}', "[]"])
def test_a_cut_rwlock_is_begun_anew(bench: Workbench, text: str) -> None:
    path = bench.root / ".dvc" / "tmp" / "rwlock"
    path.write_text(text)
    assert not looked_at(bench.root)["whole: .dvc/tmp/rwlock"].good
    (sentence,) = recover(bench.root)
    assert sentence.startswith(".dvc/tmp/rwlock is ")
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    path.write_text(text)  # and while a command runs
    assert bench.make("words", "a").computed


def test_a_lock_whose_owners_number_another_process_has_is_dropped(bench: Workbench) -> None:
    path = bench.root / ".dvc" / "tmp" / "rwlock"
    locked_path = str(bench.root / "data" / "words" / "a")
    path.write_text(json.dumps({"write": {locked_path: {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    os.utime(path, (1, 1))  # written before this process began
    assert recover(bench.root) == []
    assert json.loads(path.read_text()) == {"write": {}, "read": {}}
    lock_content = {"write": {locked_path: {"pid": os.getpid(), "cmd": "dvc repro"}}}
    path.write_text(json.dumps(lock_content))
    recover(bench.root)
    assert json.loads(path.read_text()) == lock_content


def test_what_dvc_writes_within_this_process_is_whole(bench: Workbench) -> None:
    names = ("dvc.lock", ".dvc/tmp/rwlock")
    with ExitStack() as open_files:  # no new file is given the number of one that is open
        for name in names:
            open_files.enter_context((bench.root / name).open("rb"))
        before = {name: (bench.root / name).stat().st_ino for name in names}
        bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
        bench.make("words", "a")
        after = {name: (bench.root / name).stat().st_ino for name in names}
    assert not set(before.items()) & set(after.items()), "renamed, not written in place"


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_cut_database_of_dagster_is_set_aside_and_sync_tells_it_all(bench: Workbench, name: str, part: float) -> None:
    bench.sync()
    open_instance(bench.root).dispose()
    close_databases()
    path = bench.root / ".dagster" / name
    size = int(path.stat().st_size * part)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    with path.open("r+b") as file:
        file.truncate(size)
    assert not looked_at(bench.root)[f"whole: .dagster/{name}"].good
    (sentence,) = recover(bench.root)
    assert sentence.startswith(f".dagster/{name} is ")
    assert "run `cortex sync` to report existing versions" in sentence
    assert next((bench.root / ".cortex" / "damaged").glob(f"{path.name}.*")).stat().st_size == size
    bench.reopen()
    bench.sync()
    staleness = bench.staleness()
    assert ({staleness.status(*stage)[0] for stage in bench.all_stages()}, recover(bench.root)) == ({"FRESH"}, [])


@pytest.mark.parametrize("part", [0.0, 0.5, None])
def test_a_cut_or_deleted_database_of_mlflow_begins_anew(bench, mlflow_made: Path, part: float | None) -> None:
    path = install_database(mlflow_made, bench.root)
    if part is None:
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * part))
    assert not looked_at(bench.root)["whole: .mlflow/mlflow.db"].good
    (sentence,) = recover(bench.root)
    assert "run `cortex sync` to re-enter existing versions" in sentence
    assert store.lost(bench.root)
    assert store.open_client(bench.root).get_experiment_by_name("w") is None
    assert database_damage(path, thorough=True) is None
    assert recover(bench.root) == []


def test_a_database_that_a_killed_process_had_half_made_is_made_again(tmp_path: Path) -> None:
    store.database(tmp_path).parent.mkdir()
    store.database(tmp_path).write_bytes(b"")
    assert experiments.experiment_id(tmp_path, "words")
    store.connect.cache_clear()
    (damaged_copy,) = (tmp_path / ".cortex" / "damaged").iterdir()
    assert damaged_copy.name.startswith("mlflow.db.")


def test_a_page_that_was_overwritten_is_found_by_the_doctor(bench: Workbench, mlflow_made: Path) -> None:
    path = install_database(mlflow_made, bench.root)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\xff" * 20000)
    assert "is damaged" in looked_at(bench.root)["whole: .mlflow/mlflow.db"].detail


def test_a_cut_row_cache_is_computed_again(tmp_path: Path) -> None:
    keys = pl.Series(["a", "b"])

    def compute(missing_keys: pl.Series) -> pl.DataFrame:
        return pl.DataFrame({"cache_key": missing_keys, "size": missing_keys.str.len_bytes()})

    cache = RowCache(tmp_path, "1")
    first = cache.rows("t", keys, compute)
    cache.put(b"value", "key")
    for part in (0, 0.1, 0.5, 0.99):
        for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
            with path.open("r+b") as file:
                file.truncate(int(path.stat().st_size * part))
        assert cache.get("key") is None
        assert cache.rows("t", keys, compute).equals(first)
        cache.put(b"value", "key")
        assert cache.get("key") == b"value"


def test_unfinished_states_and_conversions_of_adapters_are_swept(tmp_path: Path) -> None:
    checkpoints, models = (tmp_path / ".cortex" / "cache" / n for n in ("checkpoints", "models"))
    checkpoints.mkdir(parents=True)
    for name in ("key.pt", ".key.pt.0123456789ab.aside", "key.999999999", f"key.{os.getpid()}"):
        (checkpoints / name).touch()
    (models / "tmpabc").mkdir(parents=True)
    with (models / "key.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        recover(tmp_path)
        assert (models / "tmpabc").exists(), "somebody converts a model"
    recover(tmp_path)
    assert [path.name for path in models.iterdir()] == ["key.lock"]
    assert {path.name for path in checkpoints.iterdir()} == {"key.pt", f"key.{os.getpid()}"}
    os.utime(checkpoints / f"key.{os.getpid()}", (1, 1))  # another process had this number
    recover(tmp_path)
    assert [path.name for path in checkpoints.iterdir()] == ["key.pt"]


def test_dvcs_own_lock_is_waited_for_only_by_what_needs_it(bench: Workbench) -> None:
    (bench.root / "dvc.lock").write_bytes(b"")
    with closing(zc.lockfile.LockFile(bench.root / ".dvc" / "tmp" / "lock")):
        assert recover(bench.root) == [], "DVC could be writing it"
    assert len(recover(bench.root)) == 1
