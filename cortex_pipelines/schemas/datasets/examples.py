"""Columns, splits and manifest that all data sets share."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, SPLITS

EXAMPLE = (
    Column("example_id", pl.String, "Hash of unit, task and variant"),
    Column("unit_id", pl.String, "Unit it was made from"),
    Column("source", pl.String, "Source in the project"),
    Column("path", pl.String, "Path of the file it comes from"),
    Column("language", pl.String, "Language", one_of=LANGUAGES),
    Column("kind", pl.String, "Kind of unit or of name"),
    Column("origin", pl.String, "original, or the augmentation that made it"),
    Column("prompt", pl.String, "Model input"),
    Column("completion", pl.String, "Expected model output"),
    Column("cluster", pl.String, "Near-duplicate cluster; a cluster is in one split"),
    Column("split_reason", pl.String, "Rule that decided the split"),
    Column(
        "weight",
        pl.Float64,
        "Sampling priority under a cap in train: quality of its unit, 1 if unknown",
        between=(0, 1),
    ),
)


def split_tables(name: str, meaning: str, columns: tuple[Column, ...]) -> tuple[Table, ...]:
    """The three tables of a data set: train, validation and test, with the same columns."""
    return tuple(Table(split, f"{meaning} ({name}, {split})", columns, ("example_id",)) for split in SPLITS)


MANIFEST = Table(
    "manifest",
    "One row of the data set with its origin and the reason for its split, or an excluded row with the reason.",
    (
        Column("entry_id", pl.String, "Example id; of what was left out, a hash of it and the reason"),
        Column("split", pl.String, "Split; null if left out", True, one_of=SPLITS),
        Column("left_out", pl.String, "Reason for leaving it out, as a short code; null if included", True),
        Column("count", pl.Int64, "Rows it stands for; above 1 where too many to name were left out"),
        Column("unit_id", pl.String, "Unit, pair or fact it was made from; null for several", True),
        Column("kind", pl.String, "Kind of unit, of name, or of change; null for several", True),
        Column("origin", pl.String, "original, or the augmentation that made it", True),
        Column("language", pl.String, "Language or format; null for several", True),
        Column("category", pl.String, "Purpose of its unit; null without a unit", True),
        Column("cyclomatic", pl.Int64, "Cyclomatic complexity of its unit; likewise", True),
        Column("weight", pl.Float64, "Sampling priority under a cap; null if left out before", True),
        Column("source", pl.String, "Source in the project", True),
        Column("revision", pl.String, "What was taken of the source, or the commit of a pair", True),
        Column("path", pl.String, "Path of the file it comes from", True),
        Column("blob", pl.String, "Git blob id of the file's original bytes; null for old versions", True),
        Column("start_byte", pl.Int64, "First byte in the sanitised text", True),
        Column("end_byte", pl.Int64, "Byte after the last one", True),
        Column("licence", pl.String, "SPDX expression of the file's licence; null if not known", True),
        Column("cluster", pl.String, "Near-duplicate cluster", True),
        Column("cluster_size", pl.Int64, "Units of the project in that cluster", True),
        Column("split_reason", pl.String, "Rule that decided the split", True),
        Column("redactions", pl.Int64, "Placeholders for private data in the span", True),
        Column("filters", pl.List(pl.String), "Filters that it passed, in their order"),
    ),
    ("entry_id",),
)
