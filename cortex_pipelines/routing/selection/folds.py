"""Stratified folds, the same for every candidate."""

from collections.abc import Sequence

import numpy as np

from cortex_pipelines.routing.features.features import Indices


def folds_of(keys: Sequence[str], labels: Indices, folds: int) -> Indices:
    """The tasks of each master are dealt out in the order of their keys (hashes): folds are stratified."""
    fold_of = np.zeros(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label).tolist()
        ordered_rows = sorted(rows, key=lambda row: (keys[row], row))
        for row in ordered_rows:
            fold_of[row] = dealt % folds
            dealt += 1
    return fold_of
