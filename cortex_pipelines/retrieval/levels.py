"""Vectors of files, folders and repositories: the means of what is in them.

A unit counts once in each folder above it, so a folder's vector is what its code is about as a
whole. The means are of half-precision vectors, as they are stored, so that anyone can compute them
again from the table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import polars as pl

Halves = npt.NDArray[np.float16]

NODES = pl.Schema({"level": pl.String, "path": pl.String, "texts": pl.Int64})
"""A file, folder or repository (whose path is empty), and how many vectors its own is made of."""


@dataclass(frozen=True)
class HierarchicalVectors:
    nodes: pl.DataFrame
    vectors: Halves


def hierarchical_vectors(paths: Sequence[str], rows: Halves) -> HierarchicalVectors:
    """The levels above documents, from the path of each one's file and its vector (zeros if it has none)."""
    numbers: dict[tuple[str, str], int] = {}
    node_numbers, documents = [], []
    for document in np.flatnonzero(rows.any(axis=1)).tolist():
        for node in _ancestors(paths[document]):
            node_numbers.append(numbers.setdefault(node, len(numbers)))
            documents.append(document)
    sums = np.zeros((len(numbers), rows.shape[1]), dtype=np.float64)
    np.add.at(sums, node_numbers, rows[documents].astype(np.float64))
    counts = np.bincount(np.array(node_numbers, dtype=np.int64), minlength=len(numbers))
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    table = pl.DataFrame(
        {
            "level": [level for level, _ in numbers],
            "path": [path for _, path in numbers],
            "texts": counts.astype(np.int64),
        },
        schema=NODES,
    )
    return HierarchicalVectors(table, (sums / lengths).astype(np.float16))


def _ancestors(path: str) -> Iterator[tuple[str, str]]:
    yield "file", path
    for folder in PurePosixPath(path).parents:
        if folder.name:
            yield "folder", folder.as_posix()
    yield "repository", ""
