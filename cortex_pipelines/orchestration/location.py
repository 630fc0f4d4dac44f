"""Dagster code location of one project: assets, jobs, schedules, and the sync that follows what happened elsewhere."""

import json
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from cortex_pipelines.atomic import folder_lock, write_whole
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import AutomationSettings, load_parameters
from cortex_pipelines.orchestration.nightly import WEEKLY_TAG, nightly_job
from cortex_pipelines.orchestration.recovery import recover
from cortex_pipelines.orchestration.runs import close_dead_runs
from cortex_pipelines.orchestration.side_by_side import run_stale_at_once
from cortex_pipelines.release.ledger import ensure_keys, project_models
from cortex_pipelines.schemas.expectations import profile, validate, write_data_docs
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.tracking.experiments import end_dead_runs, find_run, restore_runs
from cortex_pipelines.tracking.recorded_versions import Key, known_versions
from cortex_pipelines.tracking.registry import follow_ledger
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.tracking.store import entered_again, lost, uses_own_database
from cortex_pipelines.versioning.dagster.dagster_assets import build_assets, links
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dagster.metadata import describe
from cortex_pipelines.versioning.dagster.staleness import Staleness
from cortex_pipelines.versioning.dvc.reconcile import DvcView, sync
from cortex_pipelines.versioning.dvc.repair import take_out_undeclared
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version
from cortex_pipelines.versioning.materialise import ContractCheck, Version
from cortex_pipelines.versioning.project import Project, Stage


def end_dead(root: Path, instance: dg.DagsterInstance, is_daemon: bool = False) -> None:
    """End the runs of killed processes in Dagster and MLflow."""
    close_dead_runs(instance, is_daemon)
    end_dead_runs(root)


def sync_project(project: Project, instance: dg.DagsterInstance, thorough: bool = False) -> int:
    """Report missing versions to Dagster and MLflow; returns the number of events. One process does so at a time:
    two would enter each version twice.
    """
    with folder_lock(project.root / ".cortex" / "sync"):
        return _sync(project, instance, thorough)


def _sync(project: Project, instance: dg.DagsterInstance, thorough: bool) -> int:
    end_dead(project.root, instance)
    if sentence := take_out_undeclared(project):
        _LOG.warning(sentence)
    ensure_keys(project.root, project_models(project))
    root, stages = project.root, locked_stages(project.root)
    missing, entered = set[Key](), set[Key]()
    # a server is only asked where that is wanted or its records were lost: it may hold many runs
    if thorough or lost(root) or uses_own_database(root):
        missing = {
            (asset.name, partition or "", str(version))
            for asset in project.graph.order
            for partition in project.partitions_of(asset)
            if (version := locked_version(stages, project.address(asset, partition)))
        } - known_versions(root).keys()
        if missing and restore_runs(root, missing):
            missing -= known_versions(root).keys()

    def unknown(view: DvcView) -> bool:
        key = (view.asset.name, view.partition or "", str(view.locked))
        if view.version != view.locked or key not in missing:
            return False
        entered.add(key)
        return True

    def describe_again(view: DvcView) -> dict[str, Any]:
        if view.version != view.locked or view.version is None:
            return {}  # edited by hand: no run made these bytes
        stage = Stage(project, view.asset, view.partition)
        run = find_run(root, view.asset.name, view.partition, view.version)
        version, tracker = Version(view.version, view.made_from, computed=True), MlflowTracker()
        run_id = run[0] if run else tracker.record(stage, version, "")
        link = partial(tracker.link, root, run_id)
        return describe(stage, view.version) | {"mlflow/run_id": run_id} | links(stage, link)

    events = sync(project, instance, Staleness(instance, project), describe_again, unknown=unknown)
    if entered:
        _LOG.warning("MLflow had no run of %d versions of the workspace; they are entered again", len(entered))
    if lost(root):
        sync_aliases(project)
        entered_again(root)
    return events


def sync_aliases(project: Project) -> int:
    return sum(follow_ledger(project, model) for model in project_models(project))


def schedules(job: dg.JobDefinition, settings: AutomationSettings) -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=name,
            job=job,
            cron_schedule=cron,
            tags=tags,
            execution_timezone=settings.time_zone,
            default_status=dg.DefaultScheduleStatus.STOPPED,
            description=f"Moves the pins, makes what is stale, trains what has enough to learn in {most} at most, and "
            "promotes what passes its gate.",
        )
        for name, cron, tags, most in (
            ("nightly", settings.nightly, {}, "retraining.nightly_minutes"),
            ("weekly", settings.weekly, WEEKLY_TAG, "retraining.weekly_minutes"),
        )
    ]


