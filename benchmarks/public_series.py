"""Detectors on public series with labels: ``CORTEX_SKAB=FOLDER python -m benchmarks.public_series``.

The folder is ``data`` of the Skoltech Anomaly Benchmark: sensors of a water pump, whose records say which of them were
anomalous. Nothing of it is part of this project. The series in ``valve1`` were looked at while the settings were
chosen; those here were not. Printed is the mean area under the ROC curve of each detector, and of the chosen one.
"""

import os
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from cortex_pipelines.config import load_parameters
from cortex_pipelines.monitoring.anomalies.detect import fit_log
from cortex_pipelines.monitoring.anomalies.windows import Windows

ROOT = Path(__file__).parents[1]
SETTINGS = load_parameters(ROOT).anomalies
FOLDER = Path(os.environ.get("CORTEX_SKAB", "nowhere"))
FILES = sorted([*FOLDER.glob("valve2/*.csv"), *FOLDER.glob("other/*.csv")])
LEARNT, USUAL = 300, 400
"""Records that are learnt from, and up to which the benchmark's series are usual."""


def windows(rows: pl.DataFrame, metrics: list[str]) -> Windows:
    values, times = rows.select(metrics).to_numpy(), rows["datetime"].to_list()
    starts = range(rows.height - SETTINGS.window + 1)
    return Windows(
        subjects=tuple("pump" for _ in starts),
        starts=tuple(times[n] for n in starts),
        ends=tuple(times[n + SETTINGS.window - 1] for n in starts),
        values=np.stack([values[n : n + SETTINGS.window] for n in starts]),
    )


def main() -> None:
    """Measure every series of the folder."""
    areas: dict[str, list[float]] = {}
    with threadpool_limits(limits=1):
        for path in FILES:
            rows = pl.read_csv(path, separator=";", try_parse_dates=True)
            metrics = [n for n in rows.columns if n not in ("datetime", "anomaly", "changepoint")]
            parts = {"train": windows(rows[:LEARNT], metrics), "threshold": windows(rows[LEARNT:USUAL], metrics)}
            watcher = fit_log(tuple(metrics), (), parts, SETTINGS)
            late = watcher.scale.apply(windows(rows[USUAL:], metrics).values)
            labels = rows["anomaly"][USUAL + SETTINGS.window - 1 :].to_numpy()
            for name, detector in {**watcher.detectors, "used": watcher.detectors[watcher.chosen]}.items():
                areas.setdefault(name, []).append(roc_auc_score(labels, detector.score(late)))
    print({name: round(float(np.mean(values)), 3) for name, values in areas.items()})


if __name__ == "__main__":
    main()
