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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_pipelines.atomic import discard
from cortex_pipelines.versioning.asset import VersionedAsset
from cortex_pipelines.versioning.content import content_md5, value_md5
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dagster.staleness import (
    CODE_VERSION,
    MADE_BY_DVC,
    NOTHING,
    Staleness,
    StatusSnapshot,
    event_tags,
    observe_pins,
)
from cortex_pipelines.versioning.dvc import dvc_store, stages
from cortex_pipelines.versioning.dvc.repair import restore_outputs
from cortex_pipelines.versioning.dvc.yaml_files import read_values
from cortex_pipelines.versioning.parameters import FILE, FOLDER
from cortex_pipelines.versioning.project import Project
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


Describe = Callable[[DvcView], dict[str, Any]]
_DependencyReasons = dict[tuple[str, str | None], list[str]]


def dvc_views(project: Project) -> list[DvcView]:
    """DVC's view of every asset and partition, in topological order. Raises ProjectError: dvc.yaml is out of date,
    so DVC speaks of another graph.
    """
    stages.check_stages(project)

    def ask() -> list[DvcView]:
        with dvc_store.locked_repo(project.root) as repo:
            dvc_store.record_parameters(project, repo)
            stages_by_address = dvc_store.stages_by_address(repo)
            reasons_by_dependency: _DependencyReasons = {}
            return [
                _view(project, asset, partition, stages_by_address, reasons_by_dependency)
                for asset in project.graph.order
                for partition in project.partitions_of(asset)
            ]

    return dvc_store.retry_while_locked(project.root, ask)


def _view(
    project: Project,
    asset: VersionedAsset,
    partition: str | None,
    stages_by_address: dict[str, Any],
    reasons_by_dependency: _DependencyReasons,
) -> DvcView:
    stage = stages_by_address[project.address(asset, partition)]
    reasons = _reasons(project.root, stage, reasons_by_dependency)
    dvc_store.forget_listings()
    return DvcView(
        asset=asset,
        partition=partition,
        changed=bool(reasons),
        reasons=tuple(reasons),
        version=content_md5(project.output(asset.name, partition)),
        locked=dvc_store.locked_version(stage),
        made_from=dvc_store.locked_snapshot(stage),
    )


def _reasons(root: Path, stage: Any, reasons_by_dependency: _DependencyReasons) -> list[str]:
    from dvc.dependency.param import ParamsDependency

    reasons = ["command changed"] if stage.changed_stage() else []
    for dep in stage.deps:
        if isinstance(dep, ParamsDependency) and (root / dep.def_path).is_file():
            reasons += _changed_parameters(root, dep)
            continue
        key = (dep.def_path, str(dep.hash_info.value) if dep.hash_info else None)
        if key not in reasons_by_dependency:
            reasons_by_dependency[key] = list(_status_texts(dep))
        reasons += reasons_by_dependency[key]
    return reasons + [words for out in stage.outs for words in _status_texts(out)]


def _status_texts(entry: Any) -> Iterator[str]:
    for states in entry.status().values():
        if isinstance(states, dict):
            yield from (f"{entry.def_path}:{key} {state}" for key, state in sorted(states.items()))
        else:
            yield f"{entry.def_path} {states}"


def _changed_parameters(root: Path, entry: Any) -> list[str]:
    """Changed parameters of a file; DVC would parse it again for every stage."""
    # by the name of what a person edits
    file = FILE if entry.def_path.startswith(f"{FOLDER}/") else entry.def_path
    if entry.hash_info.value is None:
        return [f"{file} new"]
    locked, current = entry.hash_info.value, read_values(root / entry.def_path)
    changes = []
    for key in sorted(entry.params):
        is_present, value = _look_up(current, key)
        if not is_present:
            changes.append(f"{file}:{key} deleted")
        elif key not in locked:
            changes.append(f"{file}:{key} new")
        elif value != locked[key]:
            changes.append(f"{file}:{key} modified")
    return changes


