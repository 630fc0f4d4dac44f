"""Table of the router's evaluation."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table

ROUTING_VOTERS = ("lexical", "semantic", "retrieval", "kernel", "neural", "rules", "person")
"""Deciders that a task may be routed by."""


ROUTING_SCORES = Table(
    "scores",
    "One held-out task as the router, rules, TF-IDF and the champion before it route it.",
    (
        Column("example_id", pl.String, "Example of the data set"),
        Column("text", pl.String, "Title and description of the task"),
        Column("master", pl.String, "Master the task belongs to"),
        Column("challenger", pl.String, "Master that the challenger sends it to", True),
        Column("challenger_right", pl.Boolean, "Whether that is right"),
        Column("confidence", pl.Float64, "Challenger's probability for it", between=(0, 1)),
        Column("in_scope", pl.Float64, "How like known tasks it is", between=(0, 1)),
        Column("decided_by", pl.String, "Voter whose say was the largest", one_of=ROUTING_VOTERS),
        Column(
            "baseline", pl.String, "Master that the keyword rules send it to; null if none", True
        ),
        Column("baseline_right", pl.Boolean, "Whether that is right"),
        Column("tfidf", pl.String, "Master that TF-IDF, the plainest learner, sends it to"),
        Column("tfidf_right", pl.Boolean, "Whether that is right"),
        Column(
            "champion", pl.String, "Master that the champion sends it to; null without one", True
        ),
        Column("champion_right", pl.Boolean, "Whether that is right", True),
    ),
    ("example_id",),
)
