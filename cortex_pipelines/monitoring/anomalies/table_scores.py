"""Score the records of a table of measurements."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.atomic import is_same_file, write_whole
from cortex_pipelines.ingestion.files.packed import UNPACKING_ERRORS, separator_of
from cortex_pipelines.monitoring.anomalies.alarms import raise_alarms
from cortex_pipelines.monitoring.anomalies.neighbours import TableError, score_series
from cortex_pipelines.timestamps import moment

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
    """Score the records of a CSV file and write ``timestamp,score,alarm``, a line for a line.

    Raises:
        TableError: the file is not such a table, has too few records, or is the output itself.
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
    scores = score_series(np.column_stack(list(columns.values())), learnt)
    alarms = np.zeros(frame.height, dtype=bool)
    began = scores.calibrated
    alarms[began:] = raise_alarms(scores.values[began:], learnt - began)
    original_order = np.argsort(order, kind="stable")
    lines = pl.DataFrame(
        {
            TIME: frame[TIME].fill_null(""),
            "score": scores.values[original_order].round(6),
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
