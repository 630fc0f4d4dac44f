"""Ways to forecast compared on real series from rolling origins."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.learned.forecast.methods import METHODS, Method
from cortex_pipelines.learned.forecast.network import ForecastNetwork
from cortex_pipelines.learned.forecast.rolling import COVERAGE, Backtest, backtest
from cortex_pipelines.learned.forecast.series import Doubles, ForecastError, Series, seasons
from cortex_pipelines.learned.settings import ForecastSettings
from cortex_pipelines.schemas.learned import FORECAST_ERRORS, FORECAST_SERIES
from cortex_pipelines.statistics.leaderboard import leaderboard_rows

ASSET, NETWORK = "performance_analyser", "lstm_attention"
SIMPLEST = next(iter(METHODS))
_SHORTEST_SEASON = 6  # steps ahead at least, whatever the season


class ForecastBenchmark:
    """Backtests of all series, with what the judged origins say of each candidate."""

    def __init__(self, series: Sequence[tuple[str, Series]], settings: ForecastSettings) -> None:
        self.settings = settings
        self.series = [(collection, each) for collection, each in series if self._origins(each)]
        self.backtests: list[Backtest] = []
        self.seconds: dict[str, float] = {}

    def horizon(self, series: Series) -> int:
        season = min((lag for lag in seasons(series) if lag >= _SHORTEST_SEASON), default=_SHORTEST_SEASON)
        return min(season, self.settings.horizon)

    def _origins(self, series: Series) -> tuple[int, ...]:
        def nothing(past: Doubles, lags: Sequence[int], horizon: int) -> Doubles:
            return np.zeros(horizon)

        try:
            return backtest(series, self.horizon(series), dict.fromkeys(METHODS, nothing)).ends
        except ForecastError:
            return ()

    def training_series(self) -> list[tuple[Series, Sequence[int]]]:
        """Each series up to its first origin, so that the network has seen nothing that bands or scores come from."""
        heads = [series.head(self._origins(series)[0]) for _, series in self.series]
        return [(head, seasons(head)) for head in heads]

    def run(self, network: ForecastNetwork | None) -> None:
        for _, series in self.series:
            methods = METHODS if network is None else {**METHODS, NETWORK: network.method(series)}
            timed = {name: self._timed(name, method) for name, method in methods.items()}
            self.backtests.append(backtest(series, self.horizon(series), timed))

    def _timed(self, name: str, method: Method) -> Method:
        def call(past: Doubles, lags: Sequence[int], horizon: int) -> Doubles:
            began = monotonic()
            forecast = method(past, lags, horizon)
            self.seconds[name] = self.seconds.get(name, 0.0) + monotonic() - began
            return forecast

        return call

    def tables(self) -> dict[str, pl.DataFrame]:
        series_rows: list[dict[str, Any]] = []
        error_rows: list[dict[str, Any]] = []
        for (collection, series), result in zip(self.series, self.backtests, strict=True):
            origins = [
                index
                for index in range(len(result.ends))[-self.settings.judged_origins :]
                if result.known_before(result.ends[index])
            ]
            names = {"collection": collection, "series": series.name}
            for candidate in result.forecasts:
                error_rows += [names | _scores(result, candidate, index) for index in origins]
            series_rows.append(
                names
                | {
                    "values": len(series.values),
                    "seasons": list(seasons(series)),
                    "horizon": result.horizon,
                    "best": min(result.forecasts, key=lambda name: result.errors(name)[origins].mean()),
                    "filled": "; ".join(series.notes) or None,
                }
            )
        return {
            FORECAST_SERIES.name: FORECAST_SERIES.frame(series_rows),
            FORECAST_ERRORS.name: FORECAST_ERRORS.frame(error_rows),
        }


def _scores(result: Backtest, candidate: str, index: int) -> dict[str, Any]:
    actual, mean = result.actual[index], result.forecasts[candidate][index]
    reach = result.reach(candidate, result.known_before(result.ends[index]), result.horizon, COVERAGE)
    quantiles = ((mean - reach, (1 - COVERAGE) / 2), (mean, 0.5), (mean + reach, (1 + COVERAGE) / 2))
    pinball = np.mean([np.maximum(q * (actual - each), (q - 1) * (actual - each)) for each, q in quantiles])
    return {
        "candidate": candidate,
        "origin": result.ends[index],
        "mase": float(result.errors(candidate)[index]),
        "pinball": float(pinball / result.scales[index]),
        "covered": float((np.abs(actual - mean) <= reach + 1e-9).mean()),
    }


def forecast_rows(errors: pl.DataFrame, settings: EvaluationSettings) -> list[dict[str, Any]]:
    """Rows of the leaderboard: errors (``forecast``) and bands (``forecast_bands``), with series as clusters."""
    if errors.is_empty():
        return []
    errors = errors.sort("collection", "series", "origin")
    candidates = [SIMPLEST, *(name for name in errors["candidate"].unique(maintain_order=True) if name != SIMPLEST)]
    rows = []
    for task, metric, column in (("forecast", "MASE", "mase"), ("forecast_bands", "scaled pinball loss", "pinball")):
        scores = {name: errors.filter(pl.col("candidate") == name) for name in candidates}
        clusters = (scores[SIMPLEST]["collection"] + "/" + scores[SIMPLEST]["series"]).to_list()
        rows += leaderboard_rows(
            ASSET,
            task,
            metric,
            {name: frame[column].to_list() for name, frame in scores.items()},
            higher_is_better=False,
            clusters=clusters,
            **settings.bootstrap,
        )
    return rows


def forecast_metrics(tables: Mapping[str, pl.DataFrame], sample: bool) -> dict[str, float]:
    """MASE, scaled pinball loss and coverage of each candidate; series by collection."""
    series, errors = tables[FORECAST_SERIES.name], tables[FORECAST_ERRORS.name]
    means = errors.group_by("candidate").agg(pl.col("mase", "pinball", "covered").mean()).sort("candidate")
    counts = series.group_by("collection").len().sort("collection")
    return {
        "hand_written_sample": float(sample),
        **{f"series_{name}": float(count) for name, count in counts.iter_rows()},
        **{
            f"{row['candidate']}_{name}": row[name]
            for row in means.iter_rows(named=True)
            for name in ("mase", "pinball", "covered")
        },
    }
