"""The project's MLflow database and artifacts, created once however many processes come first."""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from cortex_pipelines.versioning import databases

if TYPE_CHECKING:
    from mlflow import MlflowClient

UI = "http://127.0.0.1:5000"
"""Where ``make ui`` serves MLflow."""


_READY, _LOCK, _LOST = ".initialised", ".initialise.lock", ".lost"


def database(root: Path) -> Path:
    """The file with MLflow's runs and registry."""
    return root / ".mlflow" / "mlflow.db"


def renew_database(root: Path) -> list[str]:
    """Set MLflow's database aside if it was cut off; what was done, in sentences."""
    home = root / ".mlflow"
    if not (home / _READY).exists():
        return []
    with FileLock(home / _LOCK):
        if databases.damage(database(root)) is None:
            return []
        (home / _LOST).touch()  # before the database goes: a kill in between must not hide it
        done = databases.renew(root, database(root), home / _READY)
    words = "MLflow begins a new one, and `cortex sync` enters what there is"
    return [f"{done}: {words}"] if done else []


def lost(root: Path) -> bool:
    """Whether MLflow's records were lost and those of what is here are to be entered again."""
    return (root / ".mlflow" / _LOST).exists()


def entered_again(root: Path) -> None:
    """All that is here has a run again."""
    (root / ".mlflow" / _LOST).unlink(missing_ok=True)


def database_uri(root: Path) -> str:
    """Tracking and registry URI; absolute, since MLflow's default depends on where one stands."""
    return f"sqlite:///{database(root).resolve()}"


@lru_cache(maxsize=8)
def open_client(root: Path) -> "MlflowClient":
    """MLflow's client for the project.

    First use is serialised: of three processes that create the database at once, two fail.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    home = root / ".mlflow"
    home.mkdir(exist_ok=True)
    uri = database_uri(root)
    ready = home / _READY
    if ready.exists():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    with FileLock(home / _LOCK):
        if not ready.exists() and database(root).exists():
            # a process was killed while it made the database, and MLflow cannot go on with that
            databases.set_aside_all(root, database(root))
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)  # creates the database already
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        ready.touch()
    return client


def experiment_id(root: Path, name: str) -> str:
    """Id of an asset's experiment, made if it is not there."""
    client = open_client(root)
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    with FileLock(root / ".mlflow" / ".experiment.lock"):
        found = client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        artifacts = (root / ".mlflow" / "artifacts").resolve().as_uri()
        return str(client.create_experiment(name, artifact_location=f"{artifacts}/{name}"))