def fingerprint(root: Path, names: Sequence[str]) -> str:
    """Fingerprint of lock files and outputs by file metadata, without reading content."""
    paths = [root / name for name in ("dvc.lock", "params.yaml", "sources.lock", "releases.lock", "dvc.yaml")]
    for name in names:
        folder = root / "data" / name
        paths += [folder, *(sorted(folder.iterdir()) if folder.is_dir() else [])]
    return ",".join(str(path.stat().st_mtime_ns) if path.exists() else "-" for path in paths)


_LOG = logging.getLogger("cortex_pipelines")


def check_table(frame: pl.DataFrame, table: Table, pages: Path) -> ContractCheck:
    """Hold a table against its relations and the version before, and write the page that says how; the variable
    ``CORTEX_EXPECTATIONS`` turns this off, because Great Expectations takes seconds to load.
    """
    if os.environ.get("CORTEX_EXPECTATIONS") == "off":
        return ContractCheck(table.name, frame.height)
    profile_file = pages / f"{table.name}.json"
    report = validate(frame, table, read_json(profile_file) or None)
    page = write_data_docs(report, pages / f"{table.name}.html")
    if not report.failures:
        write_whole(profile_file, json.dumps(profile(frame)))
    for warning in report.warnings:
        _LOG.warning("%s, table %s: %s", pages.name, table.name, warning)
    return ContractCheck(table.name, frame.height, report.failures, report.warnings, str(page) if page else None)


_README = """\
All assets of one project, from its repository to the release.

From the sources of a team's projects ({projects}) and the logs of its agents to data sets, an adapter for each project
and a router of tasks. Every version is DVC's: `cortex run`, `dvc repro` and *Materialize* here make the same bytes.

**Groups** in the order of the path: sources, ingestion, privacy, extraction, annotation, augmentation, retrieval,
datasets, adapters, evaluation, release; coordination and routing for the router; feedback and monitoring for both;
yaml_parameters are the sections of params.yaml.

**Jobs**: this one makes every output of a project; `nightly` moves the pins, makes what is stale and promotes what
passes its gate. Its schedules are off until you start them.

**Look at** `report` in the metadata of an evaluation or a release for what a model is worth, `mlflow/run` for its
run, and the *Checks* tab for what its tables promise.
"""


def _open_recovered(root: Path) -> Project:
    for sentence in recover(root):  # Dagster loads this, too, after what it ran was killed
        _LOG.warning(sentence)
    return open_project(root)


def open_location(root: Path, pool: str | None = None) -> tuple[Project, dg.Definitions]:
    """``pool``: Dagster's pool of what trains a model. Without one, nothing that this process runs holds a slot."""
    project = _open_recovered(root)
    settings = load_parameters(root).automation

    tracker = MlflowTracker()
    build_data = partial(run_stale_at_once, open_again=open_location)
    job = nightly_job(project, partial(_open_recovered, root), tracker, check_table, pool, build_data)
    project_job = dg.define_asset_job(
        "project_path",
        selection=dg.AssetSelection.assets(*(asset.name for asset in project.graph.order if asset.partitioned)),
        description=_README.format(projects=", ".join(project.partitions) or "none yet"),
    )

    @dg.sensor(
        name="sync",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Brings Dagster's view into line with dvc.lock and the workspace.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        project = _open_recovered(root)
        follow_projects(context.instance, project)
        end_dead(root, context.instance, is_daemon=True)  # which changed no file, and would count as going on
        mark = fingerprint(project.root, [asset.name for asset in project.graph.order])
        if context.cursor == mark:
            return dg.SkipReason("nothing changed since the last check")
        events = sync_project(project, context.instance)
        context.update_cursor(mark)
        return dg.SkipReason(f"events reported: {events}")

    return project, dg.Definitions(
        assets=build_assets(project, tracker, check_table, pool),
        jobs=[job, project_job],
        schedules=schedules(job, settings),
        sensors=[sensor],
        executor=dg.in_process_executor,  # a process for each step would spend seconds on imports
    )
