"""Stratified folds, the same for every candidate."""

from collections.abc import Sequence

import numpy as np

from cortex_pipelines.routing.features.features import Indices


def folds_of(keys: Sequence[str], labels: Indices, folds: int) -> Indices:
    """Fold of each task.

    The tasks of each master are dealt out one after the other in the order of their keys, so each
    fold has as many of a master as any other, but for one.

    Args:
        keys: One a task, a hash of its text: an order that has nothing to do with the task.
        labels: Number of each task's master.
        folds: Number of folds.
    """
    fold_of = np.zeros(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label).tolist()
        ordered_rows = sorted(rows, key=lambda row: (keys[row], row))
        for row in ordered_rows:
            fold_of[row] = dealt % folds
            dealt += 1
    return fold_of
