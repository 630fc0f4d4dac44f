"""Forecast one series: by the plain ways, and by the network where it is trained."""

from pathlib import Path
from typing import Any

from cortex_pipelines.learned.forecast.compare import NETWORK
from cortex_pipelines.learned.forecast.network import ForecastNetwork
from cortex_pipelines.learned.forecast.rolling import forecast
from cortex_pipelines.learned.forecast.series import Series, seasons

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
        "origins": prediction.origins,
        "seasons": list(prediction.seasons),
        "notes": list(series.notes),
        "forecast": rows,
    }
