"""Series of workers' metrics, and their windows, split by time and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.monitoring.settings import AnomalySettings

EVERYONE = "all"  # subject of records without a worker
_MEASURED = pl.when("counter").then("rate").otherwise("value")


@dataclass(frozen=True)
class WorkerSeries:
    """One worker's records in one log, in time order; one row a record, a counter as its rate a second."""

    file: str
    subject: str
    metrics: tuple[str, ...]
    times: tuple[datetime, ...]
    values: np.ndarray
    counters: tuple[str, ...] = ()


def all_series(metrics: pl.DataFrame, present: float) -> list[list[WorkerSeries]]:
    """The series of each log, sorted by log and worker.

    A missing value is filled by the one before it, or else by the median of the log. Metrics that are
    not numbers or occur in less than this share of the log's records are left out.
    """
    logs = []
    for _, log in sorted(metrics.group_by("file"), key=lambda item: str(item[0])):
        dated = log.filter(pl.col("occurred_at").is_not_null())
        fewest_records = present * max(dated["event_id"].n_unique(), 1)
        counts = dated.group_by("metric").agg(count=_MEASURED.count())
        if used_metrics := counts.filter(pl.col("count") >= fewest_records)["metric"].sort().to_list():
            logs.append(series_of(log, used_metrics))
    return logs


def series_of(log: pl.DataFrame, metrics: Sequence[str]) -> list[WorkerSeries]:
    """The series of a log with gaps filled; a metric that never occurs is NaN."""
    used_rows = log.filter(pl.col("occurred_at").is_not_null(), pl.col("metric").is_in(metrics)).with_columns(
        pl.col("worker").fill_null(EVERYONE), measured=_MEASURED
    )
    counters = used_rows.filter("counter")["metric"].unique().sort().to_list()
    wide = used_rows.pivot("metric", index=["worker", "occurred_at", "byte_offset"], values="measured")
    missing = [name for name in metrics if name not in wide.columns]
    wide = (
        wide.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
        .sort("worker", "occurred_at", "byte_offset")
        .with_columns(pl.col(metrics).forward_fill().over("worker"))
        .with_columns(pl.col(metrics).fill_null(pl.col(metrics).median()))
    )
    return [
        WorkerSeries(
            file=str(log["file"][0]),
            subject=str(worker),
            metrics=tuple(metrics),
            times=tuple(rows["occurred_at"]),
            values=rows.select(metrics).to_numpy().astype(np.float64),
            counters=tuple(counters),
        )
        for (worker,), rows in wide.group_by("worker", maintain_order=True)
    ]


PARTS = ("train", "threshold", "latest")
MOST_SPREADS = 50.0  # clip for scaled values, so that a wrong unit does not dominate all other values
_STILL_SPREADS = 4.0
"""Clip for a metric that never moved. How much is much for it is not known, so each movement counts
as this: enough to be found beside 30 noisy metrics, and not enough to hide a spike in them if it
moves now and then from then on, as counts of errors do (``docs/guides/watching.md``)."""
_ROUNDING = 1e-9
_LEAST_SPREAD = 1e-12
"""Least spread as a share of the largest value, and where all of them are 0. Differences of that
size are rounding; nearly any other one is then at the clip."""


@dataclass(frozen=True)
class Scale:
    """Centre and spread of each metric, from the training records.

    The spread is half of the distance between the 16th and 84th percentile, which for a normal distribution is its
    standard deviation; else the standard deviation. Where nothing varied it is hardly more than 0, so that any movement
    is at the clip, which is ``most`` spreads.
    """

    centre: np.ndarray
    spread: np.ndarray
    most: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> "Scale":
        low, centre, high = np.percentile(values, [16, 50, 84], axis=0)
        spread, deviation = (high - low) / 2, values.std(axis=0)
        min_spread = np.maximum(_ROUNDING * np.abs(values).max(axis=0), _LEAST_SPREAD)
        spread = np.maximum(np.where(spread > 0, spread, deviation), min_spread)
        still = values.min(axis=0) == values.max(axis=0)
        return cls(centre, spread, np.where(still, _STILL_SPREADS, MOST_SPREADS))

    def apply(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # infinitely many spreads are at the clip as well
            scaled = (values - self.centre) / self.spread
        return np.asarray(np.clip(scaled, -self.most, self.most))


@dataclass(frozen=True)
class Windows:
    """Windows of one split of a log, shape (windows, records, metrics), with time of first and last record."""

    subjects: tuple[str, ...]
    starts: tuple[datetime, ...]
    ends: tuple[datetime, ...]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.subjects)

    def row(self, index: int) -> dict[str, Any]:
        times = {"start": self.starts[index], "end": self.ends[index]}
        return {"subject": self.subjects[index], **times, "place": index}


def divide(log: Sequence[WorkerSeries], settings: AnomalySettings) -> dict[str, Windows]:
    """Split a log's windows by time into ``PARTS``.

    No window reaches over the end of a part, so no record is in two of them.
    """
    times = sorted(time for series in log for time in series.times)
    shares = (settings.train_share, settings.train_share + settings.threshold_share)
    # the first record of a part, at most the last one
    first = [times[min(round(len(times) * share), len(times) - 1)] for share in shares]
    by_part: dict[str, list[tuple[str, datetime, datetime, np.ndarray]]] = {p: [] for p in PARTS}
    for series in log:
        record_parts = [sum(time >= begin for begin in first) for time in series.times]
        for start in range(len(series.times) - settings.window + 1):
            end = start + settings.window
            if record_parts[start] == record_parts[end - 1]:
                by_part[PARTS[record_parts[start]]].append(
                    (series.subject, series.times[start], series.times[end - 1], series.values[start:end])
                )
    shape = (0, settings.window, len(log[0].metrics))
    return {part: _stack_windows(windows, shape) for part, windows in by_part.items()}


def all_windows(log: Sequence[WorkerSeries], size: int) -> Windows:
    windows = [
        (series.subject, series.times[start], series.times[start + size - 1], series.values[start : start + size])
        for series in log
        for start in range(len(series.times) - size + 1)
    ]
    return _stack_windows(windows, (0, size, len(log[0].metrics)))


def _stack_windows(windows: Sequence[tuple[str, datetime, datetime, np.ndarray]], empty: tuple[int, ...]) -> Windows:
    if not windows:
        return Windows((), (), (), np.zeros(empty))
    subjects, starts, ends, values = zip(*windows, strict=True)
    return Windows(subjects, starts, ends, np.stack(values))
