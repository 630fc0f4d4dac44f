import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.tracking import store
from cortex_pipelines.tracking.experiments import (
    FORGOTTEN,
    experiment_id,
    experiment_ids,
    find_run,
    get_run,
    restore_runs,
)
from cortex_pipelines.tracking.recorded_versions import known_versions
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines.versioning.root import ProjectError

NAME = "data-a"


def finished_run(root: Path, version: str, **tags: str) -> str:
    client = store.open_client(root)
    run_tags = {"dvc_md5": version, "asset_key": "words", "partition": "a"} | tags
    run = client.create_run(experiment_id(root, NAME), tags=run_tags)
    client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)


def delete_for_good(root: Path, number: str) -> None:
    client: Any = store.open_client(root)
    client.delete_experiment(number)
    records = client._tracking_client.store
    for run in records._get_deleted_runs():
        records._hard_delete_run(run)
    records._hard_delete_experiment(number)


def create_in_the_page(root: Path, number: str) -> None:
    store.open_client(root).rename_experiment(number, "another name")
    store.open_client(root).create_experiment(NAME, artifact_location="mlflow-artifacts:/7")


@pytest.mark.parametrize(
    ("tidy", "notice", "is_same", "finds_run"),
    [
        (
            lambda root, number: store.open_client(root).delete_experiment(number),
            f"the experiment {NAME} had been deleted; it is restored",
            True,
            True,
        ),
        (delete_for_good, "", None, False),  # SQLite may give its id away again
        (lambda root, number: store.open_client(root).rename_experiment(number, "another name"), "", False, True),
        (create_in_the_page, f"it is now called {NAME} (2)", False, True),
    ],
)
def test_an_experiment_is_there_whatever_was_done_to_it(tmp_path, caplog, tidy, notice, is_same, finds_run) -> None:
    before = experiment_id(tmp_path, NAME)
    run = finished_run(tmp_path, "1.dir")
    tidy(tmp_path, before)
    restored = experiment_id(tmp_path, NAME)
    assert is_same is None or (restored == before) == is_same
    assert notice in caplog.text
    assert bool(caplog.text) == bool(notice), "said once, and only if something was done"
    run_record = find_run(tmp_path, "words", "a", "1.dir")
    assert (run_record[0] if run_record else None) == (run if finds_run else None)
    store.open_client(tmp_path).log_text(finished_run(tmp_path, "2.dir"), "words", "note.txt")
    assert restored in experiment_ids(tmp_path)


def test_deleted_runs_come_back_except_the_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = store.open_client(tmp_path)
    runs = [finished_run(tmp_path, "1.dir"), finished_run(tmp_path, "2.dir")]
    runs.append(finished_run(tmp_path, "3.dir", **{FORGOTTEN: "true"}))
    for run in runs:
        client.delete_run(run)
    assert restore_runs(tmp_path, {("words", "a", f"{number}.dir") for number in (1, 3)}) == 1
    assert "restored deleted runs: 1" in caplog.text
    assert known_versions(tmp_path).keys() == {("words", "a", "1.dir")}
    client.delete_experiment(experiment_id(tmp_path, NAME))
    experiment_id(tmp_path, NAME)
    assert known_versions(tmp_path).keys() == {("words", "a", "1.dir"), ("words", "a", "2.dir")}
    assert restore_runs(tmp_path, set()) == 0


@pytest.mark.parametrize("for_good", [False, True])
def test_a_run_that_is_deleted_while_it_goes_records_its_output(bench, caplog, for_good: bool) -> None:
    version = bench.make("words", "a")
    project = bench.project()
    stage = Stage(project, project.graph.assets["words"], "a")
    opened = MlflowTracker().begin(stage, version.made_from, "dagster-1")
    first = opened.run_id
    client: Any = store.open_client(bench.root)
    opened.live.add("steps/loss", 2.0, 1)
    client.delete_run(first)
    if for_good:
        client._tracking_client.store._hard_delete_run(first)
    opened.live.flush()
    assert (opened.finish(Version(version.value, version.made_from, True)) == first) != for_good
    assert find_run(bench.root, "words", "a", version.value) is not None
    assert ("deleted for good meanwhile" if for_good else "deleted meanwhile; it is restored") in caplog.text
    assert caplog.text.count("takes no metrics") == 1
    assert get_run(bench.root, first) is None or not for_good


def test_a_process_goes_on_after_its_database_was_deleted(tmp_path: Path) -> None:
    finished_run(tmp_path, "1.dir")
    shutil.rmtree(tmp_path / ".mlflow")
    finished_run(tmp_path, "2.dir")
    assert known_versions(tmp_path).keys() == {("words", "a", "2.dir")}
    store.database(tmp_path).unlink()
    finished_run(tmp_path, "3.dir")
    assert known_versions(tmp_path).keys() == {("words", "a", "3.dir")}
    assert store.lost(tmp_path)


def test_a_database_of_an_older_mlflow_is_upgraded_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy
    from alembic import command
    from mlflow.store.db import utils
    from mlflow.store.tracking.dbmodels.initial_models import Base

    logging.getLogger("alembic").setLevel(logging.ERROR)
    path = store.database(tmp_path)
    path.parent.mkdir()
    (path.parent / ".initialised").write_text("")
    migrations: Any = utils
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    configuration = migrations._get_alembic_config(str(engine.url))
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head-1")
    engine.dispose()
    before = store.read_revision(path)
    (sentence,) = store.renew_database(tmp_path)
    assert "had an older schema and was upgraded" in sentence
    assert store.read_revision(path) != before
    assert (store.read_revision(path.with_name(f"mlflow-{before}.db")), store.renew_database(tmp_path)) == (before, [])
    assert experiment_id(tmp_path, NAME)
    with closing(sqlite3.connect(path)) as records, records:
        records.execute("UPDATE alembic_version SET version_num = 'f00'")
    assert store.mismatch(path)
    with pytest.raises(ProjectError, match=r"schema f00, which MLflow .* does not know: install"):
        store.renew_database(tmp_path)
    shared = Path(shutil.copy(path, tmp_path / "shared.db"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    with pytest.raises(ProjectError, match="mlflow db upgrade"):
        store.open_client(tmp_path)
