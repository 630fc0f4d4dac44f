"""Forecasts of a series from rolling origins: errors, weights of a combination, bands, and which way won."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cortex_pipelines.learned.forecast.methods import METHODS, Method
from cortex_pipelines.learned.forecast.series import Doubles, ForecastError, Series, seasons

COMBINATION = "combination"
_MEMBERS = ("ets", "theta", "harmonic", "lightgbm_lags")
ORIGINS = 8
"""Most origins that a series is forecast from."""
COVERAGE = 0.8
_FEWEST_PAST = 6
_CLEARLY = 0.7
"""Error below which, relative to the combination's, another way is preferred to it: few origins say little."""


@dataclass(frozen=True)
class Backtest:
    """Forecasts from rolling origins, the earliest first.

    ``ends``: number of values before each origin. ``actual``: (origins, horizon). ``forecasts``: by candidate, the same
    shape. ``scales``: per origin, the mean absolute seasonal difference before it, 1 if that is 0.
    """

    ends: tuple[int, ...]
    actual: Doubles
    forecasts: Mapping[str, Doubles]
    scales: Doubles

    @property
    def horizon(self) -> int:
        return int(self.actual.shape[1])

    def known_before(self, end: int) -> list[int]:
        """Origins whose outcomes all lie before a place in the series."""
        return [index for index, each in enumerate(self.ends) if each + self.horizon <= end]

    def errors(self, name: str) -> Doubles:
        """Scaled absolute errors (MASE) per origin."""
        return np.asarray(np.abs(self.actual - self.forecasts[name]).mean(axis=1) / self.scales)

    def reach(self, name: str, origins: Sequence[int], horizon: int, coverage: float) -> Doubles:
        """Half the width of a band for each step ahead, from the residuals of past origins.

        A conformal bound over residuals of about the same distance; beyond the horizon that was tried it grows with the
        square root of the distance.
        """
        residuals = np.abs(self.actual - self.forecasts[name])[list(origins)]
        neighbours = max(1, self.horizon // 4)
        widths = np.zeros(horizon)
        for step in range(min(horizon, self.horizon)):
            pool = residuals[:, max(0, step - neighbours) : step + neighbours + 1].ravel()
            rank = min(len(pool), math.ceil((len(pool) + 1) * coverage))
            widths[step] = np.sort(pool)[rank - 1] if len(pool) else 0.0
        bounds = np.maximum.accumulate(widths[: self.horizon])
        widths[: self.horizon] = bounds[:horizon]
        steps = np.arange(self.horizon, horizon)
        widths[self.horizon :] = bounds[-1] * np.sqrt((steps + 1) / self.horizon)
        return widths


def backtest(series: Series, horizon: int, methods: Mapping[str, Method]) -> Backtest:
    """Forecast the last values of a series from what came before each of several origins.

    The combination's weights at an origin come from the origins whose outcomes were known by then. Raises
    ForecastError: the series is too short for one.
    """
    values, count = series.values, len(series.values)
    horizon = min(horizon, max(1, count // 5))
    stride = max(1, horizon // 2)
    latest = count - horizon
    ends = [end for end in range(latest, latest - stride * ORIGINS, -stride) if end >= max(_FEWEST_PAST, count // 3)]
    if not ends:
        raise ForecastError(f"{series.name} has {count} values: too few for a forecast of {horizon}")
    ends.reverse()
    lags = seasons(series.head(ends[0])) if ends[0] >= 2 * _FEWEST_PAST else ()
    forecasts = {
        name: np.array([method(values[:end], lags, horizon) for end in ends]) for name, method in methods.items()
    }
    actual = np.array([values[end : end + horizon] for end in ends])
    lag = max(lags, default=1)
    scales = np.array([np.abs(values[lag:end] - values[: end - lag]).mean() for end in ends])
    members = Backtest(tuple(ends), actual, forecasts, np.where(scales > 0, scales, 1.0))
    combined = [
        _weights(members, members.known_before(end)) @ np.array([forecasts[name][index] for name in _MEMBERS])
        for index, end in enumerate(ends)
    ]
    return Backtest(members.ends, actual, {**forecasts, COMBINATION: np.array(combined)}, members.scales)


def _weights(members: Backtest, origins: Sequence[int]) -> Doubles:
    """By the inverse cube of each way's error; equal without a past."""
    if not origins:
        return np.full(len(_MEMBERS), 1 / len(_MEMBERS))
    errors = np.array([members.errors(name)[list(origins)].mean() for name in _MEMBERS])
    inverse = 1 / (errors + 1e-6 + 0.01 * errors.max()) ** 3
    return np.asarray(inverse / inverse.sum())


@dataclass(frozen=True)
class Forecast:
    """``mean``, ``low`` and ``high`` per step ahead; ``errors``: MASE by candidate, over the origins of ``past``."""

    winner: str
    mean: Doubles
    low: Doubles
    high: Doubles
    seasons: tuple[int, ...]
    errors: Mapping[str, float]
    past: Backtest


def forecast(series: Series, horizon: int, learned: Mapping[str, Method]) -> Forecast:
    """Forecast by whichever candidate was best from rolling origins; ``learned`` are further ones.

    The combination is used unless another is clearly better. A series that was never negative is not forecast below 0.
    Raises ForecastError.
    """
    count = len(series.values)
    if not 1 <= horizon <= count:
        raise ForecastError(f"a horizon of {horizon} steps: it has to be from 1 to {count}, the number of values")
    methods = {**METHODS, **learned}
    result = backtest(series, horizon, methods)
    errors = {name: float(result.errors(name).mean()) for name in result.forecasts}
    best = min(errors, key=lambda name: (errors[name], name != COMBINATION))
    winner = best if errors[best] < _CLEARLY * errors[COMBINATION] else COMBINATION
    lags = seasons(series)
    if winner == COMBINATION:
        everything = range(len(result.ends))
        means = np.array([methods[name](series.values, lags, horizon) for name in _MEMBERS])
        mean = _weights(result, everything) @ means
    else:
        mean = methods[winner](series.values, lags, horizon)
    reach = result.reach(winner, range(len(result.ends)), horizon, COVERAGE)
    low, high = mean - reach, mean + reach
    if series.values.min() >= 0:
        mean, low, high = (np.maximum(each, 0.0) for each in (mean, low, high))
    return Forecast(winner, mean, low, high, lags, errors, result)
