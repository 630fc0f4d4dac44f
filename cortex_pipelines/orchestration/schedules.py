"""Automation: the nightly and weekly schedules, a job per project, the sync sensor."""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg

from cortex_pipelines.config import AutomationSettings
from cortex_pipelines.orchestration.nightly import WEEKLY_TAG
from cortex_pipelines.versioning.dagster.partitions import follow_projects
from cortex_pipelines.versioning.project import Project

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
