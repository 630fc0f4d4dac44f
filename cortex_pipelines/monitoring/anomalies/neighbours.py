"""Anomaly scores of a table's records by their distance from what was usual.

A record is as anomalous as the window that ends with it is far from the nearest window that was
learnt from (a discord: Yankov and others 2008), for several lengths of windows: a spike shows in a
short one, a beat that is missing in a long one. On 90 simulated series of six families
the mean of these distances had an average precision of .54, a windowed isolation forest .28
(``docs/guides/watching.md``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cortex_pipelines.monitoring.anomalies.windows import Scale

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

LENGTHS = (5, 10, 20, 40, 80)
"""Records of a window; a factor of 2 apart, because nobody knows how long an anomaly lasts."""

_LEARNT_A_WINDOW = 8
"""Shortest learnt part, in windows: a longer window than that has nothing to be like."""

_LEAST_LEARNT = 40
_MOST_SPREADS = 20.0
_LIBRARY = 1_500
"""Windows that a record is compared with; more find little and cost in proportion."""

_DELAY = 2
"""Learnt parts after which later windows count as usual too. An anomaly that lasts longer than that
is the new usual."""

_CHUNK = 256
_FLOOR = 1e-2
_LEAST_SPREAD = 0.05


class TableError(ValueError):
    pass


@dataclass(frozen=True)
class Scores:
    """Anomaly scores of records; those of the learnt part are distances from the other learnt windows.

    From ``calibrated`` on, scores compare with later ones: the windows before it were what they were
    compared with, as for later records.
    """

    values: Doubles
    calibrated: int


def score_series(values: np.ndarray, learnt: int) -> Scores:
    """Scores of a series' records, each from itself and its past.

    Args:
        values: Shape (records, metrics), in time order, without gaps.
        learnt: Records at the beginning that are usual.

    Raises:
        TableError: too few records are learnt from.
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
        parts = [
            _standardised(distances, calibrated, learnt)
            for length in lengths
            for distances in _distances(scaled, length, calibrated, learnt)
        ]
    return Scores(np.mean(parts, axis=0), calibrated)


def _windows(scaled: Floats, length: int) -> Floats:
    """Window that ends with each record, flat; the first record stands for what came before."""
    padded = np.concatenate([np.repeat(scaled[:1], length - 1, axis=0), scaled])
    return np.lib.stride_tricks.sliding_window_view(padded, length, axis=0)


def _distances(scaled: Floats, length: int, calibrated: int, learnt: int) -> tuple[Doubles, Doubles]:
    """Squared distance of each window from the nearest learnt one, and from that or a past one.

    Records from ``calibrated`` up to ``learnt`` are compared only with those before ``calibrated``,
    as if they came later: a window that was learnt from is nearer to its kind than a new one.
    """
    windows = _windows(scaled, length)
    fixed, adapted = np.empty(len(windows)), np.empty(len(windows))
    for part in _chunks(len(windows), (calibrated, learnt)):
        chunk_windows = windows[part].reshape(part.stop - part.start, -1)
        until = calibrated if part.start < learnt else learnt
        fixed[part] = _nearest(windows, chunk_windows, part, range(length - 1, until), length)
        past = range(learnt, max(learnt, part.start - _DELAY * learnt))
        adapted[part] = np.minimum(fixed[part], _nearest(windows, chunk_windows, part, past, length))
    return fixed, adapted


def _chunks(count: int, borders: Sequence[int]) -> Iterator[slice]:
    edges = [0, *borders, count]
    for begin, end in pairwise(edges):
        for start in range(begin, end, _CHUNK):
            yield slice(start, min(start + _CHUNK, end))


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


def _standardised(distances: Doubles, calibrated: int, learnt: int) -> Doubles:
    usual = distances[calibrated:learnt]
    floor = _FLOOR * float(np.median(usual)) + 1e-9
    logs = np.log(distances + floor)
    low, centre, high = np.percentile(logs[calibrated:learnt], [16, 50, 84])
    return np.asarray((logs - centre) / max((high - low) / 2, _LEAST_SPREAD))
