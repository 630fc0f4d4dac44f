"""Build a frame from a stream of rows in batches, to save memory."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import polars as pl

_ROWS = 2_000


def frame_of(rows: Iterable[dict[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    remaining = iter(rows)
    frames = [pl.DataFrame(schema=schema)]
    while batch := list(islice(remaining, _ROWS)):
        frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    return pl.concat(frames)
