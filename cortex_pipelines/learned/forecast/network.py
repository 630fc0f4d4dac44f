"""One LSTM with attention for many series, with quantile heads.

An encoder reads the latest values; each step ahead asks, by what is known of it (place in the season, hour, weekday,
month, the seasonal naive), what of them matters. What is learned is the difference to the seasonal naive in units of
the usual seasonal change, so that series of every size and step train one model (after Salinas and others 2020; the
attention over encoder states is Bahdanau's, 2015).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.hyperparameter_search import SearchResult, search
from cortex_pipelines.learned.forecast.methods import seasonal_naive
from cortex_pipelines.learned.forecast.series import Doubles, ForecastError, Series
from cortex_pipelines.learned.settings import ForecastSettings

QUANTILES = (0.1, 0.5, 0.9)
_WEIGHTS, _SHAPE = "network.safetensors", "network.json"
_PAST_FEATURES, _STEP_FEATURES = 3, 9
_LEAST_CONTEXT = 8
_CLIP = 10.0  # usual changes; beyond that an input says no more
_DAY, _WEEK = 86_400, 604_800


@dataclass(frozen=True)
class LstmShape:
    context: int
    horizon: int
    hidden: int


@dataclass(frozen=True)
class Window:
    """``past``: (context, features), zeros before the series begins. ``steps``: (horizon, features). ``target``:
    (horizon,), NaN where it is not known. ``naive`` and ``scale`` bring a forecast back to the series' unit."""

    past: Doubles
    steps: Doubles
    target: Doubles
    naive: Doubles
    scale: float


def window_at(series: Series, lags: Sequence[int], end: int, until: int, shape: LstmShape) -> Window:
    """What is known of a series before ``end``, and what came then, up to ``until``."""
    observed = series.values[:end]
    lag = max((each for each in lags if each < end), default=1)
    naive = seasonal_naive(observed, lags, shape.horizon)
    scale = float(np.abs(observed[lag:] - observed[:-lag]).mean()) or 1.0
    begin = max(0, end - shape.context)
    recent = observed[begin:]
    earlier = series.values[np.maximum(np.arange(begin, end) - lag, 0)]
    values = np.column_stack([recent - observed[-1], recent - earlier]) / scale
    past = np.zeros((shape.context, _PAST_FEATURES + _STEP_FEATURES - 1))
    rows = np.column_stack([np.clip(values, -_CLIP, _CLIP), np.ones(len(recent)), _phases(series, lag, begin, end)])
    past[shape.context - len(recent) :] = rows
    ahead = np.clip((naive - observed[-1]) / scale, -_CLIP, _CLIP)
    steps = np.column_stack([ahead, _phases(series, lag, end, end + shape.horizon)])
    target = np.full(shape.horizon, np.nan)
    outcome = series.values[end : min(until, end + shape.horizon)]
    target[: len(outcome)] = np.clip((outcome - naive[: len(outcome)]) / scale, -_CLIP, _CLIP)
    return Window(past, steps, target, naive, scale)


def _phases(series: Series, lag: int, begin: int, end: int) -> Doubles:
    """Sine and cosine of the phase in the season, the day, the week and the year; 0 where a step is longer."""
    indices = np.arange(begin, end)
    step = series.step.seconds or 30 * _DAY * series.step.months
    times = [series.time(int(index)) for index in indices]
    day = np.array([time.hour * 3600 + time.minute * 60 + time.second for time in times]) / _DAY
    week = np.array([time.weekday() for time in times]) / 7
    year = np.array([time.timetuple().tm_yday for time in times]) / 366
    turns = (
        indices / lag if lag > 1 else np.full(len(indices), np.nan),
        day if step < _DAY else np.full(len(indices), np.nan),
        week if step < _WEEK else np.full(len(indices), np.nan),
        year if step < 360 * _DAY else np.full(len(indices), np.nan),
    )
    angles = 2 * np.pi * np.column_stack(turns)
    return np.asarray(np.nan_to_num(np.hstack([np.sin(angles), np.cos(angles)])))


