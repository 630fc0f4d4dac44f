"""Tables of the routing data set."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import split_tables
from cortex_pipelines.schemas.table import UTC, Column

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
