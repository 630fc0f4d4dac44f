"""Tables of the routing data set."""

import polars as pl

from cortex_pipelines.schemas.datasets import split_tables
from cortex_pipelines.schemas.table import UTC, Column, Table

ROUTING_DATASET = split_tables(
    "routing_dataset",
    "One task with the master it belongs to",
    (
        Column("example_id", pl.String, "Hash of the task's text and master"),
        Column("text", pl.String, "Title and description of the task"),
        Column("master", pl.String, "Master the task belongs to"),
        Column("label_source", pl.String, "outcome, decision, or weak:commit where a rule gave the label"),
        Column("weight", pl.Float64, "Weight of the example in training", between=(0, 1)),
        Column("origin", pl.String, "File or source the task comes from"),
        Column("occurred_at", UTC, "When the task was routed or the commit made", True),
    ),
)

ROUTING_VOTERS = ("lexical", "semantic", "retrieval", "kernel", "joint", "rules", "person")
"""Deciders that a task may be routed by."""

ROUTING_SCORES = Table(
    "scores",
    "One held-out task as routed by router, rules, TF-IDF and champion.",
    (
        Column("example_id", pl.String, "Example of the data set"),
        Column("text", pl.String, "Title and description of the task"),
        Column("master", pl.String, "Master the task belongs to"),
        Column("challenger", pl.String, "Master chosen by the challenger", True),
        Column("challenger_right", pl.Boolean, "Whether that is correct"),
        Column("confidence", pl.Float64, "Challenger's probability for it", between=(0, 1)),
        Column("in_scope", pl.Float64, "Similarity to known tasks", between=(0, 1)),
        Column("decided_by", pl.String, "Candidate with the largest margin", one_of=ROUTING_VOTERS),
        Column("baseline", pl.String, "Master that the keyword rules send it to; null if none", True),
        Column("baseline_right", pl.Boolean, "Whether that is correct"),
        Column("tfidf", pl.String, "Master chosen by TF-IDF, the simplest model"),
        Column("tfidf_right", pl.Boolean, "Whether that is correct"),
        Column("champion", pl.String, "Master that the champion sends it to; null without one", True),
        Column("champion_right", pl.Boolean, "Whether that is correct", True),
    ),
    ("example_id",),
)

ESTIMATORS = ("logged", "ips", "snips", "doubly_robust", "none")

OFF_POLICY = Table(
    "off_policy",
    "Off-policy estimate of the router's success rate, or the reason for refusing one.",
    (
        Column("estimator", pl.String, "logged: the router that decided; none: refused", one_of=ESTIMATORS),
        Column("items", pl.Int64, "Logged decisions about held-out tasks, outcome known"),
        Column("effective", pl.Float64, "Effective sample size, in decisions of the router", True),
        Column("estimate", pl.Float64, "Estimated success rate", True),
        Column("low", pl.Float64, "Lower end of its interval", True),
        Column("high", pl.Float64, "Upper end of its interval", True),
        Column("refused", pl.String, "Reason for refusing an estimate; null if estimated", True),
    ),
    ("estimator",),
    min_rows=1,
)

AUDIT_GROUPS = Table(
    "groups",
    "Router performance on held-out tasks that share an attribute value.",
    (
        Column("attribute", pl.String, "What they share", one_of=("master", "priority", "source", "language")),
        Column("value", pl.String, "The value; not known where it is missing"),
        Column("items", pl.Int64, "Number of tasks"),
        Column("accuracy", pl.Float64, "Accuracy", between=(0, 1)),
        Column("accuracy_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("accuracy_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("confidence", pl.Float64, "Mean confidence of the router", between=(0, 1)),
        Column("overconfidence", pl.Float64, "Mean confidence less accuracy", between=(-1, 1)),
        Column("abstention", pl.Float64, "Share of abstentions", between=(0, 1)),
        Column("warnings", pl.List(pl.String), "Metrics in which the group falls behind; empty if none"),
    ),
    ("attribute", "value"),
)

PREDICTED_TARGETS = Table(
    "targets",
    "One prediction target, or why it is not predicted.",
    (
        Column("target", pl.String, "Predicted target"),
        Column("unit", pl.String, "Its unit, in words"),
        Column("by_factors", pl.Boolean, "Whether it is learnt and compared on a log scale"),
        Column("train_items", pl.Int64, "Earlier tasks with a known value"),
        Column("test_items", pl.Int64, "Later tasks with a known value"),
        Column("fold_losses", pl.String, "Mean loss of each model on folds it did not see, JSON", True),
        Column("leaks", pl.List(pl.String), "Features that would give the answer away, left out, each with the reason"),
        Column("left_out", pl.String, "Why it is not predicted; null if it is", True),
    ),
    ("target",),
)

PREDICTIONS = Table(
    "predictions",
    "One later task: a model's prediction and the actual value.",
    (
        Column("target", pl.String, "Predicted target"),
        Column("model", pl.String, "Model", one_of=("mean", "mean_by_master", "linear", "lightgbm")),
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
