"""Vectors of the table of embeddings, as a matrix."""

import numpy as np
import polars as pl

from cortex_pipelines.retrieval.levels import Halves


def vectors_of(rows: pl.DataFrame) -> Halves:
    """The vectors of rows of ``EMBEDDINGS``, shape (rows, width)."""
    if rows.is_empty():
        return np.zeros((0, 0), dtype=np.float16)
    flat = rows["vector"].explode().to_numpy()
    return flat.astype(np.float16).reshape(rows.height, -1)
