"""Tables of the refactoring data set."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables
from cortex_pipelines.schemas.table import Column
from cortex_pipelines.schemas.vocabulary import PURPOSES

REFACTORING_DATASET = (
    *split_tables(
        "refactoring_dataset",
        "Code to put right or to improve, with the result",
        (
            *EXAMPLE,
            Column("purpose", pl.String, "What the change is for", one_of=(*PURPOSES, "correctness")),
            Column("error_type", pl.String, "Family of the error put in; null without one", True),
            Column("refactoring", pl.String, "Refactoring, as RefactoringMiner names it; or null", True),
            Column("smell", pl.String, "Smell that the change takes away; null without one", True),
            Column("explanation", pl.String, "The problem and the change, in words"),
        ),
    ),
    MANIFEST,
)
