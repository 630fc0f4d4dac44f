"""Real series to compare forecasts on: public ones that come inside packages, the logs, and the project's own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.learned.forecast.series import ForecastError, Series, regular_series
from cortex_pipelines.learned.settings import Collection

LEAST_VALUES = 50
"""Fewest values of a series that forecasts are compared on."""
_MOST_VALUES = 2_000  # latest ones: longer series would only take longer


def public_series(names: Sequence[Collection]) -> Iterator[tuple[str, Series]]:
    """Series that come inside packages, of the named collections.

    ``statsmodels``: CO2 by the week, the Nile and sunspots by the year, El Niño by the month, the economy of the US by
    the quarter. ``river``: airline passengers by the month, a flow of water by the hour. ``matplotlib``: prices of ten
    stocks by the month.
    """
    if "statsmodels" in names:
        yield from _statsmodels()
    if "matplotlib" in names:
        from matplotlib import get_data_path

        prices = pl.read_csv(
            Path(get_data_path(), "sample_data", "Stocks.csv"), comment_prefix="#", try_parse_dates=True
        )
        prices = prices.filter(pl.col("Date").dt.day() == 1)
        for name in prices.columns[1:]:
            rows = prices.drop_nulls(name)
            months = [datetime(day.year, day.month, 1) for day in rows["Date"]]
            yield from _usable("matplotlib", name, months, rows[name])
    if "river" in names:
        from river import datasets

        for name, stream, key in (
            ("airline_passengers", datasets.AirlinePassengers(), "month"),
            ("water_flow", datasets.WaterFlow(), "Time"),
        ):
            times, values = zip(*((features[key], target) for features, target in stream), strict=True)
            yield from _usable("river", name, times, values)


def _statsmodels() -> Iterator[tuple[str, Series]]:
    import statsmodels.api as sm

    def data(name: str) -> Any:
        return getattr(sm.datasets, name).load_pandas().data

    weeks = data("co2")["co2"]
    yield from _usable("statsmodels", "co2", weeks.index.to_pydatetime(), weeks)
    for name, time, value in (("nile", "year", "volume"), ("sunspots", "YEAR", "SUNACTIVITY")):
        years = data(name)
        yield from _usable("statsmodels", name, [datetime(int(year), 1, 1) for year in years[time]], years[value])
    months = data("elnino").set_index("YEAR")
    times = [datetime(int(year), month, 1) for year in months.index for month in range(1, 13)]
    yield from _usable("statsmodels", "elnino", times, months.to_numpy().ravel())
    economy = data("macrodata")
    pairs = zip(economy.pop("year"), economy.pop("quarter"), strict=True)
    quarters = [datetime(int(year), 3 * int(quarter) - 2, 1) for year, quarter in pairs]
    for name in economy.columns:
        yield from _usable("statsmodels", name, quarters, economy[name])


def logged_series(metrics: pl.DataFrame) -> Iterator[tuple[str, Series]]:
    """Each metric of each worker in the coordination logs; of a counter, its rise a second."""
    number = pl.when("counter").then("rate").otherwise("value").alias("number")
    rows = (
        metrics.with_columns(number)
        .drop_nulls(["number", "occurred_at"])
        .unique(["file", "worker", "metric", "occurred_at"], keep="first", maintain_order=True)
    )
    for (file, worker, metric), series in rows.group_by(["file", "worker", "metric"], maintain_order=True):
        series = series.sort("occurred_at")
        name = f"{file}: {metric}" + (f" of {worker}" if worker else "")
        yield from _usable("coordination", name, series["occurred_at"], series["number"])


def own_series(commits: Mapping[str, pl.DataFrame], interactions: pl.DataFrame) -> Iterator[tuple[str, Series]]:
    """Commits a week, and completions an hour that the gateway wrote for people, of each project."""
    for project, frame in sorted(commits.items()):
        yield from _counts("commits", f"{project}: commits a week", frame["committed_at"], timedelta(weeks=1))
    by_people = interactions.filter(~pl.col("simulated"))
    for project in sorted(by_people["project"].unique()):
        times = by_people.filter(pl.col("project") == project)["first_at"]
        yield from _counts("gateway", f"{project}: completions an hour", times, timedelta(hours=1))


def _counts(collection: str, name: str, times: pl.Series, span: timedelta) -> Iterator[tuple[str, Series]]:
    moments = times.drop_nulls().sort().to_list()
    if not moments:
        return
    start = moments[0].replace(hour=0, minute=0, second=0, microsecond=0)
    spans = [(time - start) // span for time in moments]
    counts = np.bincount(spans, minlength=spans[-1] + 1)[:-1]  # the last one is not over
    yield from _usable(collection, name, [start + number * span for number in range(len(counts))], counts)


def _usable(collection: str, name: str, times: Iterable[Any], values: Iterable[Any]) -> Iterator[tuple[str, Series]]:
    moments = [time.replace(tzinfo=UTC) if time.tzinfo is None else time for time in times]
    numbers = [float(value) for value in values]
    try:
        series = regular_series(name, moments[-_MOST_VALUES:], numbers[-_MOST_VALUES:])
    except ForecastError:
        return  # too short or irregular
    if len(series.values) >= LEAST_VALUES and np.ptp(series.values) > 0:
        yield collection, series


def all_series(
    names: Sequence[Collection], metrics: pl.DataFrame, commits: Mapping[str, pl.DataFrame], interactions: pl.DataFrame
) -> list[tuple[str, Series]]:
    """The series of the named collections, each with its collection."""
    series = chain(public_series(names), logged_series(metrics), own_series(commits, interactions))
    return [(collection, each) for collection, each in series if collection in names]
