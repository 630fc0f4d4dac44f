"""Tables of anomaly detection."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table

DETECTORS = ("mean", "pca", "forest", "autoencoder")


ANOMALY_SERIES = Table(
    "series",
    "One log with metrics of workers, and how it is watched.",
    (
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("subjects", pl.List(pl.String), "Workers; all where records name none"),
        Column("metrics", pl.List(pl.String), "Metrics that are looked at"),
        Column("records", pl.Int64, "Records with a time"),
        Column("train_windows", pl.Int64, "Windows that the detectors learnt from"),
        Column("threshold_windows", pl.Int64, "Windows after, that chose one of them"),
        Column("latest_windows", pl.Int64, "Windows after these, that are watched"),
        Column("chosen", pl.String, "Detector that is used; null if none", True, one_of=DETECTORS),
        Column("criterion", pl.String, "Disturbed windows found by each detector, JSON", True),
        Column("threshold", pl.Float64, "Score above which a window is an alert", True),
        Column("left_out", pl.String, "Why it is not watched; null if it is", True),
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
    "Some records of a worker, one after the other, and how unusual they are together.",
    (
        *_WINDOW,
        Column("part", pl.String, "What it is used for", one_of=("train", "threshold", "latest")),
        *(Column(name, pl.Float64, f"Score by the {name} detector") for name in DETECTORS),
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("alert", pl.Boolean, "Whether that is above the threshold"),
    ),
    ("file", "part", "place"),
)


ANOMALY_ALERTS = Table(
    "alerts",
    "One of the latest windows that is unusual, and the metric that stands out.",
    (
        *_WINDOW,
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("threshold", pl.Float64, "Score above which a window is an alert"),
        Column(
            "metric",
            pl.String,
            "Metric that stands out; a counter is looked at as its rate a second",
        ),
        Column("observed", pl.Float64, "Its value that is furthest from the usual"),
        Column("usual", pl.Float64, "Its median in the records that were learnt from"),
        Column("blame", pl.Float64, "Its share of what is unusual", between=(0, 1)),
    ),
    ("file", "place"),
)
