import json
import logging
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cortex_pipelines.adapters.training import launch
from cortex_pipelines.catalog import open_project
from cortex_pipelines.tracking import training_metrics
from cortex_pipelines.tracking.experiments import (
    end_dead_runs,
    experiment_id,
    experiment_ids,
    find_run,
    note_process,
    run_marker,
)
from cortex_pipelines.tracking.runs import MlflowTracker, experiment_name
from cortex_pipelines.tracking.store import connect, database_uri, open_client
from cortex_pipelines.tracking.training_metrics import LiveMetrics, live_metrics, record_curves
from cortex_pipelines.versioning import materialise
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines_tests.adapters import tinymodel
from cortex_pipelines_tests.versioning.toy import Workbench

ROOT = Path(__file__).parents[2]


def run_tracked(bench: Workbench, name: str, partition: str) -> bool:
    return bench.run([name], partition, MlflowTracker())


def all_runs(bench: Workbench) -> list[Any]:
    return list(open_client(bench.root).search_runs(experiment_ids(bench.root)))


def test_a_run_is_open_while_it_goes_and_failed_if_the_work_fails(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.git("remote", "add", "origin", "https://name:secret@example.org/team/code.git")
    messages: list[str] = []

    def broken(*given: Any) -> None:
        (run,) = all_runs(bench)
        messages.append(run.info.status)
        assert run_marker(bench.root, run.info.run_id).exists()
        raise ValueError(f"no such word in {bench.root}/toy")

    with monkeypatch.context() as patch:
        patch.setattr(materialise, "_write_tables", broken)
        assert not run_tracked(bench, "words", "a")
    assert messages == ["RUNNING"]
    (failed,) = all_runs(bench)
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "ValueError: no such word in ./toy")
    assert "dvc_md5" not in failed.data.tags
    assert not list((bench.root / ".mlflow" / "going").iterdir())

    assert run_tracked(bench, "words", "a")
    run_found = find_run(bench.root, "words", "a", bench.lock()["words@a"]["outs"][0]["md5"])
    assert run_found[0] != failed.info.run_id
    tags = run_found[1]
    assert tags["mlflow.source.git.commit"] == bench.git("rev-parse", "HEAD")
    assert tags["mlflow.source.git.branch"] == "main"
    assert tags["mlflow.source.git.repoURL"] == "https://example.org/team/code.git"
    assert tags["mlflow.source.name"] == "cortex run words --project a"
    assert "mlflow.user" not in tags
    assert run_tracked(bench, "words", "a")
    assert len(all_runs(bench)) == 2, "what is unchanged has no run of its own"


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("git@example.org:team/code.git", "example.org:team/code.git"),
        ("ssh://git:secret@example.org/code.git", "ssh://example.org/code.git"),
        ("/home/somebody/code", None),
    ],
)
def test_neither_credentials_nor_places_of_this_machine_are_told(tmp_path: Path, origin: str, url: str | None) -> None:
    from cortex_pipelines.tracking.commits import source_tags

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", origin], check=True)
    assert source_tags(tmp_path, "words", None).get("mlflow.source.git.repoURL") == url


def test_a_run_whose_process_was_killed_gets_an_end(tmp_path: Path) -> None:
    client = open_client(tmp_path)
    dead, alive, elsewhere = (str(client.create_run(experiment_id(tmp_path, "data")).info.run_id) for _ in range(3))
    note_process(tmp_path, alive)
    words = "import sys; from pathlib import Path; from cortex_pipelines.tracking.experiments "
    words += f"import note_process; note_process(Path(sys.argv[1]), {dead!r})"
    subprocess.run([sys.executable, "-c", words, str(tmp_path)], check=True, cwd=ROOT)
    mark = run_marker(tmp_path, elsewhere)
    mark.write_text(run_marker(tmp_path, dead).read_text().replace(platform.node(), "container"))
    assert (end_dead_runs(tmp_path), end_dead_runs(tmp_path)) == (1, 0)
    assert client.get_run(dead).info.status == "FAILED"
    assert "is gone" in client.get_run(dead).data.tags["error"]
    assert {client.get_run(each).info.status for each in (alive, elsewhere)} == {"RUNNING"}


