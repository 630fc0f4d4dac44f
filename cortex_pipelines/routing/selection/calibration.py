"""How far said and true probabilities lie apart."""

from collections.abc import Sequence

import numpy as np

BINS = 10
"""Bins of equal width; the usual 15 are nearly empty on a small test."""


def reliability(
    confidence: Sequence[float], right: Sequence[bool]
) -> list[tuple[float, float, int]]:
    """Of each bin that holds a task: mean confidence, share that is right, and tasks."""
    confidences, correct = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    place = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return [
        (
            float(confidences[place == number].mean()),
            float(correct[place == number].mean()),
            int((place == number).sum()),
        )
        for number in range(BINS)
        if (place == number).any()
    ]


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Mean gap between confidence and accuracy over equal bins, weighted by tasks."""
    total = len(confidence)
    return sum(
        abs(mean_confidence - accuracy) * tasks / total
        for mean_confidence, accuracy, tasks in reliability(confidence, right)
    )
