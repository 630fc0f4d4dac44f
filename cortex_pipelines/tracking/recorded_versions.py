"""Versions, durations and registered models from MLflow's database, without importing MLflow, which takes seconds."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.tracking.store import database, database_uri, tracking_uri

Key = tuple[str, str, str]  # asset, partition (empty if it has none) and version

_RUNS = """
SELECT asset.value, partition.value, version.value, runs.run_uuid
FROM runs
JOIN tags AS asset ON asset.run_uuid = runs.run_uuid AND asset.key = 'asset_key'
JOIN tags AS partition ON partition.run_uuid = runs.run_uuid AND partition.key = 'partition'
JOIN tags AS version ON version.run_uuid = runs.run_uuid AND version.key = 'dvc_md5'
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
ORDER BY runs.start_time, runs.run_uuid DESC
"""

_DIGESTS = """
SELECT inputs.destination_id, datasets.digest
FROM inputs
JOIN datasets ON datasets.dataset_uuid = inputs.source_id
JOIN input_tags ON input_tags.input_uuid = inputs.input_uuid
WHERE inputs.source_type = 'DATASET' AND inputs.destination_type = 'RUN'
AND input_tags.name = 'mlflow.data.context' AND input_tags.value = 'output'
"""


def known_versions(root: Path) -> dict[Key, tuple[str, str | None]]:
    """Newest run and output digest of each version; see ``runs.find_run``.

    The tables are those of the pinned MLflow; a test compares this with what its client says. Where MLflow is
    elsewhere, its client is asked.
    """
    if tracking_uri(root) != database_uri(root):
        return _versions_from_client(root)
    runs, output_digests = _rows(root, "inputs", _RUNS, _DIGESTS)
    digests = dict(output_digests)
    return {(asset, partition, version): (run, digests.get(run)) for asset, partition, version, run in runs}


def _rows(root: Path, table: str, *queries: str, values: Sequence[str | int] = ()) -> list[list[Any]]:
    """What queries to the project's own database find; nothing if runs are elsewhere."""
    path = database(root)
    if tracking_uri(root) == database_uri(root) and path.exists():
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            # else a process is about to create it
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                return [connection.execute(query, values).fetchall() for query in queries]
    return [[] for _ in queries]


def _versions_from_client(root: Path) -> dict[Key, tuple[str, str | None]]:
    from cortex_pipelines.tracking.experiments import experiment_ids, pages
    from cortex_pipelines.tracking.store import open_client

    versions: dict[Key, tuple[str, str | None]] = {}
    for run in pages(
        open_client(root).search_runs,
        experiment_ids=experiment_ids(root),
        filter_string="attributes.status = 'FINISHED'",
        order_by=["attributes.start_time ASC"],
        max_results=500,
    ):
        tags = run.data.tags
        if "dvc_md5" in tags and "asset_key" in tags:
            digests = [
                dataset_input.dataset.digest
                for dataset_input in (run.inputs.dataset_inputs if run.inputs else ())
                if any(tag.value == "output" for tag in dataset_input.tags)
            ]
            key = (tags["asset_key"], tags.get("partition", ""), tags["dvc_md5"])
            versions[key] = (str(run.info.run_id), digests[0] if digests else None)
    return versions


_SECONDS = """
SELECT asset.value, partition.value, (runs.end_time - runs.start_time) / 1000.0, runs.end_time, memory.value
FROM runs
JOIN tags AS asset ON asset.run_uuid = runs.run_uuid AND asset.key = 'asset_key'
JOIN tags AS partition ON partition.run_uuid = runs.run_uuid AND partition.key = 'partition'
LEFT JOIN latest_metrics AS memory ON memory.run_uuid = runs.run_uuid AND memory.key = 'observed/memory_mb'
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED' AND runs.end_time IS NOT NULL
ORDER BY runs.start_time, runs.run_uuid
"""
_SHORTEST = 0.5  # shorter runs without observations were recorded afterwards, for what `dvc repro` made


@dataclass(frozen=True)
class Run:
    """``memory``: peak in MB, None if it was not observed."""

    seconds: float
    memory: float | None