def test_steps_and_the_machine_s_load_are_there_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    monkeypatch.setattr(training_metrics, "_SECONDS_BETWEEN_WRITES", 0.0)
    monkeypatch.setattr(launch, "tensorboard", lambda folder: None)
    before = launch.tensorboard
    client = open_client(tmp_path)
    run = str(client.create_run(experiment_id(tmp_path, "code_adapter-a")).info.run_id)
    metrics = LiveMetrics(client, run, "code_adapter-a")
    with live_metrics(metrics, database_uri(tmp_path)):
        launch.tensorboard(tmp_path / "code_adapter-a").add_scalar("train/loss", 2.0, 1)
        assert client.get_run(run).data.metrics["steps/loss"] == 2.0
        part = launch.tensorboard(tmp_path / "code_adapter-a-naming")
        part.add_scalar("validation/loss", 3.0, 1)
        part.close()
        for _ in range(2400):  # two minutes
            if any(name.startswith("system/") for name in client.get_run(run).data.metrics):
                break
            training_metrics.time.sleep(0.05)
    assert launch.tensorboard is before
    recorded = client.get_run(run).data.metrics
    assert recorded["naming/validation/loss"] == 3.0
    assert "system/cpu_utilization_percentage" in recorded

    steps = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "training.json").write_text(json.dumps({"steps": steps}))
    record_curves(client, run, 0, tmp_path / "out", metrics.written)
    history = client.get_metric_history(run, "steps/loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 2.0), (2, 1.0)]


def test_a_training_is_seen_step_by_step_and_writes_the_same_bytes(tmp_path: Path) -> None:
    tinymodel.write_tiny_base(tmp_path / "base")
    datasets = tinymodel.write_datasets(tmp_path / "datasets")
    for name in ("seen", "unseen"):
        (tmp_path / name).mkdir()
    tinymodel.train_adapter(tmp_path, datasets, tmp_path / "unseen", max_tokens=800)
    client = open_client(tmp_path)
    run = str(client.create_run(experiment_id(tmp_path, "code_adapter-mine")).info.run_id)
    metrics = LiveMetrics(client, run, "code_adapter-mine")
    with live_metrics(metrics, database_uri(tmp_path)):
        tinymodel.train_adapter(tmp_path, datasets, tmp_path / "seen", max_tokens=800)
        history = client.get_metric_history(run, "steps/loss")  # the run still goes on
    assert content_md5(tmp_path / "seen") == content_md5(tmp_path / "unseen")
    course = json.loads((tmp_path / "seen" / "training.json").read_text())
    assert [point.step for point in history] == [row["step"] for row in course["steps"]]
    assert client.get_run(run).data.metrics["validation/loss"] > 0
    assert client.get_run(run).data.metrics["speed/tokens_per_second"] > 0
    before = len(client.get_metric_history(run, "steps/loss"))
    record_curves(client, run, 0, tmp_path / "seen", metrics.written)
    assert len(client.get_metric_history(run, "steps/loss")) == before


def test_a_server_that_is_gone_does_not_end_a_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = connect(tmp_path, database_uri(tmp_path), database_uri(tmp_path))
    metrics = LiveMetrics(client, "0" * 32, "code_adapter-a")  # a run that is not there
    metrics.add("steps/loss", 1.0, 1)
    with caplog.at_level(logging.WARNING, logger="cortex_pipelines"):
        metrics.flush()
    assert metrics.written == set()
    assert "MLflow takes no metrics" in caplog.text


def test_data_sets_have_schema_and_profile(bench: Workbench) -> None:
    for stage in (("words", "a"), ("loud", "a")):
        assert run_tracked(bench, *stage)
    run_found = find_run(bench.root, "loud", "a", bench.lock()["loud@a"]["outs"][0]["md5"])
    inputs = open_client(bench.root).get_run(run_found[0]).inputs.dataset_inputs
    assert {dataset_input.dataset.name for dataset_input in inputs} == {"words", "loud"}
    for dataset_input in inputs:
        (column,) = json.loads(dataset_input.dataset.schema)["mlflow_colspec"]
        assert (column["name"], column["type"], column["required"]) == ("word", "string", True)
        rows = pl.read_parquet(bench.root / "data" / dataset_input.dataset.name / "a/words.parquet").height
        profile = json.loads(dataset_input.dataset.profile)
        assert profile == {"num_rows": rows, "num_elements": rows, "rows/words": rows}


def test_every_table_of_the_platform_has_a_schema_in_mlflow() -> None:
    from mlflow.types import Schema

    from cortex_pipelines.tracking.runs import OUTPUT, data_set

    for asset in open_project(ROOT).graph.order:
        entry = data_set(asset, None, "1" * 32, ROOT / "nowhere", OUTPUT).dataset
        assert entry.profile is None
        if asset.tables:
            schema = Schema.from_json(json.dumps(json.loads(entry.schema)["mlflow_colspec"]))
            assert len(set(schema.input_names())) == len(schema.inputs)
        else:
            assert entry.schema is None


def test_experiments_go_by_model_and_project() -> None:
    project = open_project(ROOT)

    def name(asset: str, partition: str | None) -> str:
        return experiment_name(Stage(project, project.graph.assets[asset], partition))

    assert name("code_adapter", "click") == "code_adapter-click"
    assert name("code_adapter_release", "click") == "code_adapter-click"
    assert (name("task_router_evaluation", None), name("naming_dataset", "click")) == ("task_router", "data-click")
    assert name("coordination_events", None) == "data"
