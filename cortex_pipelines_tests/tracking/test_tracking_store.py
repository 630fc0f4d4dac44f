import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from cortex_pipelines.prompts.templates import project_templates
from cortex_pipelines.tracking import experiments, store
from cortex_pipelines.tracking.registry import register_templates
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.root import ProjectError


def test_the_variables_of_mlflow_name_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, shared = tmp_path / "p", tmp_path / "shared.db"
    root.mkdir()
    project_experiment = experiments.experiment_id(root, "task_router")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}")
    assert store.open_client(root).get_experiment_by_name("task_router") is None
    other = experiments.experiment_id(root, "task_router")
    experiment = store.open_client(root).get_experiment(other)
    assert experiment.artifact_location == (root / ".mlflow/artifacts/task_router").as_uri()
    assert store.registry_uri(root) == f"sqlite:///{shared}"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{tmp_path / 'models.db'}")
    store.open_client(root).create_registered_model("task_router")
    assert (tmp_path / "models.db").exists()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name)
    assert experiments.experiment_id(root, "task_router") == project_experiment
    assert store.open_client(root).search_registered_models() == []
    assert experiments.experiment_ids(root) == [project_experiment, "0"]


@pytest.mark.parametrize("name", ['it\'s "new"', ":name"])
def test_a_database_begins_whatever_its_folder_is_called(tmp_path: Path, monkeypatch, name: str) -> None:
    root = tmp_path / name
    root.mkdir()
    monkeypatch.chdir(root)
    assert store.open_client(root).get_experiment("0").artifact_location == (root / ".mlflow/artifacts/0").as_uri()


def test_a_server_chooses_where_artifacts_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[dict[str, object]] = []

    class Server:
        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str, **given: object) -> str:
            requests.append(given)
            return "7"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example.org:5000")
    monkeypatch.setattr(experiments, "open_client", lambda root: Server())
    (tmp_path / ".mlflow").mkdir()
    assert experiments.experiment_id(tmp_path, "task_router") == "7"
    (request,) = requests
    assert request["artifact_location"] is None
    assert request["tags"]["mlflow.experimentKind"] == "custom_model_development", "else MLflow opens a page of traces"


def test_the_records_of_a_copy_name_artifacts_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, copied, other = tmp_path / "or_100%", tmp_path / "copied", tmp_path / "other"
    original.mkdir()
    other.mkdir()
    client = store.open_client(original)
    run = client.create_run(experiments.experiment_id(original, "task_router")).info.run_id
    client.log_text(run, "kept", "note.txt")
    client.create_registered_model("task_router")
    client.create_model_version("task_router", client.get_run(run).info.artifact_uri, run)
    with monkeypatch.context() as shared:
        shared.setenv("MLFLOW_TRACKING_URI", store.database_uri(original))
        other_experiment = experiments.experiment_id(other, "code_adapter")
    shutil.copytree(original, copied)
    before = store.database(original).read_bytes()
    copy = store.open_client(copied)
    artifact_uri = (copied / ".mlflow/artifacts/task_router").as_uri()
    assert copy.get_experiment_by_name("task_router").artifact_location == artifact_uri
    assert copy.get_run(run).info.artifact_uri == f"{artifact_uri}/{run}/artifacts"
    assert copy.get_model_version("task_router", "1").source == f"{artifact_uri}/{run}/artifacts"
    assert (copied / ".mlflow/artifacts/task_router" / run / "artifacts/note.txt").exists()
    assert copy.get_experiment(other_experiment).artifact_location.startswith(other.as_uri())
    assert store.database(original).read_bytes() == before


def test_a_copy_whose_records_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, copied = tmp_path / "original", tmp_path / "copied"
    original.mkdir()
    run = store.open_client(original).create_run(experiments.experiment_id(original, "task_router"))
    shutil.copytree(original, copied)
    monkeypatch.setattr(store, "_WAIT_SECONDS", 0.1)
    with contextlib.closing(sqlite3.connect(store.database(copied))) as busy:
        busy.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ProjectError, match=r"came from another folder.*database is locked"):
            store.open_client(copied)
    assert store.open_client(copied).get_run(run.info.run_id).info.artifact_uri.startswith(copied.as_uri())


def test_artifacts_of_a_database_go_where_mlflow_s_variable_says(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "s3://team/mlflow/")
    experiment_id = experiments.experiment_id(tmp_path, "task_router")
    experiment = store.open_client(tmp_path).get_experiment(experiment_id)
    assert experiment.artifact_location == "s3://team/mlflow/task_router"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("postgresql+psycopg2://somebody@127.0.0.1:1/mlflow", "cannot be used: connection to"),
        ("postgresql+pg8000://somebody@127.0.0.1:1/mlflow", "needs the package pg8000"),
        ("http://127.0.0.1:1", "MLflow's server http://127.0.0.1:1 does not answer .*refused"),
    ],
)
def test_a_server_that_cannot_be_reached_is_said_at_once(tmp_path, monkeypatch, uri: str, words: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ProjectError, match=words) as raised:
        store.open_client(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("stage", "lost"), [("repository_files@a", True), ("parameters", False)])
def test_outputs_without_a_database_are_entered_by_the_next_sync(tmp_path, monkeypatch, stage: str, lost: bool) -> None:
    (tmp_path / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  {stage}:\n    cmd: x\n")
    assert store.lost(tmp_path) == lost
    store.open_client(tmp_path)  # another command comes before the sync
    assert store.lost(tmp_path) == lost
    store.entered_again(tmp_path)
    assert not store.lost(tmp_path)


def test_each_content_is_registered_once(tmp_path: Path) -> None:
    packaged = project_templates(tmp_path)
    first = register_templates(tmp_path, packaged)
    assert (set(first), set(first.values())) == ({f"prompt-{name}" for name in packaged.by_name}, {1})
    for folder in (tmp_path / "prompts", tmp_path / "prompts" / "short"):
        folder.mkdir()
        (folder / "architecture.jinja").write_text(f"{{{{ given }}}} {folder.name}\n")
    templates = project_templates(tmp_path)
    second = register_templates(tmp_path, templates)
    assert second == first | {"prompt-architecture": 2, "prompt-architecture-short": 1}
    assert register_templates(tmp_path, templates) == second
    assert register_templates(tmp_path, packaged) == first, "what was there before is there still"
    client = open_client(tmp_path)
    stored = client.get_prompt_version("prompt-architecture", 2)
    assert stored.template == templates["architecture"].text
    assert stored.tags["template"] == templates["architecture"].version
    assert stored.format(given="a service").strip() == templates.render("architecture", given="a service")
    assert client.search_registered_models() == [], "no model among the project's"
