"""Metrics of workers and of the system, one row per record and metric."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.coordination.records import TIME
from cortex_pipelines.coordination.settings import LogTableSettings
from cortex_pipelines.coordination.tables.decisions import first_text, leaves, number_or_label
from cortex_pipelines.schemas.coordination import SYSTEM_METRICS, WORKER_METRICS

_WORKER = ("worker_id", "worker", "agent_id")
_SERIES = ("file", "worker", "metric")
_FEWEST = 3  # values of a series from which it can be said whether it is a counter
_OF_WORKERS, _OF_SYSTEM = ("worker_metric", "evaluation"), ("system_metric",)  # kinds of records with metrics
NOTHING = "record"  # metric of a record that has no field but its time


def worker_and_system_metrics(events: pl.DataFrame, settings: LogTableSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Frames of ``WORKER_METRICS`` and ``SYSTEM_METRICS``."""
    value, step = pl.col("value"), pl.col("step")
    is_integral = ((value >= 0) & (value == value.floor())).all()
    gauge = pl.lit("|".join(f"(?:{rule})" for rule in settings.gauges) or "$^")
    drops = (step < 0).sum() / pl.max_horizontal(step.count(), 1)
    is_counter = (
        is_integral
        & (value.count() >= _FEWEST)
        & (value.max() > value.min())
        & (drops <= settings.counter_drops)
        & ~pl.col("metric").first().str.contains(gauge)
    )
    workers, system = (_metrics(events, kinds, is_counter) for kinds in (_OF_WORKERS, _OF_SYSTEM))
    return WORKER_METRICS.conform(workers), SYSTEM_METRICS.conform(system)


def metrics_with_counters(events: pl.DataFrame, counters: Collection[str]) -> pl.DataFrame:
    """Metrics of workers and system; ``counters`` only ever add up, which a few records say too little to tell."""
    is_counter = pl.col("metric").first().is_in(list(counters))
    return WORKER_METRICS.conform(_metrics(events, (*_OF_WORKERS, *_OF_SYSTEM), is_counter))


_MADE = ("event_id", "file", "byte_offset", "worker", "occurred_at", "metric", "value", "label")


def _rows(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    record = json.loads(event["payload"])
    shared = {
        "event_id": event["event_id"],
        "file": event["file"],
        "byte_offset": event["byte_offset"],
        "worker": first_text(record, _WORKER),
        "occurred_at": event["occurred_at"],
    }
    rows = [
        shared | {"metric": name.encode("utf-8", "replace").decode("utf-8"), "value": value, "label": label}
        for name, field in leaves(record)
        if name not in (*TIME, *_WORKER)
        for value, label in [number_or_label(field)]
    ]
    # Two names may differ only in invalid Unicode; the first one stands for both.
    by_metric = {row["metric"]: row for row in reversed(rows)}
    return list(by_metric.values()) or [shared | {"metric": NOTHING, "value": None, "label": None}]


def _metrics(events: pl.DataFrame, kinds: Sequence[str], is_counter: pl.Expr) -> pl.DataFrame:
    """Rows with ``counter`` and, for counters, the rate per second since the previous value.

    A decreasing value is a counter that was reset to zero, so the value itself is the rise.
    """
    made = [row for event in events.filter(pl.col("kind").is_in(kinds)).iter_rows(named=True) for row in _rows(event)]
    rows = pl.DataFrame(made, schema={name: WORKER_METRICS.schema[name] for name in _MADE}, orient="row")
    timed = rows.filter(pl.col("value").is_not_null() & pl.col("occurred_at").is_not_null())
    before = pl.col("value", "occurred_at").shift(1).over(_SERIES, order_by=["occurred_at", "byte_offset"])
    steps = timed.with_columns(before.name.suffix("_before")).with_columns(
        (pl.col("value") - pl.col("value_before")).alias("step")
    )
    counters = steps.group_by(_SERIES).agg(is_counter.alias("counter"))
    seconds = (pl.col("occurred_at") - pl.col("occurred_at_before")).dt.total_microseconds() / 1e6
    rise = pl.when(pl.col("step") < 0).then("value").otherwise("step")
    rated = (
        steps.join(counters, on=_SERIES, how="left", nulls_equal=True)
        .filter("counter")
        .select("event_id", "metric", pl.when(seconds > 0).then(rise / seconds).alias("rate"), "counter")
    )
    with_rates = rows.join(rated, on=["event_id", "metric"], how="left")
    return with_rates.with_columns(pl.col("counter").fill_null(value=False))
