"""Choose a detector without labelled anomalies, by synthetic disturbances.

Logs seldom say what was unusual. So held-out windows are scored twice, as they are and disturbed,
and a detector is better the more often it scores the disturbed window higher
 (the injection criterion of Goswami and others, ICLR 2023). It compares detectors on the same
series; it does not show how many real failures one would find.
"""

import hashlib
from math import sqrt

import numpy as np

from cortex_pipelines.monitoring.anomalies.detectors import AnomalyDetector
from cortex_pipelines.monitoring.anomalies.settings import AnomalySettings
from cortex_pipelines.routing.outcomes.training import select_model

_ERRORS = 2.0
"""Standard errors that count as a gain. On 34 labelled public series (SKAB) a single one chose
worse than any fixed detector but the forest."""

DISTURBANCES = ("spike", "shift", "trend", "still")


def disturbed(windows: np.ndarray, settings: AnomalySettings) -> np.ndarray:
    """Scaled windows with one synthetic disturbance each, drawn by seed and position.

    A spike in one record, a shift of all, a trend over the window, or a value that stands still a
    shift away from where it was.
    """
    changed = windows.copy()
    for number, window in enumerate(changed):
        digest = hashlib.sha256(f"{settings.seed}\n{number}".encode()).digest()
        kind = DISTURBANCES[digest[0] % len(DISTURBANCES)]
        metric = int.from_bytes(digest[1:5], "big") % windows.shape[2]
        size = settings.disturbance * (1 if digest[5] % 2 else -1)
        record = digest[6] % windows.shape[1]
        if kind == "spike":
            window[record, metric] += size
        elif kind == "shift":
            window[:, metric] += size
        elif kind == "trend":
            window[:, metric] += np.linspace(0, size, windows.shape[1])
        else:
            window[:, metric] = window[0, metric] + size
    return changed


def outscored_shares(detector: AnomalyDetector, windows: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Share of undisturbed windows that each disturbed one outscores.

    Their mean is the area under the ROC curve.
    """
    usual = np.sort(detector.score(windows))
    below = np.searchsorted(usual, scores := detector.score(changed), side="left")
    upto = np.searchsorted(usual, scores, side="right")
    return np.asarray((below + upto) / (2 * len(usual)))


def choose_detector(
    detectors: dict[str, AnomalyDetector], windows: np.ndarray, settings: AnomalySettings
) -> tuple[str, dict[str, float]]:
    """The detector to use, and every detector's area under the ROC curve.

    Another than the first is taken only if it gains more than two standard errors. Windows that
    overlap are not independent: as many as they have records count for one.
    """
    changed = disturbed(windows, settings)
    shares = {name: outscored_shares(detector, windows, changed) for name, detector in detectors.items()}
    selected = select_model(
        [(name, 1 - share) for name, share in shares.items()], errors=_ERRORS * sqrt(settings.window)
    )
    return selected, {name: float(share.mean()) for name, share in shares.items()}
