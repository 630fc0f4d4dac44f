"""Tables of decisions, outcomes and metrics in the asset graph."""

from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.coordination.tables.build import coordination_tables as build_tables
from cortex_pipelines.coordination.tables.settings import LogTableSettings
from cortex_pipelines.schemas.coordination import COORDINATION_EVENTS, COORDINATION_TABLES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=COORDINATION_TABLES, partitioned=False)
def coordination_tables(
    coordination_events: Path, coordination: CoordinationSettings, log_tables: LogTableSettings
) -> dict[str, pl.DataFrame]:
    """Decisions, outcomes, features known before each decision, and metrics."""
    events = pl.read_parquet(coordination_events / f"{COORDINATION_EVENTS.name}.parquet")
    return build_tables(events, coordination.aliases, log_tables)
