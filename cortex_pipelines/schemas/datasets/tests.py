"""Tables of the data set of tests."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables
from cortex_pipelines.schemas.table import Column

REQUEST = "Its test, in {path}:"
"""The line after the code, in the prompt."""

_OWN = {
    "unit_id": Column("unit_id", pl.String, "Unit that is tested; it is shown in the prompt"),
    "path": Column("path", pl.String, "Path of the test file, which decides the split"),
    "kind": Column("kind", pl.String, "Kind of the unit that is tested"),
}

TESTS_DATASET = (
    *split_tables(
        "tests_dataset",
        "One unit of code, and the test case that is closest to it",
        (
            *(_OWN.get(column.name, column) for column in EXAMPLE),
            Column("test_id", pl.String, "Test case that is the answer"),
        ),
    ),
    MANIFEST,
)
