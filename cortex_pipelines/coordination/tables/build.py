"""Build all tables from the agent system's records."""

from collections.abc import Mapping

import polars as pl

from cortex_pipelines.coordination.tables.decisions import decisions, outcomes
from cortex_pipelines.coordination.tables.features import features
from cortex_pipelines.coordination.tables.metrics import system_metrics, worker_metrics
from cortex_pipelines.coordination.tables.settings import LogTableSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES, SYSTEM_METRICS, WORKER_METRICS


def coordination_tables(
    events: pl.DataFrame, aliases: Mapping[str, str], settings: LogTableSettings
) -> dict[str, pl.DataFrame]:
    """Tables ``schemas.COORDINATION_TABLES`` by name. Keyword rules, and events without a master, are in none."""
    decision_rows, outcome_rows = decisions(events, aliases), outcomes(events)
    return {
        DECISIONS.name: decision_rows,
        OUTCOMES.name: outcome_rows,
        FEATURES.name: features(decision_rows, outcome_rows, settings),
        WORKER_METRICS.name: worker_metrics(events, settings),
        SYSTEM_METRICS.name: system_metrics(events, settings),
    }
