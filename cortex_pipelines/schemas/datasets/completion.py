"""Tables of the completion data set and of general code."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables
from cortex_pipelines.schemas.table import Column

TASKS = ("completion", "fim")


_COMPLETION = (
    *EXAMPLE,
    Column("task", pl.String, "completion, or fim: fill in the middle", one_of=TASKS),
    Column("suffix", pl.String, "Code after the gap, for fill-in-the-middle; may be empty"),
)


COMPLETION_DATASET = (
    *split_tables(
        "completion_dataset", "One function body, import or declaration to complete, or a gap to fill", _COMPLETION
    ),
    MANIFEST,
)


GENERAL_CODE = (
    *split_tables("general_code", "One example to complete of the project that stands for all code", _COMPLETION),
    MANIFEST,
)
