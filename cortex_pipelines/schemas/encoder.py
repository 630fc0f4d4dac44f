"""Table of the encoder of code: what its candidates found."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table

ENCODER_ITEMS = Table(
    "items",
    "How one candidate encoder did on one judged item, of a project that it was not trained on.",
    (
        Column("task", pl.String, "What is judged", one_of=("search", "clones", "category")),
        Column("project", pl.String, "Project of the function; of a hand-labelled unit its language"),
        Column("path", pl.String, "Its file"),
        Column("item", pl.String, "Id of the function; name and number of a hand-labelled unit"),
        Column("candidate", pl.String, "Way of finding it"),
        Column("score", pl.Float64, "Reciprocal of its rank; of a category 1 if it is right", between=(0, 1)),
    ),
    ("task", "project", "path", "item", "candidate"),
)
