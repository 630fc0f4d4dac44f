"""Tables of the feedback data set."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables
from cortex_pipelines.schemas.table import Column

CORRECTION, RETAINED = "correction", "retained"
PERSON, MODEL, SIMULATION = "person", "model", "simulation"
REQUEST, TITLE = "A person corrected this code.", "The code as corrected:"
"""Lines around what a model had written, in the prompt of a correction."""

_OWN = {
    "kind": Column(
        "kind",
        pl.String,
        "What a person put instead of a model's text, or a model's text that people kept",
        one_of=(CORRECTION, RETAINED),
    ),
    "origin": Column("origin", pl.String, "Who wrote the completion", one_of=(PERSON, MODEL, SIMULATION)),
}

FEEDBACK_DATASET = (
    *split_tables(
        "feedback_dataset",
        "What a person made of a model's text, or kept of it",
        tuple(_OWN.get(column.name, column) for column in EXAMPLE),
    ),
    MANIFEST,
)
