"""Score windows of all logs; thresholds, alerts and their report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.monitoring.anomalies.detectors import (
    AnomalyDetector,
    DetectorEnsemble,
    choose_detector,
    fit_detectors,
)
from cortex_pipelines.monitoring.anomalies.windows import Scale, Windows, all_series, divide
from cortex_pipelines.monitoring.settings import AnomalySettings
from cortex_pipelines.pages import SAMPLE, render
from cortex_pipelines.routing.outcomes.training import conformal_reach
from cortex_pipelines.schemas.monitoring import ANOMALY_ALERTS, ANOMALY_SERIES, ANOMALY_WINDOWS, DETECTORS


@dataclass(frozen=True)
class FittedDetectors:
    """The detectors of one log, and the chosen one's score above which a window is an alert.

    ``counters`` are metrics looked at as their rate a second; ``criterion`` is the area under the ROC
    curve of each detector on windows with something put in.
    """

    metrics: tuple[str, ...]
    counters: tuple[str, ...]
    scale: Scale
    detectors: dict[str, AnomalyDetector]
    chosen: str
    criterion: dict[str, float]
    threshold: float


def fit_and_score(
    metrics: pl.DataFrame, settings: AnomalySettings
) -> tuple[dict[str, FittedDetectors], dict[str, pl.DataFrame]]:
    """Score the windows of every log that has enough of them. Returns the detectors by log, and frames of
    ``schemas.ANOMALY_SERIES``, ``schemas.ANOMALY_WINDOWS`` and ``schemas.ANOMALY_ALERTS`` by name.
    """
    from threadpoolctl import threadpool_limits

    logs, windows, alerts = [], [], []
    fitted: dict[str, FittedDetectors] = {}
    with threadpool_limits(limits=1):  # sums do not depend on the machine's cores
        for log in all_series(metrics, settings.metrics_present):
            file, parts = log[0].file, divide(log, settings)
            reason = None if parts["threshold"] else "no window left to choose a detector and set its threshold by"
            if len(parts["train"]) < settings.min_windows:
                reason = (
                    f"{len(parts['train'])} windows of {settings.window} records to learn from; at least "
                    f"{settings.min_windows} (anomalies.min_windows) are needed"
                )
            counters = tuple(sorted({name for series in log for name in series.counters}))
            watcher = None if reason else fit_log(log[0].metrics, counters, parts, settings)
            logs.append(
                {
                    "file": file,
                    "subjects": sorted(series.subject for series in log),
                    "metrics": list(log[0].metrics),
                    "records": sum(len(series.times) for series in log),
                    "chosen": watcher.chosen if watcher else None,
                    "criterion": json.dumps(watcher.criterion, sort_keys=True) if watcher else None,
                    "threshold": watcher.threshold if watcher else None,
                    "left_out": reason,
                }
            )
            if watcher is not None:
                fitted[file] = watcher
                for part, windows_of_part in parts.items():
                    windows += _window_rows(file, part, windows_of_part, watcher)
                # what trained a detector is its usual
                alerts += alert_rows(file, parts["latest"], watcher)
    return fitted, {
        ANOMALY_SERIES.name: ANOMALY_SERIES.frame(logs),
        ANOMALY_WINDOWS.name: ANOMALY_WINDOWS.frame(windows),
        ANOMALY_ALERTS.name: ANOMALY_ALERTS.frame(alerts),
    }


def fit_log(
    metrics: tuple[str, ...], counters: tuple[str, ...], parts: dict[str, Windows], settings: AnomalySettings
) -> FittedDetectors:
    """Fit detectors on training windows; choose one and its threshold on the next.

    The threshold is a score that usual windows pass with at most ``settings.alarm_share``
    probability (the rank of conformal prediction), if the later ones are like those that set it.
    """
    train = parts["train"].values
    scale = Scale.fit(train.reshape(-1, train.shape[-1]))
    held_out = scale.apply(parts["threshold"].values)
    single = fit_detectors(scale.apply(train), settings)
    detectors = {"mean": DetectorEnsemble.fit(list(single.values()), held_out), **single}
    name, criterion = choose_detector(detectors, held_out, settings)
    threshold = conformal_reach(detectors[name].score(held_out), 1 - settings.alarm_share)
    return FittedDetectors(metrics, counters, scale, detectors, name, criterion, threshold)


def _window_rows(file: str, part: str, log_windows: Windows, watcher: FittedDetectors) -> list[dict[str, Any]]:
    if not len(log_windows):
        return []
    scaled = watcher.scale.apply(log_windows.values)
    scores = {name: detector.score(scaled) for name, detector in watcher.detectors.items()}
    return [
        {
            "file": file,
            **log_windows.row(index),
            "part": part,
            **{name: float(scores[name][index]) for name in DETECTORS},
            "score": float(scores[watcher.chosen][index]),
            "alert": bool(scores[watcher.chosen][index] > watcher.threshold),
        }
        for index in range(len(log_windows))
    ]


def alert_rows(file: str, log_windows: Windows, watcher: FittedDetectors) -> list[dict[str, Any]]:
    if not len(log_windows):
        return []
    scaled = watcher.scale.apply(log_windows.values)
    detector = watcher.detectors[watcher.chosen]
    scores, blame = detector.score(scaled), detector.blame(scaled)
    rows = []
    for index in np.flatnonzero(scores > watcher.threshold).tolist():
        metric = int(blame[index].argmax())
        values = log_windows.values[index][:, metric]
        usual = float(watcher.scale.centre[metric])
        furthest = values[np.abs(values - usual).argmax()]
        rows.append(
            {
                "file": file,
                **log_windows.row(index),
                "score": float(scores[index]),
                "threshold": watcher.threshold,
                "metric": watcher.metrics[metric],
                "observed": float(furthest),
                "usual": usual,
                "blame": float(blame[index][metric] / max(blame[index].sum(), 1e-12)),
            }
        )
    return rows


_TEMPLATE = Path(__file__).parent / "report.html"
_MOST = 50


def anomaly_report(tables: dict[str, pl.DataFrame], alarm_share: float, sample: bool) -> str:
    logs = []
    for row in tables["series"].iter_rows(named=True):
        log = row | {"subjects": ", ".join(row["subjects"]), "metrics": ", ".join(row["metrics"])}
        if row["left_out"] is None:
            latest = tables["windows"].filter(file=row["file"], part="latest")
            criterion = sorted(json.loads(row["criterion"]).items(), key=lambda item: -item[1])
            alerts = tables["alerts"].filter(file=row["file"])
            top_alerts = alerts.sort("score", "start", descending=[True, False]).head(_MOST)
            log |= {
                "detectors": [
                    (name + (" (used)" if name == row["chosen"] else ""), f"{value:.3f}") for name, value in criterion
                ],
                "alarmed": latest["alert"].sum(),
                "watched": latest.height,
                "alerts": [
                    (
                        *(alert["subject"], f"{alert['start']:%Y-%m-%d %H:%M:%S}", f"{alert['score']:.4g}"),
                        *(alert["metric"], f"{alert['observed']:.4g}", f"{alert['usual']:.4g}"),
                    )
                    for alert in top_alerts.iter_rows(named=True)
                ],
            }
        logs.append(log)
    title = "Unusual behaviour of workers"
    return render(_TEMPLATE, title, is_sample=sample, sample=SAMPLE, logs=logs, alarm_share=f"{alarm_share:.0%}")
