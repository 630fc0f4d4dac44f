"""``cortex sync``: bring Dagster, MLflow and registry aliases in line with DVC."""

import logging
from typing import Any

import dagster as dg

from cortex_pipelines.orchestration.runs import close_dead_runs
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.tracking.experiments import end_dead_runs, find_run, restore_runs
from cortex_pipelines.tracking.recorded_versions import Key, known_versions
from cortex_pipelines.tracking.registry import follow_ledger
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.tracking.store import entered_again, lost, uses_own_database
from cortex_pipelines.versioning.dagster.metadata import describe
from cortex_pipelines.versioning.dagster.staleness import Staleness
from cortex_pipelines.versioning.dvc.reconcile import DvcView, sync
from cortex_pipelines.versioning.dvc.repair import take_out_undeclared
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")

_LOG = logging.getLogger("cortex_pipelines")


def sync_project(
    project: Project, definitions: dg.Definitions, instance: dg.DagsterInstance, thorough: bool = False
) -> int:
    """Report missing versions to Dagster and MLflow; returns the number of events."""
    close_dead_runs(instance)
    end_dead_runs(project.root)
    if sentence := take_out_undeclared(project):
        _LOG.warning(sentence)
    ensure_keys(project.root, project_models(project))
    staleness = Staleness(instance, definitions)
    missing, entered = _missing_runs(project, thorough), set[Key]()

    def unknown(view: DvcView) -> bool:
        key = (view.asset.name, view.partition or "", str(view.locked))
        if view.version != view.locked or key not in missing:
            return False
        entered.add(key)
        return True

    def describe_again(view: DvcView) -> dict[str, Any]:
        return _metadata(project, view)

    events = sync(project, instance, staleness, describe_again, unknown=unknown)
    if entered:
        _LOG.warning("MLflow had no run of %d versions of the workspace; they are entered again", len(entered))
    if lost(project.root):
        sync_aliases(project)
        entered_again(project.root)
    return events


def _missing_runs(project: Project, thorough: bool) -> set[Key]:
    """Versions of ``dvc.lock`` that MLflow has no run of, after deleted ones were restored.

    A server is only asked where that is wanted or its records were lost: it may hold many runs.
    """
    root, stages = project.root, locked_stages(project.root)
    if not (thorough or lost(root) or uses_own_database(root)):
        return set()
    locked = {
        (asset.name, partition or "", str(version))
        for asset in project.graph.order
        for partition in project.partitions_of(asset)
        if (version := locked_version(stages, project.address(asset, partition)))
    }
    missing = locked - known_versions(root).keys()
    if missing and restore_runs(root, missing):
        missing -= known_versions(root).keys()
    return missing


def sync_aliases(project: Project) -> int:
    return sum(follow_ledger(project, model) for model in project_models(project))


def _metadata(project: Project, view: DvcView) -> dict[str, Any]:
    if view.version != view.locked or view.version is None:
        return {}  # edited by hand: no run made these bytes
    run = find_run(project.root, view.asset.name, view.partition, view.version)
    tracker = MlflowTracker()
    if run is None:
        version = Version(view.version, view.made_from, computed=True)
        run_id = tracker.record(project, view.asset, view.partition, version, "")
    else:
        run_id = run[0]
    return describe(project, view.asset, view.partition, view.version) | {
        "mlflow/run_id": run_id,
        "mlflow/run": dg.MetadataValue.url(tracker.link(run_id)),
    }
