"""Past durations of assets, from MLflow's local database."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.tracking.store import database, database_uri, tracking_uri

_SECONDS = """
SELECT asset.value, partition.value, (runs.end_time - runs.start_time) / 1000.0, runs.end_time
FROM runs
JOIN tags AS asset ON asset.run_uuid = runs.run_uuid AND asset.key = 'asset_key'
JOIN tags AS partition ON partition.run_uuid = runs.run_uuid AND partition.key = 'partition'
WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED' AND runs.end_time IS NOT NULL
ORDER BY runs.start_time, runs.run_uuid
"""
_SHORTEST = 0.5
"""Shorter runs were recorded afterwards, for what `dvc repro` made."""


def last_seconds(root: Path) -> dict[tuple[str, str], float]:
    """Duration of the last run of each asset and partition, in seconds.

    Runs that MLflow keeps on a server are not looked at: they may be those of other machines.
    """
    rows = _finished(root)
    return {(asset, part): seconds for asset, part, seconds, _ in rows if seconds >= _SHORTEST}


def last_ends(root: Path) -> dict[tuple[str, str], datetime]:
    """When the last run of each asset and partition ended, as far as it was run here."""
    return {(asset, part): datetime.fromtimestamp(end / 1000, UTC) for asset, part, _, end in _finished(root)}


def _finished(root: Path) -> list[Any]:
    path = database(root)
    if tracking_uri(root) != database_uri(root) or not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tags'").fetchone():
            return []
        return connection.execute(_SECONDS).fetchall()
