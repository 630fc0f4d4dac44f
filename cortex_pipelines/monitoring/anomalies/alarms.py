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

_MOST_ALLOWED = 0.1
"""Highest share that is allowed after a long time without an alarm: one in the highest tenth of the
latest records is the least that an alarm has to be."""

_REMEMBERED = 2_000
"""Latest records that a score is compared with."""


def raise_alarms(scores: np.ndarray, first: int) -> npt.NDArray[np.bool_]:
    """Which scores are alarms, each judged by those before it.

    Args:
        scores: Scores of consecutive records.
        first: Scores at the beginning that are usual, at least one; they set the first threshold.
    """
    latest = deque(scores[:first].tolist(), maxlen=_REMEMBERED)
    ordered = sorted(latest)
    alarms = np.zeros(len(scores), dtype=bool)
    allowed = _ALARM_RATE
    for place in range(first, len(scores)):
        score = float(scores[place])
        rank = math.ceil((1 - allowed) * (len(ordered) + 1))
        # a rank beyond the last one is never reached
        alarms[place] = rank <= len(ordered) and score > ordered[rank - 1]
        allowed = min(allowed + _STEP * (_ALARM_RATE - alarms[place]), _MOST_ALLOWED)
        if len(latest) == _REMEMBERED:
            del ordered[bisect_left(ordered, latest[0])]
        latest.append(score)
        insort(ordered, score)
    return alarms
