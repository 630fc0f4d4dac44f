"""Table of the split that each unit of code belongs to."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import SPLITS, UNIT_KINDS

UNIT_SPLITS = Table(
    "splits",
    "One unit of code with its split, decided once for all data sets and before augmentation.",
    (
        Column("unit_id", pl.String, "Unit"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path of its file"),
        Column("kind", pl.String, "Kind of unit", one_of=UNIT_KINDS),
        Column("cluster", pl.String, "First unit of its near-duplicate cluster; null if left out", True),
        Column("cluster_size", pl.Int64, "Units in that cluster", True),
        Column("split", pl.String, "Split; null if left out", True, one_of=SPLITS),
        Column("split_reason", pl.String, "Rule that decided the split; null if left out", True),
        Column("left_out", pl.String, "Filter that it does not pass; null if it may be used", True),
    ),
    ("unit_id",),
)
