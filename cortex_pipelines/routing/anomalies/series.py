"""Metrics of workers as series of numbers: one a log and worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

EVERYONE = "all"
"""Subject of records that name no worker."""


@dataclass(frozen=True)
class Series:
    """One worker's records in one log, in the order of time.

    Args:
        file: The log.
        subject: The worker, or ``EVERYONE``.
        metrics: Names of the metrics, sorted; the same for all series of a log.
        times: Time of each record.
        values: One row a record, one column a metric; a counter as its rate a second.
    """

    file: str
    subject: str
    metrics: tuple[str, ...]
    times: tuple[datetime, ...]
    values: np.ndarray


def all_series(metrics: pl.DataFrame, present: float) -> list[list[Series]]:
    """The series of each log, logs and workers in the order of their names.

    A value that is missing is the one before it, or else the median of the log. A metric that is
    missing too often, or is no number, is left out.

    Args:
        metrics: ``schemas.WORKER_METRICS`` and ``schemas.SYSTEM_METRICS``.
        present: Share of a log's records that a metric has to stand in.
    """
    return [
        found
        for _, log in sorted(metrics.group_by("file"), key=lambda item: str(item[0]))
        if (found := list(_of_log(log, present)))
    ]


def _of_log(log: pl.DataFrame, present: float) -> Iterator[Series]:
    measured = pl.when("counter").then("rate").otherwise("value")
    timed = log.filter(pl.col("occurred_at").is_not_null()).with_columns(
        measured.alias("measured"), pl.col("worker").fill_null(EVERYONE)
    )
    records = timed["event_id"].n_unique()
    counts = timed.group_by("metric").agg(pl.col("measured").count().alias("count"))
    kept = counts.filter(pl.col("count") >= present * max(records, 1))["metric"].sort().to_list()
    if not kept:
        return
    wide = (
        timed.filter(pl.col("metric").is_in(kept))
        .pivot("metric", index=["worker", "occurred_at", "byte_offset"], values="measured")
        .sort("worker", "occurred_at", "byte_offset")
        .with_columns(pl.col(kept).forward_fill().over("worker"))
        .with_columns(pl.col(kept).fill_null(pl.col(kept).median()))
    )
    for (worker,), rows in wide.group_by("worker", maintain_order=True):
        yield Series(
            file=str(log["file"][0]),
            subject=str(worker),
            metrics=tuple(kept),
            times=tuple(rows["occurred_at"]),
            values=rows.select(kept).to_numpy().astype(np.float64),
        )
