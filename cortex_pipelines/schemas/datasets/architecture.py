"""Tables of the architecture data set and its dependency rules."""

import polars as pl

from cortex_pipelines.schemas.datasets.examples import EXAMPLE, MANIFEST, split_tables
from cortex_pipelines.schemas.table import Column, Table

DEPENDENCY_RULES = Table(
    "dependency_rules",
    "One rule about which part of a source may import which, learnt from its imports.",
    (
        Column("rule_id", pl.String, "Hash of source, folder and the two parts"),
        Column("source", pl.String, "Source in the project"),
        Column("folder", pl.String, "Folder whose parts the rule is about; empty for the root"),
        Column("upper", pl.String, "Part that may import the other"),
        Column("lower", pl.String, "Part that must not import it"),
        Column("edges", pl.Int64, "Imports from the upper to the lower part", between=(0, 1e9)),
        Column("against", pl.Int64, "Imports the other way: violations", between=(0, 1e9)),
        Column("learnt", pl.String, "How: counted, or order, from other rules of the folder"),
    ),
    ("rule_id",),
)


ARCHITECTURE_EXAMPLES = ("boundary", "module", "api", "schema", "deployment", "violation")


ARCHITECTURE_DATASET = (
    *split_tables(
        "architecture_dataset",
        "One requirement with the structure that answers it, or an import to judge",
        (
            *(column for column in EXAMPLE if column.name not in ("language", "kind")),
            Column("language", pl.String, "Language or format of the file"),
            Column("kind", pl.String, "Kind of question", one_of=ARCHITECTURE_EXAMPLES),
            Column("technology", pl.String, "Format or framework", True),
            Column("description_source", pl.String, "Where the requirement stands; weak:rule if made"),
            Column("rule", pl.String, "Dependency rule that decides; null without one", True),
            Column("explanation", pl.String, "Why an import is allowed or not; empty for others"),
        ),
    ),
    MANIFEST,
    DEPENDENCY_RULES,
)
