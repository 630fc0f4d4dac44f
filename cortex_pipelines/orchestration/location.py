"""Dagster code location: assets, jobs, schedules and sensors of one project."""

import logging
from pathlib import Path

import dagster as dg
import polars as pl

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.datasets.publish.contracts import validate, write_data_docs
from cortex_pipelines.orchestration.nightly import nightly_job
from cortex_pipelines.orchestration.recovery import recover
from cortex_pipelines.orchestration.schedules import project_job, schedules, sync_sensor
from cortex_pipelines.orchestration.syncing import sync_project
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.tracking.runs import MlflowTracker
from cortex_pipelines.versioning.dagster.dagster_assets import build_assets
from cortex_pipelines.versioning.materialise import ContractCheck
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")


def check_table(frame: pl.DataFrame, table: Table, pages: Path) -> ContractCheck:
    result = validate(frame, table)
    page = write_data_docs({table.name: [result]}, pages / table.name)
    return ContractCheck(table.name, frame.height, result.failures, str(page))


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
