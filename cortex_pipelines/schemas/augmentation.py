"""Tables of augmentation: renamed, broken and rewritten units."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES

RENAMED_UNITS = Table(
    "renamed_units",
    "One function with its local variables renamed, behaviour unchanged.",
    (
        Column("unit_id", pl.String, "Unit it was made from"),
        Column("variant", pl.Int64, "Number of the variant, from 0"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("renamed_code", pl.String, "Code with local variables renamed"),
        Column("renames", pl.List(pl.String), "Renamings as old=new, sorted"),
    ),
    ("unit_id", "variant"),
)

INJECTED_ERRORS = Table(
    "injected_errors",
    "One function with one injected error.",
    (
        Column("mutant_id", pl.String, "Hash of unit, operator and place"),
        Column("unit_id", pl.String, "Unit it was made from"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("operator", pl.String, "Operator that made the change"),
        Column("error_type", pl.String, "Family of the error (operator, literal, ...)"),
        Column("buggy_code", pl.String, "Code with the error; takes the place of fixed_code"),
        Column("fixed_code", pl.String, "Code of the unit, exactly"),
        Column("explanation", pl.String, "The error and its fix, in words"),
        Column("verification", pl.List(pl.String), "Checks passed: reparses, tree_differs, not_equivalent, reverses"),
    ),
    ("mutant_id",),
)

REWRITTEN_UNITS = Table(
    "rewritten_units",
    "One function with other comments or another layout, its tokens unchanged.",
    (
        Column("unit_id", pl.String, "Unit it was made from"),
        Column("variant", pl.Int64, "Number of the variant, from 0"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("rewrite", pl.String, "Kind of rewrite (comments_removed, one_argument_a_line, ...)"),
        Column("family", pl.String, "What the rewrite changes", one_of=("comments", "layout")),
        Column("rewritten_code", pl.String, "Rewritten code"),
    ),
    ("unit_id", "variant"),
)
