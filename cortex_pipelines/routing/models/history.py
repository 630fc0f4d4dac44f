"""What masters did lately: the context in which a task is decided, as of that time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Features, Indices

RECENT = 8
"""Latest outcomes of a master that are looked at."""
WIDTH = 6
_DAY, _HOUR = 86400.0, 3600.0
_ARRAYS = ("masters", "sent", "known", "outcomes")


@dataclass(frozen=True)
class History:
    """Tasks that were sent to masters, a row each.

    ``masters`` are numbers, ``sent`` and ``known`` (when its outcome was known) seconds since 1970 or NaN; ``outcomes``
    of shape (rows, 3) have success (1 or 0), and the logarithms of one more than the seconds and the tokens, or NaN.
    """

    masters: Indices
    sent: Doubles
    known: Doubles
    outcomes: Doubles

    @classmethod
    def of_attempts(cls, attempts: pl.DataFrame, masters: Sequence[str]) -> "History":
        """``attempts`` have a row a task and master, all ``masters`` known."""
        numbers = {master: number for number, master in enumerate(masters)}
        amounts = (pl.col("duration_seconds", "tokens").clip(0.0)).log1p()
        return cls(
            np.array([numbers[master] for master in attempts["master"]], dtype=np.int64),
            sent_at(attempts),
            seconds(attempts["known_at"].to_list()),
            attempts.select("success", amounts).cast(pl.Float64).fill_null(float("nan")).to_numpy().reshape(-1, 3),
        )

    @classmethod
    def empty(cls) -> "History":
        return cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros((0, 3)))

    def __len__(self) -> int:
        return len(self.masters)

    def arrays(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any]) -> Self:
        return cls(**{name: arrays[name] for name in _ARRAYS})

    def add(self, later: "History") -> "History":
        joined = {name: np.concatenate([getattr(self, name), getattr(later, name)]) for name in _ARRAYS}
        return replace(self, **joined)

    def before(self, times: Doubles, masters: Indices) -> tuple[Floats, Floats]:
        """What was known of each master before each time: values (pairs, ``RECENT`` + 1, ``WIDTH``), and which count.

        Of each outcome success (1, -1 or 0), seconds, tokens and age; of the master how many tasks it was sent in the
        day before; the last place, which always counts, has only that, and that it is no outcome. At NaN nothing is
        known; later than all of the history is the end of it, so that an answer does not depend on the clock.
        """
        times = np.where(np.isnan(times), -np.inf, np.minimum(times, self._end))
        rows, load = np.full((len(times), RECENT), -1), np.zeros(len(times))
        for master in np.unique(masters):
            known_rows, known_times, sent_times = self._of_masters.get(int(master), _NOTHING)
            pairs = np.flatnonzero(masters == master)
            last = np.searchsorted(known_times, times[pairs])[:, None] - 1 - np.arange(RECENT)
            if len(known_rows):
                rows[pairs] = np.where(last >= 0, known_rows[np.maximum(last, 0)], -1)
            load[pairs] = np.searchsorted(sent_times, times[pairs]) - np.searchsorted(sent_times, times[pairs] - _DAY)
        counted = np.pad(rows >= 0, ((0, 0), (0, 1)), constant_values=True)
        values = np.zeros((len(times), RECENT + 1, WIDTH))
        if len(self):
            outcomes = self.outcomes[rows] * [2.0, 0.1, 0.1] - [1.0, 0.0, 0.0]
            values[:, :RECENT, :3] = np.nan_to_num(outcomes)
            with np.errstate(invalid="ignore"):
                values[:, :RECENT, 3] = np.log1p(np.maximum(times[:, None] - self.known[rows], 0.0) / _HOUR) / 5
        values[:, :, 4], values[:, RECENT, 5] = np.log1p(load)[:, None] / 5, 1.0
        return (np.where(counted[:, :, None], values, 0.0)).astype(np.float32), counted.astype(np.float32)

    @cached_property
    def _end(self) -> float:
        times = np.concatenate([self.sent, self.known])
        times = times[~np.isnan(times)]
        return float(np.nextafter(times.max(), np.inf)) if len(times) else 0.0

    @cached_property
    def _of_masters(self) -> dict[int, tuple[Indices, Doubles, Doubles]]:
        """Of each master, rows with a time of their outcome in its order, those times, and when it was sent tasks."""
        of_masters = {}
        for master in np.unique(self.masters):
            mine = np.flatnonzero(self.masters == master)
            known = mine[~np.isnan(self.known[mine])]
            known = known[np.argsort(self.known[known], kind="stable")]
            sent = self.sent[mine]
            of_masters[int(master)] = (known, self.known[known], np.sort(sent[~np.isnan(sent)]))
        return of_masters


_NOTHING = (np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Attempts:
    """Attempts to learn from: the ``features`` of their tasks, their ``rows`` of a history and their ``folds``."""

    features: Features
    rows: Indices
    folds: Indices

    def take(self, indices: Indices) -> "Attempts":
        return Attempts(self.features.take(indices), self.rows[indices], self.folds[indices])


def sent_at(attempts: pl.DataFrame) -> Doubles:
    return seconds(attempts["decided_at"].to_list())


def seconds(times: Sequence[datetime | None]) -> Doubles:
    """Since 1970; NaN for None."""
    return np.array([float("nan") if time is None else time.timestamp() for time in times], dtype=np.float64)
