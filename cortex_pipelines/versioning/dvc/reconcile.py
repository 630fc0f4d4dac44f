"""Reconcile Dagster's view with DVC after changes outside Dagster.

``dvc repro``, ``dvc checkout``, ``dvc pull``, ``git checkout``, a run-cache hit, an edit: each changes what is in the
workspace or in ``dvc.lock`` without Dagster hearing of it. For every asset and partition, in topological order, sync
reports an event where, and only where, the two views differ:

* the data version is that of the bytes in the workspace (``NULL`` if missing);
* the code version and the input tags are those of ``dvc.lock``, so that Dagster finds an edited
  parameter or an input that moved by itself;
* where DVC says changed for a reason that Dagster cannot see (somebody edited an output, the
  command changed, 100 partitions or more), the code version says ``dvc-changed:`` and why.

A sync that set the data version alone would leave Dagster saying fresh where DVC says changed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cortex_pipelines.atomic import discard
from cortex_pipelines.progress import Steps
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import value_md5
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dagster.staleness import (
    CODE_VERSION,
    MADE_BY_DVC,
    NOTHING,
    Staleness,
    event_tags,
    observe_pins,
)
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.changes import Comparison, locked_snapshot
from cortex_pipelines.versioning.dvc.repair import restore_outputs
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.project import Project, Stage
from cortex_pipelines.versioning.snapshot import Snapshot

if TYPE_CHECKING:
    from dagster import DagsterInstance

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DvcView:
    """DVC's view: ``changed`` is whether ``dvc repro`` would run the stage, ``version`` the hash in the workspace,
    ``locked`` the one in ``dvc.lock``.
    """

    asset: VersionedAsset
    partition: str | None
    changed: bool
    reasons: tuple[str, ...]
    version: str | None
    locked: str | None
    made_from: Snapshot


def dvc_views(project: Project) -> list[DvcView]:
    """DVC's view of every asset and partition, in topological order; ProjectError if dvc.yaml is out of date."""
    stages.check_stages(project)

    def ask(repo: Any) -> list[DvcView]:
        dvc_store.record_parameters(project, repo)
        comparison, locked = Comparison(repo), locked_stages(project.root)
        views = []
        for asset in project.graph.order:
            exists = project.output(asset.name, None).exists()
            for partition in project.partitions_of(asset):
                stage = Stage(project, asset, partition)
                entry = locked.get(stage.address)
                if entry is None and not (exists and stage.output.exists()):
                    views.append(DvcView(asset, partition, True, ("never made",), None, None, Snapshot({}, {})))
                    continue
                body, entry = stages.stage_body(stage), entry or {}
                reasons = tuple(comparison.changes(body, entry))
                version, locked_md5 = comparison.md5(body["outs"][0]), locked_version(locked, stage.address)
                made_from = locked_snapshot(body, entry)
                views.append(DvcView(asset, partition, bool(reasons), reasons, version, locked_md5, made_from))
        return views

    with Steps.during("comparing outputs with dvc.lock"):
        return dvc_store.with_repo(project.root, ask)


def sync(
    project: Project,
    instance: "DagsterInstance",
    staleness: Staleness,
    describe: Callable[[DvcView], dict[str, Any]] = lambda _: {},
    unknown: Callable[[DvcView], bool] = lambda _: False,
) -> int:
    """Reconcile Dagster's view with DVC's; returns the number of events.

    ``unknown`` asks whether nothing remembers a version any more.
    """
    # outputs of projects that left params.yaml remain in DVC's cache; left here, DVC would hash them with the folder
    # above the partitions, on which a fan-in stage depends
    for asset in project.graph.order:
        folder = project.root / "data" / asset.name
        if asset.partitioned and folder.is_dir():
            for entry in folder.iterdir():
                if entry.is_dir() and entry.name not in project.partitions:
                    discard(entry)
    follow_projects(instance, project)
    observed_version = partial(staleness.snapshot().version, observed=True)
    events = observe_pins(instance, project, project.graph.pins.values(), project.partitions, observed_version)
    current = dvc_views(project)
    intact = [view for view in current if view.version and view.version == view.locked]
    if any(reason.endswith(" not in cache") for view in intact for reason in view.reasons) and restore_outputs(project):
        current = dvc_views(project)
    status_snapshot, read_at = staleness.snapshot(), events
    for _, views in groupby(current, key=lambda view: view.asset.name):
        if events != read_at:  # reported of an asset before, which changes what is said of this
            status_snapshot, read_at = staleness.snapshot(), events
        for view in views:
            name, partition = view.asset.name, view.partition
            dagster_version = status_snapshot.version(name, partition)
            agree = dagster_version is None and view.version is None
            if not agree and dagster_version == (view.version or NOTHING):
                agree = (status_snapshot.status(name, partition)[0] != "FRESH") == view.changed
            if unknown(view) or not agree:
                events += _sync_one(project, instance, view, staleness, describe)
    return events


def _sync_one(
    project: Project,
    instance: "DagsterInstance",
    view: DvcView,
    staleness: Staleness,
    describe: Callable[[DvcView], dict[str, Any]],
) -> int:
    import dagster as dg

    name, partition = view.asset.name, view.partition
    metadata: dict[str, Any] = {"cortex/reported_by": "sync"}
    if view.reasons:
        metadata["cortex/dvc_says"] = "; ".join(view.reasons)

    def report(tags: dict[str, str]) -> None:
        described = describe(view) if view.version else {}
        event = dg.AssetMaterialization(name, partition=partition, tags=tags, metadata=metadata | described)
        instance.report_runless_asset_event(event)

    tags = event_tags(instance, Stage(project, view.asset, partition), view.made_from, view.version or NOTHING)
    report(tags)
    _LOG.info("%s: Dagster now has %s", project.address(view.asset, partition), view.version or "no output")
    if not view.changed or staleness.stale(name, partition):
        return 1
    report(tags | {CODE_VERSION: MADE_BY_DVC + value_md5(view.reasons)})
    return 2
