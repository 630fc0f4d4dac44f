"""Alarms that keep their rate on later data.

A threshold that was set once holds only as long as later records are like those that set it: on one
public set it raised an alarm on 44 % of usual windows. Here a record is compared with the latest
ones (conformal prediction with a moving window), and the rank that it has to reach moves by what
came of it (adaptive conformal inference: Gibbs and Candès 2021). Whatever the records do, the share
of alarms then exceeds the rate by at most (rate + step) / (step × records). It may be below: where
records are alike, none of them is an alarm.
"""

import math
from bisect import bisect_left, insort
from collections import deque

import numpy as np
import numpy.typing as npt

_ALARM_RATE = 0.01
"""Share of alarms to keep to."""

_STEP = 0.002
"""How far an alarm moves the rank. Five alarms in a row spend what the rate allows."""

_MAX_RATE = 0.1
"""Highest share that is allowed after a long time without an alarm: one in the highest tenth of the
latest records is the least that an alarm has to be."""

_WINDOW = 2_000
"""Latest records that a score is compared with."""


def raise_alarms(scores: np.ndarray, first: int) -> npt.NDArray[np.bool_]:
    """Mark the scores that are alarms, each compared with those before it; the ``first`` are usual."""
    latest = deque(scores[:first].tolist(), maxlen=_WINDOW)
    sorted_scores = sorted(latest)
    alarms = np.zeros(len(scores), dtype=bool)
    current_rate = _ALARM_RATE
    for index in range(first, len(scores)):
        score = float(scores[index])
        rank = math.ceil((1 - current_rate) * (len(sorted_scores) + 1))
        # a rank beyond the last one is never reached
        alarms[index] = rank <= len(sorted_scores) and score > sorted_scores[rank - 1]
        current_rate = min(current_rate + _STEP * (_ALARM_RATE - alarms[index]), _MAX_RATE)
        if len(latest) == _WINDOW:
            del sorted_scores[bisect_left(sorted_scores, latest[0])]
        latest.append(score)
        insort(sorted_scores, score)
    return alarms
