"""Time series of workers' metrics, one per log and worker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

EVERYONE = "all"
"""Subject of records without a worker."""


@dataclass(frozen=True)
class Series:
    """One worker's records in one log, in time order; one row a record, a counter as its rate a second."""

    file: str
    subject: str
    metrics: tuple[str, ...]
    times: tuple[datetime, ...]
    values: np.ndarray
    counters: tuple[str, ...] = ()


def all_series(metrics: pl.DataFrame, present: float) -> list[list[Series]]:
    """The series of each log, sorted by log and worker.

    A missing value is filled by the one before it, or else by the median of the log. Metrics that are
    not numbers or stand in less than this share of the log's records are left out.
    """
    return [
        series
        for _, log in sorted(metrics.group_by("file"), key=lambda item: str(item[0]))
        if (series := list(_of_log(log, present)))
    ]


def series_of(log: pl.DataFrame, metrics: Sequence[str]) -> list[Series]:
    """The series of a log with gaps filled; a metric that never occurs is NaN."""
    return list(_series(_timed(log), str(log["file"][0]), list(metrics))) if log.height else []


def _timed(log: pl.DataFrame) -> pl.DataFrame:
    measured = pl.when("counter").then("rate").otherwise("value")
    return log.filter(pl.col("occurred_at").is_not_null()).with_columns(
        measured.alias("measured"), pl.col("worker").fill_null(EVERYONE)
    )


def _of_log(log: pl.DataFrame, present: float) -> Iterator[Series]:
    timed = _timed(log)
    records = timed["event_id"].n_unique()
    counts = timed.group_by("metric").agg(pl.col("measured").count().alias("count"))
    used_metrics = counts.filter(pl.col("count") >= present * max(records, 1))["metric"].sort().to_list()
    if used_metrics:
        yield from _series(timed, str(log["file"][0]), used_metrics)


def _series(timed: pl.DataFrame, file: str, used_metrics: list[str]) -> Iterator[Series]:
    used_rows = timed.filter(pl.col("metric").is_in(used_metrics))
    counters = used_rows.filter("counter")["metric"].unique().sort().to_list()
    wide = used_rows.pivot("metric", index=["worker", "occurred_at", "byte_offset"], values="measured")
    missing = [name for name in used_metrics if name not in wide.columns]
    wide = (
        wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
        .sort("worker", "occurred_at", "byte_offset")
        .with_columns(pl.col(used_metrics).forward_fill().over("worker"))
        .with_columns(pl.col(used_metrics).fill_null(pl.col(used_metrics).median()))
    )
    for (worker,), rows in wide.group_by("worker", maintain_order=True):
        yield Series(
            file=file,
            subject=str(worker),
            metrics=tuple(used_metrics),
            times=tuple(rows["occurred_at"]),
            values=rows.select(used_metrics).to_numpy().astype(np.float64),
            counters=tuple(counters),
        )
