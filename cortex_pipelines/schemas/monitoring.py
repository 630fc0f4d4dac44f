"""Tables of anomaly detection."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table

DETECTORS = ("mean", "pca", "forest", "autoencoder")

ANOMALY_SERIES = Table(
    "series",
    "One log with metrics of workers, and how it is monitored.",
    (
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("subjects", pl.List(pl.String), "Workers; all where records name none"),
        Column("metrics", pl.List(pl.String), "Metrics used"),
        Column("records", pl.Int64, "Records with a time"),
        Column("chosen", pl.String, "Detector that is used; null if none", True, one_of=DETECTORS),
        Column("criterion", pl.String, "ROC AUC on disturbed windows by detector, JSON", True),
        Column("threshold", pl.Float64, "Score above which a window is an alert", True),
        Column("left_out", pl.String, "Why it is not monitored; null if it is", True),
    ),
    ("file",),
)

_WINDOW = (
    Column("file", pl.String, "Log file, relative to the logs folder"),
    Column("subject", pl.String, "Worker; all where records name none"),
    Column("start", UTC, "Time of the first record"),
    Column("end", UTC, "Time of the last record"),
    Column("place", pl.Int64, "Number of the window in its part"),
)

ANOMALY_WINDOWS = Table(
    "windows",
    "A window of consecutive records of a worker, with its anomaly score.",
    (
        *_WINDOW,
        Column("part", pl.String, "Split of the window", one_of=("train", "threshold", "latest")),
        *(Column(name, pl.Float64, f"Score by the {name} detector") for name in DETECTORS),
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("alert", pl.Boolean, "Whether that is above the threshold"),
    ),
    ("file", "part", "place"),
)

ANOMALY_ALERTS = Table(
    "alerts",
    "An anomaly among the latest windows, and its main metric.",
    (
        *_WINDOW,
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("threshold", pl.Float64, "Score above which a window is an alert"),
        Column("metric", pl.String, "Metric that stands out; a counter is looked at as its rate a second"),
        Column("observed", pl.Float64, "Value furthest from the median"),
        Column("usual", pl.Float64, "Median in the training records"),
        Column("blame", pl.Float64, "Share of the metric in the score", between=(0, 1)),
    ),
    ("file", "place"),
)
