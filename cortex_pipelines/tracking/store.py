"""The project's MLflow database and artifacts, created once however many processes come first."""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow import MlflowClient

UI = "http://127.0.0.1:5000"
"""Where ``make ui`` serves MLflow."""


def database_uri(root: Path) -> str:
    """Tracking and registry URI; absolute, since MLflow's default depends on where one stands."""
    return f"sqlite:///{(root / '.mlflow' / 'mlflow.db').resolve()}"


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
    ready = home / ".initialised"
    if ready.exists():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    with FileLock(home / ".initialise.lock"):
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
