import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cortex_pipelines.catalog import open_project
from cortex_pipelines.orchestration.location import sync_aliases
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines_tests.integration.miniproject import MiniProject

pytestmark = pytest.mark.slow
ROUTER = "task_router"
Tidy = Callable[[MiniProject], None]


@pytest.fixture(scope="module")
def mini(finished: MiniProject, tmp_path_factory: pytest.TempPathFactory) -> MiniProject:
    """What a test deletes in it is there again when it ends; so each goes on where another ended."""
    mini = finished.copy(tmp_path_factory.mktemp("tidied") / "p")
    mini.cortex("promote", ROUTER)
    return mini


def version(mini: MiniProject) -> Any:
    return open_client(mini.root).get_model_version_by_alias(ROUTER, "champion")


def delete_experiments(mini: MiniProject) -> None:
    client = open_client(mini.root)
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.delete_experiment(experiment.experiment_id)


def delete_mlflow(mini: MiniProject) -> None:
    shutil.rmtree(mini.root / ".mlflow")


def delete_dagster_history(mini: MiniProject) -> None:
    for name in ("history", "schedules", "storage"):
        shutil.rmtree(mini.root / ".dagster" / name, ignore_errors=True)
    mini.instance()  # the page is open meanwhile


def wipe_in_dagster(mini: MiniProject) -> None:
    instance = mini.instance()
    instance.wipe_assets(list(instance.all_asset_keys())[:3])
    for run in instance.get_runs(limit=2):
        instance.delete_run(run.run_id)
    instance.delete_dynamic_partition("projects", "beta")


def empty_dvc_cache(mini: MiniProject) -> None:
    objects = sorted((mini.root / ".dvc" / "cache" / "files").glob("md5/*/*"))
    for path in objects[::2]:  # as a disk that was cleaned up by hand
        path.unlink()
    shutil.rmtree(mini.root / ".dvc" / "tmp")


def delete_dvc(mini: MiniProject) -> None:
    shutil.rmtree(mini.root / ".dvc")


MENDED_CACHE = "outputs that are in the workspace; they are stored there again"


@pytest.mark.parametrize(
    "tidied",
    [
        {
            delete_experiments: "the experiment task_router had been deleted; it is restored",
            wipe_in_dagster: "Dagster now has",
            empty_dvc_cache: MENDED_CACHE,
        },
        {delete_mlflow: "versions of the workspace; they are entered"},
        {delete_dagster_history: "task_router: Dagster now has", delete_dvc: MENDED_CACHE},
    ],
    ids=["a part of each", "MLflow", "Dagster and DVC"],
)
def test_a_sync_brings_all_views_back(
    mini: MiniProject, tmp_path: Path, caplog: pytest.LogCaptureFixture, tidied: dict[Tidy, str]
) -> None:
    mini = mini.copy(tmp_path / "p")
    before = {row["asset"] + str(row["partition"]): row["dvc_md5"] for row in mini.status()}
    for tidy in tidied:
        tidy(mini)
    assert ROUTER in mini.cortex("releases").output
    mini.cortex("sync")
    assert [notice for notice in tidied.values() if notice not in caplog.text] == []
    rows = mini.status()
    assert {row["asset"] + str(row["partition"]): row["dvc_md5"] for row in rows} == before
    assert [row for row in rows if row["data_version"] != row["dvc_md5"]] == []
    assert [row for row in rows if row["mlflow_digest"] != row["dvc_md5"]] == []
    assert [row["reason"] for row in rows if "not in cache" in row["reason"]] == []
    tree = json.loads(mini.cortex("lineage", f"{ROUTER}@champion", "--json").stdout)
    assert tree["made_from"][0]["made_from"], "the champion leads to what it was made from"


def delete_model(mini: MiniProject) -> None:
    open_client(mini.root).delete_registered_model(ROUTER)