def _module(shape: LstmShape) -> Any:
    import torch
    from torch import nn

    class AttentiveLstm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            width = shape.hidden
            self.encoder = nn.LSTM(_PAST_FEATURES + _STEP_FEATURES - 1, width, batch_first=True)
            self.query = nn.Linear(_STEP_FEATURES, width)
            self.heads = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, len(QUANTILES)))

        def forward(self, past: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
            """(windows, horizon, quantiles), in order."""
            states, (last, _) = self.encoder(past)
            queries = self.query(steps)
            weights = torch.softmax(queries @ states.transpose(1, 2) / shape.hidden**0.5, dim=2)
            last = last[0].unsqueeze(1).expand(-1, steps.shape[1], -1)
            low, middle, high = self.heads(torch.cat([weights @ states, queries, last], dim=2)).unbind(dim=2)
            spread = nn.functional.softplus
            return torch.stack([middle - spread(low), middle, middle + spread(high)], dim=2)

    return AttentiveLstm()


@dataclass(frozen=True)
class ForecastNetwork:
    module: Any
    shape: LstmShape

    def quantiles(self, series: Series, lags: Sequence[int], horizon: int) -> Doubles:
        """(3, horizon) in the series' unit; beyond the horizon that was learned, medians are read as values.

        Raises ForecastError: fewer than eight values.
        """
        import torch

        if len(series.values) < _LEAST_CONTEXT:
            raise ForecastError(
                f"{series.name} has {len(series.values)} values; the network reads at least {_LEAST_CONTEXT}"
            )
        parts: list[Doubles] = []
        values = series.values
        while sum(part.shape[1] for part in parts) < horizon:
            extended = Series(series.name, series.start, series.step, values)
            window = window_at(extended, lags, len(values), len(values), self.shape)
            with torch.no_grad():
                output = self.module(_tensor(window.past[None]), _tensor(window.steps[None]))[0].numpy()
            parts.append(window.naive + window.scale * output.T.astype(np.float64))
            values = np.concatenate([values, parts[-1][1]])
        return np.asarray(np.hstack(parts)[:, :horizon])

    def method(self, series: Series) -> Callable[[Doubles, Sequence[int], int], Doubles]:
        """The median as a way to forecast this series; it is given the first values of it."""
        return lambda past, lags, horizon: self.quantiles(series.head(len(past)), lags, horizon)[1]

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in self.module.state_dict().items()}, folder / _WEIGHTS)
        (folder / _SHAPE).write_text(json.dumps(asdict(self.shape), sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ForecastNetwork":
        from safetensors.torch import load_file

        shape = LstmShape(**json.loads((folder / _SHAPE).read_text(encoding="utf-8")))
        module = _module(shape)
        module.load_state_dict(load_file(folder / _WEIGHTS))
        return cls(module.eval(), shape)


def train_network(
    past: Sequence[tuple[Series, Sequence[int]]], settings: ForecastSettings, trials_file: Path
) -> tuple[ForecastNetwork, SearchResult] | None:
    """Train on series that end before what forecasts are compared on, with their seasons.

    The learning rate is chosen on the latest fifth of each series' windows. None: no series is long enough.
    """
    shape = LstmShape(settings.context, settings.horizon, settings.hidden)
    earlier: list[Window] = []
    later: list[Window] = []
    for series, lags in past:
        count = len(series.values)
        first = max(_LEAST_CONTEXT, 2 * max(lags, default=1))
        spread = np.linspace(first, count - 1, settings.windows).astype(int)
        ends = sorted(set(spread.tolist())) if count > first else []
        border = first + int(0.8 * (count - first))
        earlier += [window_at(series, lags, end, border, shape) for end in ends if end < border]
        later += [window_at(series, lags, end, count, shape) for end in ends if end >= border]
    if not earlier or not later:
        return None

    def objective(trial: Any) -> float:
        rate = trial.suggest_float("learning_rate", *settings.learning_rate, log=True)
        return _loss_of(_fit(earlier, shape, rate, settings), later)

    with pinned_threads(settings.threads):
        result = search(objective, settings.trials, settings.seed, 1, trials_file, "forecasts")
        module = _fit([*earlier, *later], shape, result.best.parameters["learning_rate"], settings)
    return ForecastNetwork(module.eval(), shape), result


def _fit(windows: Sequence[Window], shape: LstmShape, rate: float, settings: ForecastSettings) -> Any:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        module = _module(shape)
        tensors = _tensors(windows)
        optimiser = torch.optim.Adam(module.parameters(), lr=rate)
        total = settings.epochs * -(-len(windows) // settings.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, total)
        for _ in range(settings.epochs):
            for batch in torch.split(torch.randperm(len(windows)), settings.batch):
                optimiser.zero_grad()
                _pinball(module, *(each[batch] for each in tensors)).backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimiser.step()
                schedule.step()
    return module


def _loss_of(module: Any, windows: Sequence[Window]) -> float:
    import torch

    with torch.no_grad():
        return float(_pinball(module, *_tensors(windows)))


def _pinball(module: Any, past: Any, steps: Any, target: Any) -> Any:
    import torch

    mask = ~torch.isnan(target)
    errors = torch.nan_to_num(target).unsqueeze(2) - module(past, steps)
    shares = torch.tensor(QUANTILES)
    losses = torch.maximum(shares * errors, (shares - 1) * errors).mean(dim=2)
    return (losses * mask).sum() / mask.sum().clamp(min=1)


def _tensors(windows: Sequence[Window]) -> tuple[Any, Any, Any]:
    columns = zip(*((each.past, each.steps, each.target) for each in windows), strict=True)
    past, steps, target = (_tensor(np.array(column)) for column in columns)
    return past, steps, target


def _tensor(values: Doubles) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float32)
