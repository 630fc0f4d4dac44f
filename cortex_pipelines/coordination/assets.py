"""Coordination logs in the asset graph."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSource, logs_folder, read_logs
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS, REJECTED_EVENTS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(
    tables=(COORDINATION_EVENTS, REJECTED_EVENTS),
    partitioned=False,
)
def coordination_events(
    coordination_source: CoordinationSource,
    root: Path,
    cache: RowCache | None = None,
    observe: Callable[[str, float], None] | None = None,
) -> dict[str, pl.DataFrame]:
    """Every record of the agent system's logs that was understood, and each that was not."""
    settings = coordination_source.settings
    folder = logs_folder(settings.logs, root)
    events, rejected = read_logs(folder, coordination_source.pin, settings, cache, observe)
    return {COORDINATION_EVENTS.name: events, REJECTED_EVENTS.name: rejected}