def delete_version(mini: MiniProject) -> None:
    open_client(mini.root).delete_model_version(ROUTER, version(mini).version)


def delete_run_and_version(mini: MiniProject) -> None:
    open_client(mini.root).delete_run(version(mini).run_id)
    delete_version(mini)


def delete_logged_model(mini: MiniProject) -> None:
    client, champion = open_client(mini.root), version(mini)
    client.delete_logged_model(champion.source.split("/")[-2])
    client.delete_model_version_tag(ROUTER, champion.version, "dvc_md5")


def empty_artifacts(mini: MiniProject) -> None:
    shutil.rmtree(mini.root / ".mlflow" / "artifacts" / ROUTER)


def delete_aliases(mini: MiniProject) -> None:
    for alias in ("champion", "challenger"):
        open_client(mini.root).delete_registered_model_alias(ROUTER, alias)


def move_aliases(mini: MiniProject) -> None:
    client, champion = open_client(mini.root), version(mini)
    copy = client.create_model_version(ROUTER, champion.source, champion.run_id)
    for alias in ("champion", "challenger"):
        client.set_registered_model_alias(ROUTER, alias, copy.version)


def delete_tags(mini: MiniProject) -> None:
    champion = version(mini)
    for tag in champion.tags:
        open_client(mini.root).delete_model_version_tag(ROUTER, champion.version, tag)


def edit_tags(mini: MiniProject) -> None:
    number = version(mini).version
    for tag in ("dvc_md5", "stage", "semantic_version"):
        open_client(mini.root).set_model_version_tag(ROUTER, number, tag, "edited")


@pytest.mark.parametrize(
    ("tidy", "notice"),
    [
        (delete_model, "registry lacked version"),
        (delete_version, r"it is entered as task_router/\d"),
        (delete_run_and_version, r"it is entered as task_router/\d"),
        (delete_logged_model, r"tags dvc_md5 of task_router/\d had been removed"),
        (empty_artifacts, r"files of task_router/\d were missing"),
        (delete_aliases, ""),
        (move_aliases, ""),
        (delete_tags, "had been removed; they are set again"),
        (edit_tags, r"tags dvc_md5 of task_router/\d"),
    ],
)
def test_the_registry_follows_the_ledger(
    mini: MiniProject, caplog: pytest.LogCaptureFixture, tidy: Tidy, notice: str
) -> None:
    md5 = mini.version(ROUTER)
    tidy(mini)
    releases = mini.cortex("releases").output
    assert f"champion 1.0.0 {md5}" in releases
    project = open_project(mini.root)
    sync_aliases(project)
    assert re.search(notice, caplog.text)
    caplog.clear()
    assert sync_aliases(project) == 0
    assert caplog.text == "", "nothing is left to mend"
    client = open_client(mini.root)
    for alias in ("champion", "challenger"):
        version = client.get_model_version_by_alias(ROUTER, alias)
        assert (version.tags["dvc_md5"], version.tags["stage"]) == (md5, "champion")
        assert (version.tags["semantic_version"], version.tags["verdict"]) == ("1.0.0", "promoted")
        files = Path(str(version.source).removeprefix("file://"))
        assert ((files / "MLmodel").is_file(), (files / "files" / "weights.safetensors").is_file()) == (True, True)
    mini.cortex("lineage", f"{ROUTER}@champion")


@pytest.mark.parametrize("tidy", [delete_model, delete_aliases])
def test_what_a_sync_restores_is_named_where_it_lacks(mini: MiniProject, tidy: Tidy) -> None:
    tidy(mini)
    output = mini.cortex("lineage", f"{ROUTER}@champion", status=1).output
    assert "`cortex sync` enters again" in output
    sync_aliases(open_project(mini.root))
    mini.cortex("lineage", f"{ROUTER}@champion")
    assert "baseline is champion" in mini.cortex("rollback", ROUTER).output
    assert "is champion" in mini.cortex("promote", ROUTER).output
