"""MLflow experiments by name: restored if somebody deleted them, created if they are missing."""

import logging
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock

from cortex_pipelines.tracking.store import DATABASES, artifact_root, open_client, tracking_uri

FORGOTTEN = "forgotten"
"""Tag of runs that were deleted for good reason: they are never restored."""

_DELETED = "deleted"
_LOG = logging.getLogger("cortex_pipelines")


def experiment_id(root: Path, name: str) -> str:
    """Id of the active experiment with a name.

    A deleted one is restored with its runs. One that somebody created in MLflow's page, whose artifacts only that
    page's server can write, is renamed, and another one takes its name.
    """
    client = open_client(root)
    experiment = client.get_experiment_by_name(name)
    if experiment and _is_usable(root, experiment):
        return str(experiment.experiment_id)
    with FileLock(root / ".mlflow" / ".experiment.lock"):
        experiment = client.get_experiment_by_name(name)
        if experiment and is_deleted(experiment):
            restore_experiment(root, experiment)
        if experiment and _has_usable_artifacts(root, experiment):
            return str(experiment.experiment_id)
        if experiment:
            _rename(client, experiment)
        return str(client.create_experiment(name, artifact_location=_artifacts(root, name)))


def experiment_ids(root: Path) -> list[str]:
    return [str(experiment.experiment_id) for experiment in _all(root) if not is_deleted(experiment)]


def all_experiments(root: Path) -> dict[str, Any]:
    return {str(experiment.experiment_id): experiment for experiment in _all(root)}


def is_deleted(entity: Any) -> bool:
    return bool(entity.lifecycle_stage == _DELETED)


def restore_experiment(root: Path, experiment: Any) -> None:
    client, number = open_client(root), str(experiment.experiment_id)
    forgotten = [run.info.run_id for run in deleted_runs(root, [number], FORGOTTEN)]
    client.restore_experiment(number)
    for run_id in forgotten:
        client.delete_run(run_id)
    _LOG.warning("MLflow: the experiment %s had been deleted; it is restored with its runs", experiment.name)


def deleted_runs(root: Path, experiments: list[str], tag: str) -> Iterator[Any]:
    """The deleted runs of some experiments that have a tag, newest first."""
    from mlflow.entities import ViewType

    token: str | None = ""
    while token is not None:
        page = open_client(root).search_runs(
            experiments,
            filter_string=f"tags.`{tag}` != ''",
            run_view_type=ViewType.DELETED_ONLY,
            max_results=500,
            page_token=token or None,
        )
        token = page.token or None
        yield from page


def _all(root: Path) -> Iterator[Any]:
    from mlflow.entities import ViewType

    token: str | None = ""
    while token is not None:
        page = open_client(root).search_experiments(ViewType.ALL, max_results=1000, page_token=token or None)
        token = page.token or None
        yield from page


def _is_usable(root: Path, experiment: Any) -> bool:
    return not is_deleted(experiment) and _has_usable_artifacts(root, experiment)


def _has_usable_artifacts(root: Path, experiment: Any) -> bool:
    """False if only a tracking server can write artifacts and none is used."""
    location = str(experiment.artifact_location or "")
    if not tracking_uri(root).startswith(DATABASES):
        return True
    return ":" in location and not location.startswith("mlflow-artifacts:")


def _rename(client: Any, experiment: Any) -> None:
    names = (f"{experiment.name} ({number})" for number in count(2))
    free = next(name for name in names if client.get_experiment_by_name(name) is None)
    client.rename_experiment(experiment.experiment_id, free)
    _LOG.warning(
        "MLflow: the experiment %s was created by hand and keeps its artifacts where only MLflow's "
        "page can write (%s); it is now called %s",
        experiment.name,
        experiment.artifact_location,
        free,
    )


def _artifacts(root: Path, experiment: str) -> str | None:
    """Artifact location of an experiment; None for a server's own.

    A database has none: MLflow's default would be a folder in the current directory.
    """
    if tracking_uri(root).startswith(DATABASES):
        if artifact_base := os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT"):
            return f"{artifact_base.rstrip('/')}/{experiment}"
        return f"{artifact_root(root)}{experiment}"
    return None
