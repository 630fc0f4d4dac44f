"""Asset of anomaly detection on workers' metrics."""

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.monitoring.anomalies.detect import fit_and_score
from cortex_pipelines.monitoring.anomalies.detector_store import save_detectors
from cortex_pipelines.monitoring.anomalies.report import anomaly_report
from cortex_pipelines.monitoring.anomalies.settings import AnomalySettings
from cortex_pipelines.schemas.coordination import SYSTEM_METRICS, WORKER_METRICS
from cortex_pipelines.schemas.monitoring import ANOMALY_ALERTS, ANOMALY_SERIES, ANOMALY_WINDOWS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(
    tables=(ANOMALY_SERIES, ANOMALY_WINDOWS, ANOMALY_ALERTS),
    partitioned=False,
    determinism="machine",
    alarm="alarmed_logs",
)
def worker_anomalies(
    coordination_tables: Path,
    anomalies: AnomalySettings,
    coordination: CoordinationSettings,
    out: Path,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Anomaly scores of workers' metrics by the best of three detectors, and latest alerts."""
    began = monotonic()
    metrics = pl.concat(
        pl.read_parquet(coordination_tables / f"{table.name}.parquet") for table in (WORKER_METRICS, SYSTEM_METRICS)
    )
    watchers, tables = fit_and_score(metrics, anomalies)
    save_detectors(out, watchers, anomalies.window)
    figures = {
        "hand_written_sample": float(coordination.sample),
        "watched_logs": float(tables[ANOMALY_SERIES.name]["chosen"].count()),
        "left_out_logs": float(tables[ANOMALY_SERIES.name]["left_out"].count()),
        "alerts": float(tables[ANOMALY_ALERTS.name].height),
        "alarmed_logs": float(_alarmed(tables[ANOMALY_WINDOWS.name], anomalies.alarm_share)),
    }
    (out / "metrics.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    report = anomaly_report(tables, anomalies.alarm_share, coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
    observe("watch_seconds", monotonic() - began)
    return tables


def _alarmed(windows: pl.DataFrame, alarm_share: float) -> int:
    """Logs with more anomalies in their latest windows than the false alarm rate allows."""
    latest = windows.filter(pl.col("part") == "latest")
    shares = latest.group_by("file").agg(pl.col("alert").mean())
    return shares.filter(pl.col("alert") > alarm_share).height
