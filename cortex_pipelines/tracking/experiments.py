"""MLflow experiments and runs by name or version: restored if deleted, ended if their process died."""

import json
import logging
import os
import platform
from collections.abc import Callable, Collection, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock

from cortex_pipelines.atomic import began_before, write_whole
from cortex_pipelines.tracking.recorded_versions import Key, recorded_run
from cortex_pipelines.tracking.store import DATABASES, artifact_root, open_client, tracking_uri

FORGOTTEN = "forgotten"  # tag of runs that were deleted for good reason: they are never restored
_LOG = logging.getLogger("cortex_pipelines")


def experiment_id(root: Path, name: str) -> str:
    """Id of the active experiment with a name.

    A deleted one is restored with its runs. One that somebody created in MLflow's page, whose artifacts only that
    page's server can write, is renamed, and another one takes its name.
    """
    client = open_client(root)
    experiment = client.get_experiment_by_name(name)
    if experiment and not is_deleted(experiment) and _has_usable_artifacts(root, experiment):
        for key, value in _tags(name).items():  # of one that an older version created
            if key not in experiment.tags:
                client.set_experiment_tag(experiment.experiment_id, key, value)
        return str(experiment.experiment_id)
    with FileLock(root / ".mlflow" / ".experiment.lock"):
        experiment = client.get_experiment_by_name(name)
        if experiment and is_deleted(experiment):
            restore_experiment(root, experiment)
        if experiment and _has_usable_artifacts(root, experiment):
            return str(experiment.experiment_id)
        if experiment:
            names = (f"{name} ({number})" for number in count(2))
            free = next(free for free in names if client.get_experiment_by_name(free) is None)
            client.rename_experiment(experiment.experiment_id, free)
            _LOG.warning(
                "MLflow: the experiment %s was created by hand and keeps its artifacts where only MLflow's "
                "page can write (%s); it is now called %s",
                *(name, experiment.artifact_location, free),
            )
        location = None  # a server's own
        if tracking_uri(root).startswith(DATABASES):  # its default would be a folder in the current directory
            artifact_base = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or artifact_root(root)
            location = f"{artifact_base.rstrip('/')}/{name}"
        return str(client.create_experiment(name, artifact_location=location, tags=_tags(name)))


def _tags(name: str) -> dict[str, str]:
    """What makes MLflow's page open on runs and models, say what they are, and plot what a person compares."""
    kind, _, project = name.partition("-")
    contents = "Data sets, reports" if kind == "data" else f"{kind}: trainings, evaluations and releases"
    tags = {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.note.content": f"{contents} of {project or 'all projects'}; a run each time that one was made.",
    }
    return tags if kind == "data" else tags | {"mlflow.experiment.primaryMetric.name": "improvement"}


def experiment_ids(root: Path) -> list[str]:
    return [number for number, experiment in all_experiments(root).items() if not is_deleted(experiment)]


def all_experiments(root: Path) -> dict[str, Any]:
    from mlflow.entities import ViewType

    experiments = pages(open_client(root).search_experiments, view_type=ViewType.ALL, max_results=1000)
    return {str(experiment.experiment_id): experiment for experiment in experiments}


def is_deleted(entity: Any) -> bool:
    return bool(entity.lifecycle_stage == "deleted")


def restore_experiment(root: Path, experiment: Any) -> None:
    client, number = open_client(root), str(experiment.experiment_id)
    forgotten = [run.info.run_id for run in deleted_runs(root, [number], FORGOTTEN)]
    client.restore_experiment(number)
    for run_id in forgotten:
        client.delete_run(run_id)
    _LOG.warning("MLflow: the experiment %s had been deleted; it is restored with its runs", experiment.name)


def pages(search: Callable[..., Any], **query: Any) -> Iterator[Any]:
    """All results of a search by MLflow's client."""
    token = None
    while True:
        page = search(**query, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def deleted_runs(root: Path, experiments: list[str], tag: str) -> Iterator[Any]:
    """The deleted runs of some experiments that have a tag, newest first."""
    from mlflow.entities import ViewType

    return pages(
        open_client(root).search_runs,
        experiment_ids=experiments,
        filter_string=f"tags.`{tag}` != ''",
        run_view_type=ViewType.DELETED_ONLY,
        max_results=500,
    )


def _has_usable_artifacts(root: Path, experiment: Any) -> bool:
    """False if only a tracking server can write artifacts and none is used."""
    location = str(experiment.artifact_location or "")
    if not tracking_uri(root).startswith(DATABASES):
        return True
    return ":" in location and not location.startswith("mlflow-artifacts:")


_VERSION = "dvc_md5"


def find_run(root: Path, name: str, partition: str | None, version: str) -> tuple[str, dict[str, str]] | None:
    """Newest run that made this version: its id and tags, or None."""
    if recorded := recorded_run(root, (name, partition or "", version)):
        return recorded
    runs = open_client(root).search_runs(
        experiment_ids(root),
        filter_string=f"tags.{_VERSION} = '{version}' and tags.asset_key = '{name}' "
        f"and tags.partition = '{partition or ''}' and attributes.status = 'FINISHED'",
        max_results=1,
    )
    return (str(runs[0].info.run_id), dict(runs[0].data.tags)) if runs else None


def get_run(root: Path, run_id: str) -> Any | None:
    """A run, deleted or not; None if it is gone for good."""
    return unless_missing(lambda: open_client(root).get_run(run_id))


def unless_missing(get: Callable[[], Any]) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return get()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def restore_runs(root: Path, versions: Collection[Key]) -> int:
    """Restore the newest deleted run of each version, unless ``cortex forget`` deleted it; how many came back."""
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


def run_marker(root: Path, run_id: str) -> Path:
    return root / ".mlflow" / "going" / run_id


def note_process(root: Path, run_id: str) -> None:
    mark = run_marker(root, run_id)
    mark.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        mark, json.dumps({"process": os.getpid(), "machine": platform.node(), "uri": _hashed_uri(root)}).encode()
    )


def end_dead_runs(root: Path) -> int:
    """End the runs of killed processes; returns how many."""
    marks = sorted((root / ".mlflow" / "going").glob("*"))
    if not marks:
        return 0
    from mlflow.exceptions import MlflowException  # slow to import

    ended_runs = 0
    for mark in marks:
        try:
            noted = json.loads(mark.read_text(encoding="utf-8"))
            process, uri = int(noted["process"]), str(noted["uri"])
            is_here = noted.get("machine", platform.node()) == platform.node()  # a container has other processes
        except (OSError, ValueError, TypeError, KeyError):
            continue  # ended meanwhile, or is being written
        if uri != _hashed_uri(root) or not is_here or began_before(process, mark):
            continue
        try:
            client = open_client(root)
            client.set_tag(mark.name, "error", "the process that ran it is gone; run it again")
            client.set_terminated(mark.name, "FAILED")
            ended_runs += 1
        except MlflowException:
            pass  # deleted since, or with a database that was lost
        mark.unlink(missing_ok=True)
    return ended_runs


def _hashed_uri(root: Path) -> str:
    """What tells one MLflow from another; the address itself may hold a password."""
    return sha256(tracking_uri(root).encode()).hexdigest()
