"""Forecast one series, by the plain ways and the network where it is trained, and explain one of its values."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.learned.forecast.compare import NETWORK
from cortex_pipelines.learned.forecast.network import ForecastNetwork
from cortex_pipelines.learned.forecast.rolling import forecast
from cortex_pipelines.learned.forecast.series import Doubles, ForecastError, Series, seasons
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap

DEFAULT_HORIZON = 24


def forecast_series(series: Series, horizon: int | None, trained: Path | None) -> dict[str, Any]:
    """``forecast``: time, mean, low and high (80 %) of each step; ``winner`` and the ``errors`` that made it so.

    ``horizon``: None for a season, or as many steps as the series has values, up to 24. ``trained``: folder of
    ``performance_analyser``. Raises ForecastError.
    """
    network = ForecastNetwork.load(trained) if trained is not None else None
    learned = {} if network is None else {NETWORK: network.method(series)}
    steps = min(max(seasons(series), default=DEFAULT_HORIZON), DEFAULT_HORIZON, len(series.values))
    prediction = forecast(series, steps if horizon is None else horizon, learned)
    count = len(series.values)
    rows = [
        {"time": series.time(count + step).isoformat(), "mean": mean, "low": low, "high": high}
        for step, (mean, low, high) in enumerate(
            zip(prediction.mean.tolist(), prediction.low.tolist(), prediction.high.tolist(), strict=True)
        )
    ]
    return {
        "winner": prediction.winner,
        "mase": {name: round(error, 4) for name, error in prediction.errors.items()},
        "origins": len(prediction.past.ends),
        "seasons": list(prediction.seasons),
        "notes": list(series.notes),
        "forecast": rows,
    }


_SEED = 20
_DRAWS = 5
_PHASES = 5
"""Earlier seasons that a part is the mean of."""
_TESTED = 20
"""Latest seasons that a lag is tested on."""
_FEWEST_TESTED = 5


def explain_value(series: Series, time: datetime | None) -> dict[str, Any]:
    """The value at a time (None: the last), against its forecast from the values before it.

    The level is the mean of the last (shortest) season. A season's part is how values a season before, two and so on
    stood to theirs. It is shown if that tells earlier values better than with a random lag in its place.

    ``level``, the ``value`` of each of ``seasons`` and ``rest`` (what the forecast makes of the latest values) add up
    to ``mean``; ``not_shown`` has seasons that do not beat a random lag. ``chance``: share of earlier errors
    about as far ahead that are at least as large. Raises ForecastError.
    """
    index = len(series.values) - 1 if time is None else _index(series, time)
    past, value = series.head(index), float(series.values[index])
    lags = sorted(seasons(past))
    steps = min(max(lags, default=1), DEFAULT_HORIZON)
    prediction = forecast(past, steps, {})
    rolling = prediction.past
    mean, low, high = (float(each[0]) for each in (prediction.mean, prediction.low, prediction.high))
    window = min(lags, default=1)
    level = float(past.values[-window:].mean())
    seasonal_parts, not_shown, explained = [], [], 0.0
    for lag in lags:
        test = against_random(past.values, lag, window)
        row = {"lag": lag, "worse_at_random": {"value": test.estimate, "low": test.low, "high": test.high}}
        if test.low > 0:
            part = _part(_deviations(past.values, window), index, lag)
            seasonal_parts.append({**row, "value": part - explained})
            explained = part
        else:
            not_shown.append(row)
    errors = np.abs(rolling.actual - rolling.forecasts[prediction.winner])[:, : 1 + max(1, rolling.horizon // 4)]
    return {
        "time": series.time(index).isoformat(),
        "value": value,
        "mean": mean,
        "low": low,
        "high": high,
        "outside": "above" if value > high else "below" if value < low else None,
        "winner": prediction.winner,
        "level": level,
        "seasons": seasonal_parts,
        "not_shown": not_shown,
        "rest": mean - level - explained,
        "chance": (1 + int((errors >= abs(value - mean)).sum())) / (errors.size + 1),
        "notes": list(series.notes),
    }


def _index(series: Series, time: datetime) -> int:
    for index in range(len(series.values)):
        if series.time(index) == time:
            return index
    last = series.time(len(series.values) - 1)
    raise ForecastError(f"{series.name} has no value at {time.isoformat()}; it goes from {series.start} to {last}")


def _deviations(values: Doubles, window: int) -> Doubles:
    """How each value stands to the mean of the window before it; NaN before the first window ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = (sums[window:-1] - sums[: -window - 1]) / window
    return np.concatenate([np.full(window, np.nan), values[window:] - means])


def _part(deviations: Doubles, index: int, lag: int) -> float:
    """Mean deviation a lag before, two and so on; 0 where none is known."""
    before = deviations[[index - lag * count for count in range(1, _PHASES + 1) if index - lag * count >= 0]]
    finite = before[np.isfinite(before)]
    return float(finite.mean()) if len(finite) else 0.0


def against_random(values: Doubles, lag: int, window: int) -> Interval:
    """How much larger the error of a part is with random lags: of the shortest any, of others its multiples.

    They are shorter, so that as many values before are known to their parts. 0 with fewer than five seasons to test on
    after the first two.
    """
    random_lags = [each for each in range(2, lag) if (each % window == 0 if lag > window else lag % each)]
    deviations = _deviations(values, window)
    tested = range(max(len(values) - _TESTED * lag, 2 * lag), len(values))
    if not random_lags or len(tested) < _FEWEST_TESTED * lag:
        return Interval(0.0, 0.0, 0.0, 0.95)
    sample = np.random.default_rng(_SEED).choice(random_lags, min(_DRAWS, len(random_lags)), replace=False).tolist()

    def errors(each: int) -> Doubles:
        return np.array([abs(deviations[index] - _part(deviations, index, each)) for index in tested])

    worse = np.mean([errors(each) for each in sample], axis=0) - errors(lag)
    clusters = [str(index // lag) for index in tested]
    return paired_bootstrap(worse.tolist(), clusters=clusters, resamples=2000, confidence=0.95, seed=_SEED)
