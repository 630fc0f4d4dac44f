"""Series of numbers at a regular step, read from a table, and the seasons in them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.ingestion.cache import UNPACKING_ERRORS, separator_of
from cortex_pipelines.timestamps import moment

Doubles = npt.NDArray[np.float64]

TIMES, VALUE = ("time", "timestamp", "date"), "value"
LEAST = 8
"""Fewest values to forecast from."""
MOST = 100_000
_MOST_FILLED = 0.2  # of the values of a series
_MOST_SEASONS = 2
_SEASONAL = 0.3
"""Autocorrelation from which a lag is a season. A white series of 100 values passes it once in a thousand lags."""
_SAYS_MORE = 0.05
_REPEATED = 0.2
_OUTLYING = 4.0  # standard deviations
_LONG = 2_000  # values that seasons are looked for in


class ForecastError(ValueError):
    """A series cannot be forecast; the message is a sentence."""


@dataclass(frozen=True)
class Step:
    """Distance of two values: months, or else seconds."""

    months: int
    seconds: int

    def after(self, start: datetime, count: int) -> datetime:
        if not self.months:
            return start + timedelta(seconds=self.seconds * count)
        month = start.year * 12 + start.month - 1 + self.months * count
        return start.replace(year=month // 12, month=month % 12 + 1)

    @property
    def calendar_seasons(self) -> tuple[int, ...]:
        """Lags, in steps, of a day, a week or a year, where the step divides them."""
        if self.months:
            return (12 // self.months,) if 12 % self.months == 0 and self.months < 12 else ()
        if not self.seconds:
            return ()
        day, week = 86_400, 604_800
        lags = [span // self.seconds for span in (day, week) if span % self.seconds == 0]
        return tuple(lag for lag in (*lags, *((52,) if self.seconds == week else ())) if lag > 1)


@dataclass(frozen=True)
class Series:
    """``values`` are finite and in the order of time; ``notes`` say what was filled in."""

    name: str
    start: datetime
    step: Step
    values: Doubles
    notes: tuple[str, ...] = ()

    def time(self, index: int) -> datetime:
        return self.step.after(self.start, index)

    def head(self, count: int) -> "Series":
        return Series(self.name, self.start, self.step, self.values[:count])


def read_series(path: Path) -> Series:
    """Read a CSV file with a column ``time`` and a column ``value`` (or one other column of numbers).

    Steps have to be equal, or whole months. Missing values and skipped steps are filled in by a straight line, up to a
    fifth of the series. Raises ForecastError.
    """
    if not path.is_file():
        raise ForecastError(f"no such file: {path}; expected a CSV file with the columns time and value")
    try:
        frame = pl.read_csv(path, separator=separator_of(path), infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeError, *UNPACKING_ERRORS) as error:
        raise ForecastError(f"{path} cannot be read as CSV: {error}") from error
    time_name = next((name for name in TIMES if name in frame.columns), None)
    value_names = [name for name in frame.columns if name != time_name]
    value_name = VALUE if VALUE in value_names else value_names[0] if len(value_names) == 1 else None
    if time_name is None or value_name is None:
        raise ForecastError(f"{path} needs the columns time and value; it has {', '.join(frame.columns) or 'none'}")
    moments = [moment(text) for text in frame[time_name]]
    if None in moments:
        line = moments.index(None)
        raise ForecastError(f"{path}, line {line + 2}: {frame[time_name][line]!r} is not a time of a known form")
    values = [_number(path, line, text) for line, text in enumerate(frame[value_name], 2)]
    return regular_series(path.stem, [each for each in moments if each is not None], values, str(path))


def _number(path: Path, line: int, text: str | None) -> float:
    words = (text or "").strip()
    if not words or words.lower() in ("nan", "null", "na", "n/a", "-"):
        return float("nan")
    try:
        value = float(words)
    except ValueError:
        raise ForecastError(f"{path}, line {line}: {words!r} is not a number") from None
    if not abs(value) < 1e100:
        raise ForecastError(f"{path}, line {line}: {words} is too large for a series")
    return value


def regular_series(name: str, times: list[datetime], values: list[float], path: str = "") -> Series:
    """Values on a regular grid; see ``read_series``."""
    source = path or name
    if len(times) > MOST:
        raise ForecastError(f"{source} has {len(times):,} rows; at most {MOST:,} are forecast from")
    present = sum(np.isfinite(values))
    if present < LEAST:
        raise ForecastError(f"{source} has {present} values; at least {LEAST} are needed for a forecast")
    for line, (before, after) in enumerate(pairwise(times), 3):
        if after == before:
            raise ForecastError(f"{source}, line {line}: the time {after.isoformat()} stands twice")
        if after < before:
            raise ForecastError(
                f"{source}, line {line}: {after.isoformat()} comes before the time above it; sort the rows"
            )
    step = _step(times, source)
    positions = [_position(times[0], each, step) for each in times]
    if None in positions:
        line = positions.index(None)
        raise ForecastError(
            f"{source}, line {line + 2}: {times[line].isoformat()} is off the step of the other rows; steps have to be "
            "equal, or whole months (skipped ones are filled in)"
        )
    count = (positions[-1] or 0) + 1
    grid = np.full(count if len(times) / count >= 1 - _MOST_FILLED else 0, np.nan)
    if not len(grid) or 1 - present / len(grid) > _MOST_FILLED:
        raise ForecastError(
            f"{source}: more than {_MOST_FILLED:.0%} of its steps have no value; that is too much to fill in"
        )
    grid[np.array(positions, dtype=np.int64)] = values
    missing = np.isnan(grid)
    indices = np.arange(len(grid))
    grid[missing] = np.interp(indices[missing], indices[~missing], grid[~missing])
    notes = (f"{int(missing.sum())} of {len(grid)} values were missing and are filled in",) if missing.any() else ()
    return Series(name, times[0], step, grid, notes)


def _step(times: list[datetime], source: str) -> Step:
    clock = {(each.day, each.time()) for each in times}
    numbers = [each.year * 12 + each.month for each in times]
    months = np.diff(numbers)
    if len(clock) == 1 and months.min() >= 1 and months.max() < 600 and len(times) > 2:
        seconds = np.diff([each.timestamp() for each in times])
        if len(set(seconds)) > 1 or months.min() > 1:  # else equal steps that happen to be a month
            return Step(int(np.median(months)), 0)
    seconds = np.diff([each.timestamp() for each in times])
    common = float(np.median(seconds))
    if common < 1:
        raise ForecastError(f"{source}: the rows are less than a second apart; that is too fine for a forecast")
    return Step(0, round(common))


def _position(start: datetime, time: datetime, step: Step) -> int | None:
    if step.months:
        distance, remainder = divmod(time.year * 12 + time.month - start.year * 12 - start.month, step.months)
        return None if remainder or (time.day, time.time()) != (start.day, start.time()) else distance
    steps = (time - start).total_seconds() / step.seconds
    return round(steps) if abs(steps - round(steps)) <= 0.05 else None


def seasons(series: Series) -> tuple[int, ...]:
    """Lags at which the series repeats itself, at most two, the shorter first; empty if none is found.

    Lags of a day, a week or a year are tried first, then all peaks of the autocorrelation of the series without its
    trend that its steps have too.
    """
    values = series.values[-_LONG:]
    changes = _clipped(_without_trend(values))
    longest = len(values) // 3
    if not changes.std() > 1e-9 * (1 + np.abs(values).max()):
        return ()
    correlations = _autocorrelations(changes, min(longest, 400))
    season_lags: list[int] = []
    for lag in series.step.calendar_seasons:
        shorter = max((correlations[each] + _SAYS_MORE for each in season_lags if lag % each == 0), default=0.0)
        # a day is also repeated after a week: that is a season of its own only if it says more
        if lag < len(correlations) and _peaks(correlations, lag) and correlations[lag] > shorter:
            season_lags.append(lag)
    if not season_lags:
        # what wanders seems to come back, but its steps do not repeat themselves
        steps = _autocorrelations(_clipped(np.diff(values)), len(correlations) - 1)
        lags = range(2, len(correlations) - 1)
        peaks = [lag for lag in lags if _peaks(correlations, lag) and steps[lag] >= _REPEATED]
        if peaks:
            best = max(peaks, key=lambda lag: correlations[lag])
            # the first of its multiples that is nearly as high
            season_lags.append(next(lag for lag in peaks if correlations[lag] >= 0.9 * correlations[best]))
    return tuple(sorted(set(season_lags))[:_MOST_SEASONS])


def _peaks(correlations: Doubles, lag: int) -> bool:
    neighbours = correlations[max(1, lag - 1) : lag + 2]
    return bool(correlations[lag] >= _SEASONAL and correlations[lag] >= neighbours.max() - 1e-12 and lag > 1)


def _without_trend(values: Doubles) -> Doubles:
    indices = np.arange(len(values))
    return np.asarray(values - np.polyval(np.polyfit(indices, values, 1), indices))


def _clipped(values: Doubles) -> Doubles:
    """Without outliers, which would hide a season."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return np.asarray(np.clip(values, middle - _OUTLYING * spread, middle + _OUTLYING * spread)) if spread else values


def _autocorrelations(values: Doubles, most: int) -> Doubles:
    centred = values - values.mean()
    spectrum = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
    covariances = np.fft.irfft(spectrum)[: most + 1]
    pairs = len(centred) - np.arange(most + 1)  # a long lag has fewer
    return np.asarray(covariances / covariances[0] * len(centred) / pairs)
