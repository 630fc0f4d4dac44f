"""Changes in a stream of figures, such as whether each decision was right."""

from collections.abc import Sequence
from dataclasses import dataclass

_DELTA = 0.002
"""Of ADWIN (Bifet and Gavaldà 2007): its bound on the chance of a false alarm at a check."""


@dataclass(frozen=True)
class MeanShift:
    """A change of the mean of a stream, noticed at that index; it began before.

    ``since`` is the mean of the values that ADWIN still takes for one distribution.
    """

    noticed: int
    before: float
    since: float


def detect_changes(values: Sequence[float]) -> list[MeanShift]:
    """Changes of the mean of a stream of values from 0 to 1, by ADWIN."""
    from river.drift import ADWIN

    detector, shifts = ADWIN(delta=_DELTA), []
    for index, value in enumerate(values):
        before = detector.estimation
        detector.update(value)
        if detector.drift_detected:
            shifts.append(MeanShift(index, before, detector.estimation))
    return shifts
