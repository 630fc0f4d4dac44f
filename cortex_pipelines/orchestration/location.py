"""Dagster code location: assets, jobs, schedules and the sync sensor of one project."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import AutomationSettings, load_parameters
from cortex_pipelines.orchestration.nightly import WEEKLY_TAG, nightly_job
from cortex_pipelines.orchestration.recovery import recover
from cortex_pipelines.orchestration.syncing import sync_project
from cortex_pipelines.schemas.expectations import profile, validate, write_data_docs
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.versioning.dagster.dagster_assets import build_assets
from cortex_pipelines.versioning.dagster.instance import follow_projects
from cortex_pipelines.versioning.dvc.yaml_files import read_json
from cortex_pipelines.versioning.materialise import ContractCheck
from cortex_pipelines.versioning.project import Project

_SWITCH = "CORTEX_EXPECTATIONS"
"""Variable that turns Great Expectations off with ``off``; loading it takes seconds of each process."""

_WATCHED = ("dvc.lock", "params.yaml", "sources.lock", "releases.lock", "dvc.yaml")

Open = Callable[[], tuple[Project, dg.Definitions]]
Sync = Callable[[Project, dg.Definitions, dg.DagsterInstance], int]


def schedules(job: dg.JobDefinition, settings: AutomationSettings) -> list[dg.ScheduleDefinition]:
    return [
        dg.ScheduleDefinition(
            name=name,
            job=job,
            cron_schedule=cron,
            tags=tags,
            execution_timezone=settings.time_zone,
            default_status=dg.DefaultScheduleStatus.STOPPED,
        )
        for name, cron, tags in (("nightly", settings.nightly, {}), ("weekly", settings.weekly, WEEKLY_TAG))
    ]


def project_job(project: Project) -> dg.Definitions:
    names = [asset.name for asset in project.graph.order if asset.partitioned]
    job = dg.define_asset_job(
        "project_path",
        selection=dg.AssetSelection.assets(*names),
        description="All assets of one project, from its repository to the release.",
    )
    return dg.Definitions(jobs=[job])


def sync_sensor(open_again: Open, sync: Sync) -> dg.SensorDefinition:
    """Report changes by ``dvc repro``, ``dvc pull`` or a checkout to Dagster."""

    @dg.sensor(
        name="sync",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Brings Dagster's view into line with dvc.lock and the workspace.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        project, definitions = open_again()
        follow_projects(context.instance, project)
        mark = fingerprint(project.root, [asset.name for asset in project.graph.order])
        if context.cursor == mark:
            return dg.SkipReason("nothing changed since the last check")
        events = sync(project, definitions, context.instance)
        context.update_cursor(mark)
        return dg.SkipReason(f"{events} versions reported")

    return sensor


def fingerprint(root: Path, names: Sequence[str]) -> str:
    """Fingerprint of lock files and outputs by file metadata, without reading content."""
    paths = [root / name for name in _WATCHED]
    for name in names:
        folder = root / "data" / name
        paths += [folder, *(sorted(folder.iterdir()) if folder.is_dir() else [])]
    return ",".join(str(path.stat().st_mtime_ns) if path.exists() else "-" for path in paths)


_LOG = logging.getLogger("cortex_pipelines")


def check_table(frame: pl.DataFrame, table: Table, pages: Path) -> ContractCheck:
    """Hold a table against its relations and the version before, and write the page that says how."""
    if os.environ.get(_SWITCH) == "off":
        return ContractCheck(table.name, frame.height)
    profile_file = pages / f"{table.name}.json"
    report = validate(frame, table, read_json(profile_file) or None)
    page = write_data_docs(report, pages / f"{table.name}.html")
    if not report.failures:
        write_whole(profile_file, json.dumps(profile(frame)))
    for warning in report.warnings:
        _LOG.warning("%s, table %s: %s", pages.name, table.name, warning)
    return ContractCheck(table.name, frame.height, report.failures, report.warnings, str(page) if page else None)


def open_location(root: Path) -> tuple[Project, dg.Definitions]:
    for sentence in recover(root):  # Dagster loads this, too, after what it ran was killed
        _LOG.warning(sentence)
    settings = load_parameters(root).automation
    project = open_project(root)

    def open_again() -> tuple[Project, dg.Definitions]:
        return open_location(root)

    tracker = MlflowTracker()
    job = nightly_job(project, open_again, tracker, check_table)
    location = dg.Definitions(
        assets=build_assets(project, tracker, check_table),
        jobs=[job],
        schedules=schedules(job, settings),
        sensors=[sync_sensor(open_again, sync_project)],
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2}),
    )
    return project, dg.Definitions.merge(location, project_job(project))
