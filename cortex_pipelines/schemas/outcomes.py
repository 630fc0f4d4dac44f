"""Tables of outcome prediction."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table

PREDICTED_TARGETS = Table(
    "targets",
    "One thing that is predicted of a task before it is sent, or why it is not.",
    (
        Column("target", pl.String, "What is predicted"),
        Column("unit", pl.String, "Its unit, in words"),
        Column("by_factors", pl.Boolean, "Whether its logarithm is what is learnt and compared"),
        Column("train_items", pl.Int64, "Earlier tasks with a known value"),
        Column("test_items", pl.Int64, "Later tasks with a known value"),
        Column("chosen", pl.String, "Model that is used, by the folds of the earlier tasks", True),
        Column(
            "fold_losses", pl.String, "Mean loss of each model on folds it did not see, JSON", True
        ),
        Column("left_out", pl.String, "Why it is not predicted; null if it is", True),
    ),
    ("target",),
)


PREDICTIONS = Table(
    "predictions",
    "One later task as one model expects it, and what became of it.",
    (
        Column("target", pl.String, "What is predicted"),
        Column("model", pl.String, "Model", one_of=("constant", "master", "linear")),
        Column("chosen", pl.Boolean, "Whether it is the model that is used"),
        Column("attempt_id", pl.String, "Task and master, as in coordination_tables"),
        Column(
            "cluster", pl.String, "Words of the text; tasks that come again are not independent"
        ),
        Column("master", pl.String, "Master that the task was sent to"),
        Column("actual", pl.Float64, "What it was; of success 1 or 0"),
        Column("predicted", pl.Float64, "Calibrated probability, or the median"),
        Column("low", pl.Float64, "Lower end of the interval; null for a probability", True),
        Column("high", pl.Float64, "Upper end of the interval; null for a probability", True),
        Column("uncalibrated", pl.Float64, "The prediction before calibration"),
        Column("loss", pl.Float64, "Squared error of a probability; else the absolute error"),
    ),
    ("target", "model", "attempt_id"),
)