def _look_up(values: Any, dotted: str) -> tuple[bool, Any]:
    for part in dotted.split("."):
        if not isinstance(values, dict) or part not in values:
            return False, None
        values = values[part]
    return True, values


def sync(
    project: Project,
    instance: "DagsterInstance",
    staleness: Staleness,
    describe: Describe | None = None,
    emit_inputs: bool = True,
    unknown: Callable[[DvcView], bool] = lambda _: False,
) -> int:
    """Reconcile Dagster's view with DVC's; returns the number of events. ``emit_inputs=False`` leaves out tags about
    code and inputs, to show in a test that they matter; ``unknown`` asks whether nothing remembers a version any
    more.
    """
    remove_stray_partitions(project)
    follow_projects(instance, project)
    observed_version = partial(staleness.snapshot().version, observed=True)
    events = sum(
        observe_pins(instance, project, [pin], partition, observed_version)
        for pin in project.graph.pins.values()
        for partition in project.partitions_of(pin)
    )
    status_snapshot, read_at = staleness.snapshot(), events
    for _, views in groupby(_cached_views(project), key=lambda view: view.asset.name):
        if events != read_at:  # reported of an asset before, which changes what is said of this
            status_snapshot, read_at = staleness.snapshot(), events
        for view in views:
            if unknown(view) or not _agree(status_snapshot, view):
                events += _sync_one(project, instance, view, staleness, describe, emit_inputs)
    return events


def _cached_views(project: Project) -> list[DvcView]:
    views = dvc_views(project)
    lost = any(view.version and view.version == view.locked and any(map(_is_uncached, view.reasons)) for view in views)
    return dvc_views(project) if lost and restore_outputs(project) else views


def _is_uncached(reason: str) -> bool:
    return reason.endswith(" not in cache")


def _agree(status_snapshot: StatusSnapshot, view: DvcView) -> bool:
    name, partition = view.asset.name, view.partition
    dagster_version = status_snapshot.version(name, partition)
    if dagster_version is None and view.version is None:
        return True
    stale = status_snapshot.status(name, partition)[0] != "FRESH"
    return dagster_version == (view.version or NOTHING) and stale == view.changed


def remove_stray_partitions(project: Project) -> None:
    """Remove outputs of projects that left params.yaml; they remain in DVC's cache.

    A fan-in stage depends on the folder above the partitions; one that is left there would be read by DVC's hash, but
    by nothing else.
    """
    for asset in project.graph.order:
        folder = project.root / "data" / asset.name
        if asset.partitioned and folder.is_dir():
            for entry in folder.iterdir():
                if entry.is_dir() and entry.name not in project.partitions:
                    discard(entry)


def _sync_one(
    project: Project,
    instance: "DagsterInstance",
    view: DvcView,
    staleness: Staleness,
    describe: Describe | None,
    emit_inputs: bool,
) -> int:
    version = view.version or NOTHING
    tags = event_tags(instance, project, view.asset, view.partition, view.made_from, version)
    if not emit_inputs:
        tags = {key: value for key, value in tags.items() if key.startswith("dagster/data_version")}
    events = _report(project, instance, view, tags, describe)
    if emit_inputs and view.changed and not staleness.stale(view.asset.name, view.partition):
        tags[CODE_VERSION] = MADE_BY_DVC + value_md5(view.reasons)
        events += _report(project, instance, view, tags, describe)
    return events


def _report(
    project: Project, instance: "DagsterInstance", view: DvcView, tags: dict[str, str], describe: Describe | None
) -> int:
    import dagster as dg

    metadata: dict[str, Any] = {"cortex/reported_by": "sync"}
    if view.reasons:
        metadata["cortex/dvc_says"] = "; ".join(view.reasons)
    if describe and view.version:
        metadata |= describe(view)
    instance.report_runless_asset_event(
        dg.AssetMaterialization(view.asset.name, partition=view.partition, tags=tags, metadata=metadata)
    )
    _LOG.info("%s: Dagster now has %s", project.address(view.asset, view.partition), tags.get("dagster/data_version"))
    return 1
