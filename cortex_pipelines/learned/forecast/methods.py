"""Ways to forecast one series from its own past."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortex_pipelines.learned.forecast.series import Doubles

Method = Callable[[Doubles, Sequence[int], int], Doubles]
"""Takes the past values, its seasons (lags, the shorter first) and a horizon; gives the mean of each step ahead."""

_MOST_ETS_SEASON = 60  # longer ones have more initial states than values to estimate them from
_FREQUENCIES = 4  # harmonics of a season
_RIDGE = 1.0
_DAMPING = 0.98  # of a trend, per step ahead
_BOOSTED = {
    "objective": "regression_l1",
    "num_leaves": 4,
    "learning_rate": 0.05,
    "min_data_in_leaf": 20,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 20,
    "verbosity": -1,
}
_ROUNDS = 60
_LONGEST = 3_000  # latest values that the slower ones learn from


def seasonal_naive(past: Doubles, seasons: Sequence[int], horizon: int) -> Doubles:
    """The values of the last season; without one, the last value."""
    lag = max((each for each in seasons if each < len(past)), default=1)
    return np.resize(past[-lag:], horizon)


def ets(past: Doubles, seasons: Sequence[int], horizon: int) -> Doubles:
    """Exponential smoothing: the best of no, an additive and a damped trend by corrected AIC."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    past = past[-_LONGEST:]
    lag = max((each for each in seasons if each <= _MOST_ETS_SEASON and 2 * each <= len(past)), default=0)
    season: dict[str, Any] = {"seasonal": "add", "seasonal_periods": lag} if lag else {}
    best: tuple[float, Doubles] | None = None
    for trend in ({}, {"trend": "add"}, {"trend": "add", "damped_trend": True}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fitted = ExponentialSmoothing(past, **trend, **season, initialization_method="estimated").fit()
                forecast = np.asarray(fitted.forecast(horizon), dtype=np.float64)
            except (ValueError, np.linalg.LinAlgError):
                continue  # too few values for so many states
        if np.isfinite(forecast).all() and (best is None or fitted.aicc < best[0]):
            best = float(fitted.aicc), forecast
    return seasonal_naive(past, seasons, horizon) if best is None else best[1]


def theta(past: Doubles, seasons: Sequence[int], horizon: int) -> Doubles:
    """The theta method on the series without its season (Assimakopoulos and Nikolopoulos 2000)."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    lag = max((each for each in seasons if 2 * each <= len(past)), default=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = ThetaModel(past, period=lag or 2, deseasonalize=bool(lag), use_test=False, method="additive")
            forecast = np.asarray(model.fit().forecast(horizon), dtype=np.float64)
        except (ValueError, np.linalg.LinAlgError):
            return seasonal_naive(past, seasons, horizon)
    return forecast if np.isfinite(forecast).all() else seasonal_naive(past, seasons, horizon)


def harmonic(past: Doubles, seasons: Sequence[int], horizon: int) -> Doubles:
    """Ridge regression on a line and the harmonics of all seasons; what is left fades as it did from step to step."""
    past = past[-_LONGEST:]
    count = len(past)
    design = _waves(np.arange(count + horizon), seasons, count)
    past_rows, level = design[:count], past.mean()
    penalty = _RIDGE * np.eye(design.shape[1])
    weights = np.linalg.solve(past_rows.T @ past_rows + penalty, past_rows.T @ (past - level))
    residuals = past - level - past_rows @ weights
    carried = float(np.clip(residuals[1:] @ residuals[:-1] / max(residuals[:-1] @ residuals[:-1], 1e-12), 0.0, 0.999))
    return np.asarray(level + design[count:] @ weights + residuals[-1] * carried ** np.arange(1, horizon + 1))


def _waves(indices: np.ndarray, seasons: Sequence[int], count: int) -> Doubles:
    ahead = np.maximum(indices - count, 0)
    line = np.where(indices < count, indices, count + _DAMPING * (1 - _DAMPING**ahead) / (1 - _DAMPING))
    columns = [(line - count / 2) / count]
    for lag in (each for each in seasons if 2 * each <= count):
        for frequency in range(1, min(_FREQUENCIES, lag // 2) + 1):
            angle = 2 * np.pi * frequency * indices / lag
            columns += [np.sin(angle), np.cos(angle)]
    return np.column_stack(columns)


def lightgbm_lags(past: Doubles, seasons: Sequence[int], horizon: int) -> Doubles:
    """Boosted trees on the latest changes and on those of earlier seasons, step by step.

    They learn the change from a season ago, since trees do not extrapolate a level.
    """
    past = past[-_LONGEST:]
    lag = max((each for each in seasons if 3 * each + 10 <= len(past)), default=1)
    offsets = sorted({*range(1, min(7, len(past) // 4) + 1), *(o for o in (lag, 2 * lag) if o + lag + 10 < len(past))})
    first = lag + max(offsets)
    if len(past) - first < 20:
        return seasonal_naive(past, seasons, horizon)
    from lightgbm import Dataset, train

    changes = past[lag:] - past[:-lag]
    scale = max(float(np.abs(changes).mean()), 1e-12)
    changes = changes / scale
    rows = np.arange(max(offsets), len(changes))
    features = np.column_stack([*(changes[rows - offset] for offset in offsets), (rows + lag) % lag])
    booster = train(_BOOSTED, Dataset(features, changes[rows]), _ROUNDS)
    extended, values = list(changes), list(past)
    for _ in range(horizon):
        row = [*(extended[len(extended) - offset] for offset in offsets), len(values) % lag]
        change = float(booster.predict(np.array([row]), num_threads=1)[0])
        extended.append(change)
        values.append(values[len(values) - lag] + scale * change)
    return np.array(values[len(past) :])


METHODS: dict[str, Method] = {
    "seasonal_naive": seasonal_naive,
    "ets": ets,
    "theta": theta,
    "harmonic": harmonic,
    "lightgbm_lags": lightgbm_lags,
}
"""From the simplest."""
