import json
import re
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from cortex_pipelines.catalog import ASSETS
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.project import look_up, read_yaml
from cortex_pipelines_tests.integration.miniproject import EXACT, MiniProject, git

pytestmark = pytest.mark.slow
STATUS_KEYS = ["asset", "partition", "data_version", "dvc_md5", "mlflow_digest", "run_id", "fresh", "reason"]
OF_ALL_PROJECTS = {"general_code", "routing_dataset"}


def test_everything_is_fresh_and_has_one_version_and_a_row(finished: MiniProject) -> None:
    rows = finished.status()
    assert all(list(row) == STATUS_KEYS for row in rows)
    assert {(row["asset"], row["partition"]) for row in rows} == {
        (asset.name, partition)
        for asset in ASSETS
        for partition in (("alpha", "beta") if asset.partitioned else (None,))
    }
    for row in rows:
        assert row["fresh"], row
        assert row["reason"] == "", row
        assert re.fullmatch(r"[0-9a-f]{32}\.dir", row["dvc_md5"])
        assert row["data_version"] == row["dvc_md5"] == row["mlflow_digest"], row
    assert finished.dvc_status() == {}
    text = finished.cortex("status").stdout
    assert "code_units" in text
    assert "views differ" not in text


def test_every_output_is_real(finished: MiniProject) -> None:
    def rows(*path: str) -> pl.DataFrame:
        return pl.read_parquet(finished.root.joinpath("data", *path))

    files = rows("repository_files", "alpha", "files.parquet")
    source = finished.root / "sources" / "alpha"
    assert dict(zip(files["path"], files["text"], strict=True)) == {
        path.relative_to(source).as_posix(): path.read_text()
        for path in source.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    commits = rows("repository_commits", "alpha", "commits.parquet")
    rooms = ("extraction", "annotation and datasets", "ingestion")
    assert set(commits["subject"]) == {"Describe it", *(f"Add the code for {names}" for names in rooms)}
    units = rows("code_units", "beta", "units.parquet")
    assert {"python", "go", "javascript", "java", "rust"} == set(units["language"])
    for split in ("train", "validation", "test"):
        assert rows("naming_dataset", "beta", f"{split}.parquet").height > 0
    for partition in ("alpha", "beta"):
        adapter = finished.root / "data" / "code_adapter" / partition
        assert (adapter / "adapter_model.safetensors").stat().st_size > 1000


def test_every_run_says_where_it_comes_from(finished: MiniProject) -> None:
    commit = git(finished.root, "rev-list", "--max-parents=0", "HEAD")
    rows = {(row["asset"], row["partition"]): row for row in finished.status()}
    client, instance = open_client(finished.root), finished.instance()
    project, _ = finished.open()
    for (name, partition), row in rows.items():
        tags = client.get_run(row["run_id"]).data.tags
        assert tags["asset_key"] == name
        assert tags["partition"] == (partition or "")
        assert (tags["git_commit"], tags["dvc_md5"]) == (commit, row["dvc_md5"])
        assert tags["code_version"] == project.code_versions[name]
        assert instance.get_run_by_id(tags["dagster_run_id"]) is not None
        for other in project.graph.wiring(name).assets:
            if not other.partitioned or partition:
                key = (other.name, partition if other.partitioned else None)
                assert tags[f"input.{other.name}"] == rows[key]["dvc_md5"]
            else:
                for part in project.partitions:
                    key = (other.name, part)
                    assert tags[f"input.{other.name}/{part}"] == rows[key]["dvc_md5"]
        for pin in (pin for pin in project.graph.wiring(name).pins if pin.lock):
            locked = read_yaml(project.root / pin.lock)
            expected = look_up(locked, pin.lock_key.format(project=partition))
            assert json.loads(tags[f"pin.{pin.name}"]) == expected


def test_dagster_and_mlflow_show_what_was_made(finished: MiniProject) -> None:
    instance = finished.instance()
    event = instance.get_latest_materialization_event(dg.AssetKey("code_units"))
    metadata = event.asset_materialization.metadata
    units = finished.root / "data" / "code_units" / "beta" / "units.parquet"
    assert metadata["dagster/row_count"].value == pl.read_parquet(units).height
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    assert "qualified_name" in [column.name for column in schema.columns]
    assert "| --- |" in str(metadata["units/preview"].value)
    lineage = metadata["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    run_id = str(metadata["mlflow/run_id"].value)
    assert str(metadata["mlflow/run"].value).endswith(f"/runs/{run_id}?workflowType=machine_learning")
    assert metadata["dvc_md5"].value == finished.version("code_units@beta")
    client = open_client(finished.root)
    by_asset = {(row["asset"], row["partition"]): row["run_id"] for row in finished.status()}
    adapter = client.get_run(by_asset["code_adapter", "alpha"])
    metrics = json.loads((finished.root / "data/code_adapter/alpha/metrics.json").read_text())
    assert metrics.keys() <= adapter.data.metrics.keys()
    assert adapter.data.params["adapters.rank"] == "4"
    units = client.get_run(by_asset["code_units", "alpha"])
    assert units.data.metrics["rows/units"] > 100
    rows = json.loads(finished.cortex("leaderboard", "--json").stdout)
    adopted = [(row["asset"], row["task"]) for row in rows if row["adopted"]]
    assert sorted(adopted) == sorted({(row["asset"], row["task"]) for row in rows})
    trained = client.get_run(by_asset["outcome_predictors", None]).data.metrics
    judged = client.get_run(by_asset["outcome_evaluation", None]).data.metrics
    for row in (row for row in rows if row["asset"] == "outcome_predictors"):
        name = f"{row['task']}/{row['candidate']}"
        assert judged[f"{name}/difference_low"] == row["difference_low"]
        assert trained[f"observed/{name}/seconds"] == row["seconds"]
    evaluation = client.list_artifacts(by_asset["code_adapter_evaluation", "alpha"])
    assert {"metrics.json", "report.html"} <= {file.path for file in evaluation}


def test_the_same_command_again_changes_nothing(finished_copy: MiniProject) -> None:
    before, rows = finished_copy.outputs(), finished_copy.status()
    runs, events = finished_copy.instance().get_runs_count(), events_of(finished_copy)
    assert "nothing is stale" in finished_copy.cortex("run").stderr
    assert "\nevents reported to Dagster: 0; aliases moved: 0" in finished_copy.cortex("sync").stderr
    assert (finished_copy.outputs(), finished_copy.instance().get_runs_count()) == (before, runs)
    assert events_of(finished_copy) == events
    assert (finished_copy.status(), finished_copy.dvc_status()) == (rows, {})
    before, rows = finished_copy.outputs(), finished_copy.status()
    finished_copy.cortex("run", "code_units", "--project", "alpha")
    assert (finished_copy.outputs(), finished_copy.status()) == (before, rows)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((*sorted(set(EXACT) - OF_ALL_PROJECTS), "--project", "beta"), id="one-project"),
        pytest.param(EXACT, id="all", marks=pytest.mark.long),
    ],
)
def test_projects_begun_apart_are_the_same(finished: MiniProject, tmp_path: Path, words: tuple[str, ...]) -> None:
    other = MiniProject.create(tmp_path / "somewhere" / "else")
    other.cortex("run", *words)
    stages = other.lock()
    assert {address.partition("@")[0] for address in stages} == set(EXACT) & set(words)
    assert stages == {address: stage for address, stage in finished.lock().items() if address in stages}


def events_of(mini: MiniProject) -> int:
    instance = mini.instance()
    return sum(len(instance.fetch_materializations(key, limit=1000).records) for key in instance.all_asset_keys())


def test_nothing_is_written_outside_the_known_places(finished: MiniProject) -> None:
    tracked = git(finished.root, "ls-files").splitlines()
    project_files = [name for name in tracked if not name.startswith("cortex_pipelines/")]
    assert not [name for name in project_files if Path(name).suffix in (".parquet", ".safetensors", ".db")]
    assert git(finished.root, "status", "--porcelain") == ""
