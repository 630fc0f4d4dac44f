import polars as pl

from cortex_pipelines.schemas.table import Column, Table

PREDICTED_TARGETS = Table(
    "targets",
    "One prediction target, or why it is not predicted.",
    (
        Column("target", pl.String, "Predicted target"),
        Column("unit", pl.String, "Its unit, in words"),
        Column("by_factors", pl.Boolean, "Whether it is learnt and compared on a log scale"),
        Column("train_items", pl.Int64, "Earlier tasks with a known value"),
        Column("test_items", pl.Int64, "Later tasks with a known value"),
        Column("chosen", pl.String, "Model that is used, by the folds of the earlier tasks", True),
        Column("fold_losses", pl.String, "Mean loss of each model on folds it did not see, JSON", True),
        Column("left_out", pl.String, "Why it is not predicted; null if it is", True),
    ),
    ("target",),
)


PREDICTIONS = Table(
    "predictions",
    "One later task: a model's prediction and the actual value.",
    (
        Column("target", pl.String, "Predicted target"),
        Column("model", pl.String, "Model", one_of=("constant", "master", "linear")),
        Column("chosen", pl.Boolean, "Whether it is the model that is used"),
        Column("attempt_id", pl.String, "Task and master, as in coordination_tables"),
        Column("cluster", pl.String, "Words of the text; tasks that come again are not independent"),
        Column("master", pl.String, "Master that the task was sent to"),
        Column("actual", pl.Float64, "Actual value; 1 or 0 for success"),
        Column("predicted", pl.Float64, "Calibrated probability, or the median"),
        Column("low", pl.Float64, "Lower end of the interval; null for a probability", True),
        Column("high", pl.Float64, "Upper end of the interval; null for a probability", True),
        Column("uncalibrated", pl.Float64, "The prediction before calibration"),
        Column("loss", pl.Float64, "Squared error of a probability; else the absolute error"),
    ),
    ("target", "model", "attempt_id"),
)
