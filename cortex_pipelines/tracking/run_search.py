"""MLflow runs by the version that they made: found, or restored if somebody deleted them."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cortex_pipelines.tracking.experiments import (
    FORGOTTEN,
    all_experiments,
    deleted_runs,
    experiment_ids,
    is_deleted,
    restore_experiment,
)
from cortex_pipelines.tracking.recorded_versions import Key
from cortex_pipelines.tracking.store import open_client

_VERSION, _MISSING = "dvc_md5", "RESOURCE_DOES_NOT_EXIST"
_LOG = logging.getLogger("cortex_pipelines")


def find_run(root: Path, name: str, partition: str | None, version: str) -> tuple[str, dict[str, str]] | None:
    """Newest run that made this version: its id and tags, or None."""
    runs = open_client(root).search_runs(
        experiment_ids(root),
        filter_string=f"tags.{_VERSION} = '{version}' and tags.asset_key = '{name}' "
        f"and tags.partition = '{partition or ''}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    return (str(runs[0].info.run_id), dict(runs[0].data.tags)) if runs else None


def get_run(root: Path, run_id: str) -> Any | None:
    """A run, deleted or not; None if it is gone for good."""
    from mlflow.exceptions import MlflowException

    try:
        return open_client(root).get_run(run_id)
    except MlflowException as error:
        if error.error_code != _MISSING:
            raise
        return None


def restore_runs(root: Path, versions: Collection[Key]) -> int:
    """Restore the newest deleted run of each version; returns how many came back.

    Runs that ``cortex forget`` deleted stay deleted.
    """
    experiments, missing = all_experiments(root), set(versions)
    restored = single = 0
    for run in deleted_runs(root, list(experiments), _VERSION) if missing else ():
        tags = run.data.tags
        key = (tags.get("asset_key", ""), tags.get("partition", ""), tags[_VERSION])
        if key in missing and FORGOTTEN not in tags and run.info.status == "FINISHED":
            missing.discard(key)
            single += restore_run(root, run, experiments)
            restored += 1
    if single:
        _LOG.warning("MLflow: restored deleted runs: %d", single)
    return restored


def restore_run(root: Path, run: Any, experiments: dict[str, Any] | None = None) -> bool:
    """Restore a deleted run, with its experiment if that is deleted too. Returns whether the run alone was deleted."""
    client = open_client(root)
    number = str(run.info.experiment_id)
    experiment = (experiments or {}).get(number) or client.get_experiment(number)
    if is_deleted(experiment) and is_deleted(client.get_experiment(number)):
        restore_experiment(root, experiment)
    if not is_deleted(client.get_run(run.info.run_id).info):
        return False
    client.restore_run(run.info.run_id)
    return True
