"""``cortex status``: existing and stale outputs of every asset and project."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from cortex_pipelines.tracking.recorded_versions import known_versions
from cortex_pipelines.versioning.dagster.provenance import NOTHING
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.project import Project
from cortex_pipelines.versioning.staleness import Staleness


def status_rows(
    project: Project, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> Iterator[dict[str, Any]]:
    """A row for each asset and partition, in topological order.

    Yields:
        ``asset, partition, data_version`` (Dagster's), ``dvc_md5`` (in dvc.lock), ``mlflow_digest, run_id``
        (MLflow's, of that version), ``fresh`` (DVC and Dagster agree that nothing is to be done) and ``reason`` (why
        it is stale, or empty).
    """
    dagster = Staleness(instance, definitions).snapshot()
    recorded = known_versions(project.root)
    for view in dvc_views(project):
        name, partition = view.asset.name, view.partition
        word, causes = dagster.status(name, partition)
        version = dagster.version(name, partition)
        run_id, digest = recorded.get((name, partition or "", view.locked or ""), (None, None))
        reasons = list(view.reasons) or [cause for cause in causes if word != "FRESH"]
        if not view.changed and version != view.locked:
            reasons.append("Dagster has another version: run `cortex sync`")
        yield {
            "asset": name,
            "partition": partition,
            "data_version": None if version == NOTHING else version,
            "dvc_md5": view.locked,
            "mlflow_digest": digest,
            "run_id": run_id,
            "fresh": not view.changed and word == "FRESH" and version == view.locked,
            "reason": "; ".join(reasons) if view.locked else "never made",
        }


def count_rows(project: Project, name: str, partition: str | None) -> int:
    folder = project.output(name, partition)
    tables = project.graph.assets[name].tables
    return sum(table_rows(folder / f"{table.name}.parquet") for table in tables)


def table_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowInvalid, OSError):
        return 0  # edited or truncated: the status shows it as stale
