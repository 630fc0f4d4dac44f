"""Coordination logs in the asset graph."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.incremental import TABLES
from cortex_pipelines.coordination.logs import logs_folder, pinned_outcomes, read_logs
from cortex_pipelines.coordination.settings import CoordinationSettings, CoordinationSource, LogTableSettings
from cortex_pipelines.coordination.tables.decisions import decisions, outcomes
from cortex_pipelines.coordination.tables.features import features
from cortex_pipelines.coordination.tables.metrics import worker_and_system_metrics
from cortex_pipelines.privacy.compliance import check_logs
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.coordination import (
    COORDINATION_EVENTS,
    COORDINATION_TABLES,
    DECISIONS,
    FEATURES,
    OUTCOMES,
    SYSTEM_METRICS,
    WORKER_METRICS,
)
from cortex_pipelines.versioning import versioned_asset


def build_tables(
    events: pl.DataFrame, aliases: Mapping[str, str], settings: LogTableSettings
) -> dict[str, pl.DataFrame]:
    """Tables ``schemas.COORDINATION_TABLES`` by name. Keyword rules, and events without a master, are in none."""
    decision_rows, outcome_rows = decisions(events, aliases), outcomes(events)
    workers, system = worker_and_system_metrics(events, settings)
    return {
        DECISIONS.name: decision_rows,
        OUTCOMES.name: outcome_rows,
        FEATURES.name: features(decision_rows, outcome_rows, settings),
        WORKER_METRICS.name: workers,
        SYSTEM_METRICS.name: system,
    }


@versioned_asset(tables=TABLES, partitioned=False)
def coordination_events(
    coordination_source: CoordinationSource,
    privacy: PrivacySettings,
    out: Path,
    root: Path,
    cache: RowCache | None = None,
    observe: Callable[[str, float], None] | None = None,
) -> dict[str, pl.DataFrame]:
    """Records parsed from the agent system's logs, rejected spans, unread fields and redactions."""
    settings = coordination_source.settings
    folder = logs_folder(settings.logs, root)
    connected = list(pinned_outcomes(coordination_source, root))
    logs = read_logs(folder, coordination_source.pin, settings, privacy, cache, observe, connected)
    report = check_logs(logs.events, logs.redacted, privacy)
    text = json.dumps(report, indent=1, ensure_ascii=False)
    (out / "compliance.json").write_text(text + "\n", encoding="utf-8")
    frames = (logs.events, logs.rejected, logs.redacted, logs.unread)
    return {table.name: frame for table, frame in zip(TABLES, frames, strict=True)}


@versioned_asset(tables=COORDINATION_TABLES, partitioned=False)
def coordination_tables(
    coordination_events: Path, coordination: CoordinationSettings, log_tables: LogTableSettings
) -> dict[str, pl.DataFrame]:
    """Decisions, outcomes, features known before each decision, and metrics."""
    events = COORDINATION_EVENTS.read(coordination_events)
    return build_tables(events, coordination.aliases, log_tables)
