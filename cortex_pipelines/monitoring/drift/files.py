"""Compare two files for drift."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.config import load_parameters_anywhere
from cortex_pipelines.ingestion.cache import UNPACKING_ERRORS, open_unpacked
from cortex_pipelines.monitoring.drift.compare import CHARACTERS, compare, sampled_rows
from cortex_pipelines.monitoring.drift.kinds import Drift
from cortex_pipelines.retrieval.open_index import open_encoder

_MOST_ROWS = 20_000  # rows of a file that are compared, drawn by a fixed seed


class RecordFileError(ValueError):
    """A file to compare cannot be read as records."""


def drift_between(reference: Path, current: Path) -> Drift:
    """Test which columns have drifted between two files: JSON lines, also packed by gzip, or Parquet. Raises
    RecordFileError: a file is missing, is neither, or holds no record. Raises WeightsError: a column holds text and the
    sentence encoder is not on this machine.
    """

    def encode(texts: Sequence[str]) -> np.ndarray:
        encoder = open_encoder(load_parameters_anywhere())
        return np.asarray(encoder.encode([text[:CHARACTERS] for text in texts]))

    return compare(_records(reference), _records(current), encode)


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise RecordFileError(f"no such file: {path}; expected JSON lines or Parquet")
    with path.open("rb") as file:
        is_parquet = file.read(4) == b"PAR1"
    try:
        frame = pl.read_parquet(path) if is_parquet else None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RecordFileError(f"{path} begins like Parquet but cannot be read: {error}") from error
    records = _json_lines(path) if frame is None else frame[sampled_rows(frame.height, _MOST_ROWS)].to_dicts()
    if not records:
        raise RecordFileError(f"{path} holds no record; at least one is needed")
    return records


def _json_lines(path: Path) -> list[dict[str, Any]]:
    try:
        with open_unpacked(path) as file:
            numbered = [(n, line) for n, line in enumerate(file, start=1) if line.strip()]
    except UNPACKING_ERRORS as error:
        raise RecordFileError(f"{path} cannot be unpacked: {error}") from error
    records = []
    for index in sampled_rows(len(numbered), _MOST_ROWS):
        number, line = numbered[index]
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordFileError(
                f"{path} line {number} is not JSON ({error}); expected JSON lines or Parquet"
            ) from error
        if not isinstance(record, dict):
            raise RecordFileError(f'{path} line {number} is not a JSON object; expected {{"name": value}}')
        records.append(record)
    return records
