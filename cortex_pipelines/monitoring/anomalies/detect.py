"""Score windows of all logs; thresholds, alerts and their report."""

import json
from dataclasses import dataclass
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
from cortex_pipelines.pages import SAMPLE, heading, page, paragraph, table
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


_HOW = (
    "Each log is divided by time: principal components, an isolation forest and an autoencoder "
    "learn from the earliest records, the next choose and set the threshold, the latest are "
    "watched. No log says what was unusual, so the choice is made with something put into held-out "
    "windows (a spike, a shift, a trend, a value standing still): the figure is how often such a "
    "window scores above one as it was (area under the ROC curve). The mean of the three is used "
    "unless one of them gains more than two standard errors. The figure compares detectors on one "
    "series; it says nothing of how many real failures are found. Where the latest records are "
    "unlike those before for an innocent reason, more than the named share of them gives an alarm."
)
_MOST = 50


def anomaly_report(tables: dict[str, pl.DataFrame], alarm_share: float, sample: bool) -> str:
    parts = [paragraph(SAMPLE, warning=True)] if sample else []
    parts += [paragraph(_HOW)]
    windows, alerts = tables["windows"], tables["alerts"]
    for row in tables["series"].iter_rows(named=True):
        subjects, metrics = ", ".join(row["subjects"]), ", ".join(row["metrics"])
        parts += [heading(row["file"]), paragraph(f"{row['records']} records of {subjects}: {metrics}.")]
        if row["left_out"] is not None:
            parts.append(paragraph(f"Not watched: {row['left_out']}."))
            continue
        latest = windows.filter((pl.col("file") == row["file"]) & (pl.col("part") == "latest"))
        criterion = sorted(json.loads(row["criterion"]).items(), key=lambda item: -item[1])
        detectors = [(name + (" (used)" if name == row["chosen"] else ""), f"{value:.3f}") for name, value in criterion]
        parts.append(table(("detector", "disturbed windows found"), detectors))
        parts.append(
            paragraph(
                f"{latest['alert'].sum()} of {latest.height} of the latest windows are above the "
                f"threshold {row['threshold']:.4g}; {alarm_share:.0%} of usual ones may be."
            )
        )
        shown = (
            alerts.filter(pl.col("file") == row["file"]).sort("score", "start", descending=[True, False]).head(_MOST)
        )
        head = ("worker", "from (UTC)", "score", "stands out", "observed", "usual")
        cells = [
            (
                *(alert["subject"], f"{alert['start']:%Y-%m-%d %H:%M:%S}", f"{alert['score']:.4g}", alert["metric"]),
                *(f"{alert['observed']:.4g}", f"{alert['usual']:.4g}"),
            )
            for alert in shown.iter_rows(named=True)
        ]
        parts.append(table(head, cells))
    return page("Unusual behaviour of workers", parts)
