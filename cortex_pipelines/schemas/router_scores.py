import polars as pl

from cortex_pipelines.schemas.table import Column, Table

ROUTING_VOTERS = ("lexical", "semantic", "retrieval", "kernel", "neural", "rules", "person")
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
