"""``cortex sync``: bring Dagster, MLflow and registry aliases in line with DVC."""

import logging
from typing import Any

import dagster as dg

from cortex_pipelines.catalog import models
from cortex_pipelines.orchestration.runs import close_dead_runs
from cortex_pipelines.release.ledger import ensure_keys
from cortex_pipelines.tracking.processes import end_dead_runs
from cortex_pipelines.tracking.registry import follow_ledger
from cortex_pipelines.tracking.runs import MlflowTracker, find_run
from cortex_pipelines.tracking.store import entered_again, lost
from cortex_pipelines.versioning.dagster.dagster_assets import describe
from cortex_pipelines.versioning.dvc.reconcile import DvcView, sync
from cortex_pipelines.versioning.materialise import Version
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.staleness import Staleness
from cortex_pipelines.versioning.undeclared import take_out_undeclared

_LOG = logging.getLogger("cortex_pipelines")


def sync_project(
    project: Project, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> int:
    """Report missing versions to Dagster and MLflow; returns the number of events."""
    close_dead_runs(instance)
    end_dead_runs(project.root)
    if sentence := take_out_undeclared(project):
        _LOG.warning(sentence)
    ensure_keys(project.root, models(project))
    staleness = Staleness(instance, definitions)

    def unknown(view: DvcView) -> bool:
        if not view.version or view.version != view.locked:
            return False
        known = find_run(project.root, view.asset.name, view.partition, view.version)
        return known is None

    def describe_again(view: DvcView) -> dict[str, Any]:
        return _metadata(project, view)

    if not lost(project.root):
        return sync(project, instance, staleness, describe_again)
    events = sync(project, instance, staleness, describe_again, unknown=unknown)
    sync_aliases(project)
    entered_again(project.root)
    return events


def sync_aliases(project: Project) -> int:
    """Set the registry's aliases from ``releases.lock``; returns how many moved."""
    return sum(follow_ledger(project, model) for model in models(project))


def _metadata(project: Project, view: DvcView) -> dict[str, Any]:
    """Metadata of an output as in a materialisation, with its MLflow run."""
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