def last_runs(root: Path) -> dict[tuple[str, str], Run]:
    """Last run of each asset and partition on this machine."""
    (rows,) = _rows(root, "latest_metrics", _SECONDS)
    return {
        (asset, part): Run(seconds, memory)
        for asset, part, seconds, _, memory in rows
        if seconds >= _SHORTEST or memory is not None
    }


def last_seconds(root: Path) -> dict[tuple[str, str], float]:
    """Duration in seconds of the last run of each asset and partition on this machine."""
    return {key: run.seconds for key, run in last_runs(root).items()}


def last_ends(root: Path) -> dict[tuple[str, str], datetime]:
    """End of the last run of each asset and partition on this machine."""
    (rows,) = _rows(root, "latest_metrics", _SECONDS)
    return {(asset, part): datetime.fromtimestamp(end / 1000, UTC) for asset, part, _, end, _ in rows}


def run_ends(root: Path) -> dict[str, datetime]:
    """When each run of the project's own database ended, by its id."""
    (rows,) = _rows(root, "tags", "SELECT run_uuid, end_time FROM runs WHERE end_time IS NOT NULL")
    return {run: datetime.fromtimestamp(end / 1000, UTC) for run, end in rows}


_COSTS = """
SELECT asset.value, cost.key, cost.value FROM runs
JOIN tags AS asset ON asset.run_uuid = runs.run_uuid AND asset.key = 'asset_key'
JOIN latest_metrics AS cost ON cost.run_uuid = runs.run_uuid
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
AND (cost.key LIKE 'observed/%/%/seconds' OR cost.key LIKE 'observed/%/%/megabytes')
ORDER BY runs.start_time, runs.run_uuid
"""


def candidate_costs(root: Path) -> dict[tuple[str, str, str, str], float]:
    """What the last training of a candidate took, by asset, task, candidate and ``seconds`` or ``megabytes``."""
    (rows,) = _rows(root, "latest_metrics", _COSTS)
    costs = {}
    for asset, key, value in rows:
        _, task, candidate, unit = key.split("/", 3)
        costs[asset, task, candidate, unit] = value
    return costs


_RUN = """
SELECT runs.run_uuid FROM runs
JOIN tags AS asset ON asset.run_uuid = runs.run_uuid AND asset.key = 'asset_key' AND asset.value = ?
JOIN tags AS partition ON partition.run_uuid = runs.run_uuid AND partition.key = 'partition' AND partition.value = ?
JOIN tags AS version ON version.run_uuid = runs.run_uuid AND version.key = 'dvc_md5' AND version.value = ?
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED'
ORDER BY runs.start_time DESC, runs.run_uuid LIMIT 1
"""


def recorded_run(root: Path, key: Key) -> tuple[str, dict[str, str]] | None:
    """Newest run of a version in the project's own database, with its tags; None also if runs are elsewhere."""
    for (run,) in _query(root, "tags", _RUN, *key):
        return run, dict(_query(root, "tags", "SELECT key, value FROM tags WHERE run_uuid = ?", run))
    return None


def recorded_experiment(root: Path, run_id: str) -> str | None:
    """Experiment of a run in the project's own database; None also if runs are elsewhere."""
    rows = _query(root, "runs", "SELECT experiment_id FROM runs WHERE run_uuid = ?", run_id)
    return str(rows[0][0]) if rows else None


def recorded_aliases(root: Path, name: str) -> dict[str, str] | None:
    """Number of the version behind each alias of a registered model; None if the registry is elsewhere."""
    if tracking_uri(root) != database_uri(root):
        return None
    rows = _query(
        root, "registered_model_aliases", "SELECT alias, version FROM registered_model_aliases WHERE name = ?", name
    )
    return {alias: str(number) for alias, number in rows}


def recorded_model(root: Path, name: str, number: str) -> dict[str, str]:
    """Tags of a registered version; empty if the project's own database has none."""
    query = """
    SELECT tag.key, tag.value FROM model_version_tags AS tag
    JOIN model_versions AS one ON one.name = tag.name AND one.version = tag.version AND one.workspace = tag.workspace
    WHERE tag.name = ? AND tag.version = ? AND one.current_stage != 'Deleted_Internal'
    """
    return dict(_query(root, "model_version_tags", query, name, int(number)))


def _query(root: Path, table: str, query: str, *values: str | int) -> list[Any]:
    return _rows(root, table, query, values=values)[0]
