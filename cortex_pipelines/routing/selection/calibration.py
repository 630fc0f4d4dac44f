"""Calibration of probabilities."""

from collections.abc import Sequence
from math import fsum

import numpy as np

BINS = 10
"""Bins of equal width; the usual 15 are nearly empty on a small test set."""


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of tasks per non-empty bin."""
    confidences, correct = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    bin_index = np.minimum((confidences * BINS).astype(int), BINS - 1)
    return [
        (
            float(confidences[bin_index == number].mean()),
            float(correct[bin_index == number].mean()),
            int((bin_index == number).sum()),
        )
        for number in range(BINS)
        if (bin_index == number).any()
    ]


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Over equal-width bins, weighted by tasks."""
    total = len(confidence)
    return fsum(
        abs(mean_confidence - accuracy) * tasks / total
        for mean_confidence, accuracy, tasks in reliability(confidence, right)
    )
