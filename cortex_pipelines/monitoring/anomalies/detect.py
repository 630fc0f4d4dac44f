"""Score windows of all logs; thresholds and alerts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.monitoring.anomalies.detector_selection import choose
from cortex_pipelines.monitoring.anomalies.detectors import AnomalyDetector, Together, fit_detectors
from cortex_pipelines.monitoring.anomalies.series import Series, all_series
from cortex_pipelines.monitoring.anomalies.settings import AnomalySettings
from cortex_pipelines.monitoring.anomalies.windows import Scale, Windows, divide
from cortex_pipelines.routing.outcomes.training import conformal_reach
from cortex_pipelines.schemas.anomalies import (
    ANOMALY_ALERTS,
    ANOMALY_SERIES,
    ANOMALY_WINDOWS,
    DETECTORS,
)


@dataclass(frozen=True)
class FittedDetectors:
    """The detectors of one log.

    Args:
        metrics: Names of the metrics.
        counters: Those of them that are counters, looked at as their rate a second.
        scale: What is usual of each.
        detectors: All that were fitted.
        chosen: The one that is used.
        criterion: Area under the ROC curve of each on windows with something put in.
        threshold: Score of the chosen one above which a window is an alert.
    """

    metrics: tuple[str, ...]
    counters: tuple[str, ...]
    scale: Scale
    detectors: dict[str, AnomalyDetector]
    chosen: str
    criterion: dict[str, float]
    threshold: float


def watch(
    metrics: pl.DataFrame, settings: AnomalySettings
) -> tuple[dict[str, FittedDetectors], dict[str, pl.DataFrame]]:
    """Score the windows of every log that has enough of them.

    Args:
        metrics: ``schemas.WORKER_METRICS`` and ``schemas.SYSTEM_METRICS``, one below the other.
        settings: Windows, detectors, thresholds.

    Returns:
        The detectors by log, and frames of ``schemas.ANOMALY_SERIES``,
        ``schemas.ANOMALY_WINDOWS`` and ``schemas.ANOMALY_ALERTS`` by name.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # sums do not depend on the machine's cores
        return _watch(metrics, settings)


def _watch(
    metrics: pl.DataFrame, settings: AnomalySettings
) -> tuple[dict[str, FittedDetectors], dict[str, pl.DataFrame]]:
    logs, windows, alerts = [], [], []
    kept: dict[str, FittedDetectors] = {}
    for log in all_series(metrics, settings.metrics_present):
        parts = divide(log, settings)
        reason = _too_few(parts, settings)
        counters = tuple(sorted({name for series in log for name in series.counters}))
        watcher = None if reason else start_watch(log[0].metrics, counters, parts, settings)
        logs.append(_log_row(log, parts, watcher, reason))
        if watcher is not None:
            kept[log[0].file] = watcher
            for part, own in parts.items():
                if len(own):
                    scores = {
                        n: d.score(watcher.scale.apply(own.values))
                        for n, d in watcher.detectors.items()
                    }
                    windows += _window_rows(log[0].file, part, own, watcher, scores)
                    # what trained a detector is its usual
                    alerts += alert_rows(log[0].file, own, watcher) if part == "latest" else []
    return kept, {
        ANOMALY_SERIES.name: ANOMALY_SERIES.frame(logs),
        ANOMALY_WINDOWS.name: ANOMALY_WINDOWS.frame(windows),
        ANOMALY_ALERTS.name: ANOMALY_ALERTS.frame(alerts),
    }


def start_watch(
    metrics: tuple[str, ...],
    counters: tuple[str, ...],
    parts: dict[str, Windows],
    settings: AnomalySettings,
) -> FittedDetectors:
    """Fit detectors on training windows; choose one and its threshold on the next.

    The threshold is a score that usual windows pass with at most ``settings.alarm_share``
    probability (the rank of conformal prediction), if the later ones are like those that set it.
    """
    train = parts["train"].values
    scale = Scale.fit(train.reshape(-1, train.shape[-1]))
    held = scale.apply(parts["threshold"].values)
    single = fit_detectors(scale.apply(train), settings)
    detectors = {"mean": Together.fit(list(single.values()), held), **single}
    chosen, criterion = choose(detectors, held, settings)
    threshold = conformal_reach(detectors[chosen].score(held), 1 - settings.alarm_share)
    return FittedDetectors(metrics, counters, scale, detectors, chosen, criterion, threshold)


def _too_few(parts: dict[str, Windows], settings: AnomalySettings) -> str | None:
    learnt, held = len(parts["train"]), len(parts["threshold"])
    if learnt < settings.min_windows:
        return (
            f"{learnt} windows of {settings.window} records to learn from; at least "
            f"{settings.min_windows} (anomalies.min_windows) are needed"
        )
    return None if held else "no window left to choose a detector and set its threshold by"


def _log_row(
    log: Sequence[Series],
    parts: dict[str, Windows],
    watcher: FittedDetectors | None,
    reason: str | None,
) -> dict[str, Any]:
    return {
        "file": log[0].file,
        "subjects": sorted(series.subject for series in log),
        "metrics": list(log[0].metrics),
        "records": sum(len(series.times) for series in log),
        "train_windows": len(parts["train"]),
        "threshold_windows": len(parts["threshold"]),
        "latest_windows": len(parts["latest"]),
        "chosen": watcher.chosen if watcher else None,
        "criterion": json.dumps(watcher.criterion, sort_keys=True) if watcher else None,
        "threshold": watcher.threshold if watcher else None,
        "left_out": reason,
    }


def _window_rows(
    file: str, part: str, own: Windows, watcher: FittedDetectors, scores: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    return [
        {
            "file": file,
            "subject": own.subjects[place],
            "start": own.starts[place],
            "end": own.ends[place],
            "place": place,
            "part": part,
            **{name: float(scores[name][place]) for name in DETECTORS},
            "score": float(scores[watcher.chosen][place]),
            "alert": bool(scores[watcher.chosen][place] > watcher.threshold),
        }
        for place in range(len(own))
    ]


def alert_rows(file: str, own: Windows, watcher: FittedDetectors) -> list[dict[str, Any]]:
    """Rows of ``schemas.ANOMALY_ALERTS`` for held-out windows."""
    if not len(own):
        return []
    scaled = watcher.scale.apply(own.values)
    chosen = watcher.detectors[watcher.chosen]
    scores, blame = chosen.score(scaled), chosen.blame(scaled)
    rows = []
    for place in np.flatnonzero(scores > watcher.threshold).tolist():
        metric = int(blame[place].argmax())
        values = own.values[place][:, metric]
        usual = float(watcher.scale.centre[metric])
        furthest = values[np.abs(values - usual).argmax()]
        rows.append(
            {
                "file": file,
                "subject": own.subjects[place],
                "start": own.starts[place],
                "end": own.ends[place],
                "place": place,
                "score": float(scores[place]),
                "threshold": watcher.threshold,
                "metric": watcher.metrics[metric],
                "observed": float(furthest),
                "usual": usual,
                "blame": float(blame[place][metric] / max(blame[place].sum(), 1e-12)),
            }
        )
    return rows
