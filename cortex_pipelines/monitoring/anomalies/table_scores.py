"""Score the records of a table of measurements, and raise alarms.

A record is as anomalous as the window that ends with it is far from the nearest window that was learnt from (a discord:
Yankov and others 2008), for several lengths of windows: a spike shows in a short one, a beat that is missing in a long
one. On 90 simulated series of six families the mean of these distances had an average precision of .54, a windowed
isolation forest .28 (``docs/guides/watching.md``).
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.atomic import is_same_file, write_whole
from cortex_pipelines.ingestion.cache import UNPACKING_ERRORS, separator_of
from cortex_pipelines.monitoring.anomalies.windows import Scale
from cortex_pipelines.timestamps import moment

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
LENGTHS = (5, 10, 20, 40, 80)
"""Records of a window; a factor of 2 apart, because nobody knows how long an anomaly lasts."""
_LEARNT_A_WINDOW = 8  # shortest learnt part, in windows: a longer window than that has nothing to be like
_LEAST_LEARNT = 40
_MOST_SPREADS = 20.0
_LIBRARY = 1_500  # windows that a record is compared with; more find little and cost in proportion
_DELAY = 2
"""Learnt parts after which later windows count as usual too. An anomaly that lasts longer than that
is the new usual."""
_CHUNK = 256
_FLOOR = 1e-2
_LEAST_SPREAD = 0.05


class TableError(ValueError):
    pass


def score_series(values: np.ndarray, learnt: int) -> tuple[Doubles, int]:
    """Scores of a series' records, each from itself and its past; and the record from which on they compare.

    ``values`` are of shape (records, metrics), in time order and without gaps; the ``learnt`` first ones are usual.
    Scores before the returned record are distances from the other learnt windows, which those after it are compared
    with as later records are. Raises TableError: too few records are learnt from.
    """
    if learnt < _LEAST_LEARNT:
        raise TableError(
            f"{learnt} records to learn from; at least {_LEAST_LEARNT} are needed: give more "
            "records, or a greater --fit-share"
        )
    from threadpoolctl import threadpool_limits

    scale = Scale.fit(values[:learnt])
    scaled = np.clip(scale.apply(values), -_MOST_SPREADS, _MOST_SPREADS).astype(np.float32)
    calibrated = learnt - learnt // 3
    lengths = [length for length in LENGTHS if length * _LEARNT_A_WINDOW <= learnt]
    with threadpool_limits(limits=1):  # sums do not depend on the machine's cores
        parts = []
        for length in lengths:
            for distances in _distances(scaled, length, calibrated, learnt):
                floor = _FLOOR * float(np.median(distances[calibrated:learnt])) + 1e-9
                logs = np.log(distances + floor)
                low, centre, high = np.percentile(logs[calibrated:learnt], [16, 50, 84])
                parts.append((logs - centre) / max((high - low) / 2, _LEAST_SPREAD))
    return np.mean(parts, axis=0), calibrated


def _distances(scaled: Floats, length: int, calibrated: int, learnt: int) -> tuple[Doubles, Doubles]:
    """Squared distance of each window from the nearest learnt one, and from that or a past one.

    Records from ``calibrated`` up to ``learnt`` are compared only with those before ``calibrated``,
    as if they came later: a window that was learnt from is nearer to its kind than a new one.
    """
    # the window that ends with each record; values before the first record equal it
    padded = np.concatenate([np.repeat(scaled[:1], length - 1, axis=0), scaled])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)
    fixed, adapted = np.empty(len(windows)), np.empty(len(windows))
    borders = {0, calibrated, learnt, len(windows)}
    edges = sorted(borders.union(*(range(begin, end, _CHUNK) for begin, end in pairwise(sorted(borders)))))
    for part in (slice(begin, end) for begin, end in pairwise(edges)):
        chunk_windows = windows[part].reshape(part.stop - part.start, -1)
        until = calibrated if part.start < learnt else learnt
        fixed[part] = _nearest(windows, chunk_windows, part, range(length - 1, until), length)
        past = range(learnt, max(learnt, part.start - _DELAY * learnt))
        adapted[part] = np.minimum(fixed[part], _nearest(windows, chunk_windows, part, past, length))
    return fixed, adapted


def _nearest(windows: Floats, queries: Floats, part: slice, library: range, length: int) -> Doubles:
    """Squared distance from the nearest window of a library that does not overlap."""
    if not library:
        return np.full(len(queries), np.inf)
    indices = np.array(library[:: len(library) // _LIBRARY + 1])
    candidates = windows[indices].reshape(len(indices), -1)
    squares = (queries**2).sum(axis=1)[:, None] + (candidates**2).sum(axis=1) - 2 * queries @ candidates.T
    overlap = np.abs(np.arange(part.start, part.stop)[:, None] - indices) < length
    squares[overlap] = np.inf
    return np.asarray(np.maximum(squares.min(axis=1), 0.0), dtype=np.float64)


_ALARM_RATE = 0.01  # share of alarms to keep to
_STEP = 0.002  # how far an alarm moves the rank. Five alarms in a row spend what the rate allows.
_MAX_RATE = 0.1
"""Highest share that is allowed after a long time without an alarm: one in the highest tenth of the
latest records is the least that an alarm has to be."""
_WINDOW = 2_000  # latest records that a score is compared with


def raise_alarms(scores: np.ndarray, first: int) -> npt.NDArray[np.bool_]:
    """Mark the scores that are alarms, each compared with those before it; the ``first`` are usual.

    A threshold that was set once holds only as long as later records are like those that set it: on one
    public set it raised an alarm on 44 % of usual windows. Here a record is compared with the latest
    ones (conformal prediction with a moving window), and the rank that it has to reach moves by what
    came of it (adaptive conformal inference: Gibbs and Candès 2021). Whatever the records do, the share
    of alarms exceeds the rate by at most (rate + step) / (step × records).
    """
    latest = deque(scores[:first].tolist(), maxlen=_WINDOW)
    sorted_scores = sorted(latest)
    alarms = np.zeros(len(scores), dtype=bool)
    current_rate = _ALARM_RATE
    for index in range(first, len(scores)):
        score = float(scores[index])
        rank = math.ceil((1 - current_rate) * (len(sorted_scores) + 1))
        # a rank beyond the last one is never reached
        alarms[index] = rank <= len(sorted_scores) and score > sorted_scores[rank - 1]
        current_rate = min(current_rate + _STEP * (_ALARM_RATE - alarms[index]), _MAX_RATE)
        if len(latest) == _WINDOW:
            del sorted_scores[bisect_left(sorted_scores, latest[0])]
        latest.append(score)
        insort(sorted_scores, score)
    return alarms


TIME = "timestamp"
_MISSING = ("", "nan", "null", "none", "na", "n/a", "-")


@dataclass(frozen=True)
class ScoringSummary:
    records: int
    learnt: int
    alarms: int
    columns: tuple[str, ...]
    ignored: tuple[str, ...]


def score_table(path: Path, fit_share: float, out: Path) -> ScoringSummary:
    """Score the records of a CSV file and write ``timestamp,score,alarm``, a line for a line. Raises TableError: the
    file is not such a table, has too few records, or is the output itself.
    """
    if is_same_file(out, path):
        raise TableError(f"{out} is the table itself; name another file with --out")
    frame = _read(path)
    order = _time_order(frame[TIME])
    columns, ignored = {}, []
    learnt = math.floor(fit_share * frame.height)
    for name in frame.columns:
        if name == TIME:
            continue
        numbers = _numbers(frame[name])
        if numbers is None:
            ignored.append(name)
        else:
            columns[name] = _filled(numbers[order], learnt)
    if not columns:
        raise TableError(f"{path} has no column of numbers besides {TIME}; it has {', '.join(frame.columns)}")
    scores, began = score_series(np.column_stack(list(columns.values())), learnt)
    alarms = np.zeros(frame.height, dtype=bool)
    alarms[began:] = raise_alarms(scores[began:], learnt - began)
    original_order = np.argsort(order, kind="stable")
    lines = pl.DataFrame(
        {
            TIME: frame[TIME].fill_null(""),
            "score": scores[original_order].round(6),
            "alarm": alarms[original_order].astype(np.int8),
        }
    )
    write_whole(out, lines.write_csv())
    return ScoringSummary(frame.height, learnt, int(alarms.sum()), tuple(columns), tuple(ignored))


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise TableError(f"no such file: {path}; expected a CSV file with a column {TIME}")
    try:
        frame = pl.read_csv(path, separator=separator_of(path), infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeError, *UNPACKING_ERRORS) as error:
        raise TableError(f"{path} cannot be read as CSV: {error}") from error
    if TIME not in frame.columns:
        raise TableError(f"{path} has no column {TIME}; it has {', '.join(frame.columns)}")
    return frame


def _time_order(times: pl.Series) -> np.ndarray:
    """Places in order of time; as they stand if one is neither a number nor a time stamp."""
    numbers = times.cast(pl.Float64, strict=False)
    if numbers.null_count():
        moments = [moment(text) for text in times]
        if None in moments:
            return np.arange(len(times))
        numbers = pl.Series(moments).to_physical()
    return np.argsort(numbers.to_numpy(), kind="stable")


def _numbers(column: pl.Series) -> np.ndarray | None:
    """Values of a column, NaN where one is missing; None if it holds text, or nothing."""
    words = column.str.strip_chars()
    numbers = words.cast(pl.Float64, strict=False)
    non_empty = words.is_not_null() & ~words.str.to_lowercase().is_in(_MISSING)
    if (non_empty & numbers.is_null()).any():
        return None
    values = numbers.fill_null(math.nan).to_numpy().astype(np.float64)
    values = np.where(np.abs(values) < 1e100, values, math.nan)
    return values if np.isfinite(values).any() else None


def _filled(values: np.ndarray, learnt: int) -> np.ndarray:
    """Gaps filled by the value before them; at the beginning by the usual one."""
    usual = values[:learnt][np.isfinite(values[:learnt])]
    start = float(np.median(usual)) if len(usual) else 0.0
    valid_indices = np.where(np.isfinite(values), np.arange(len(values)), -1)
    latest = np.maximum.accumulate(valid_indices)
    return np.where(latest < 0, start, values[np.maximum(latest, 0)])
