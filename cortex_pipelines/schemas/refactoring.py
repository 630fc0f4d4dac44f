"""Table of refactorings between two versions of a file."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, PURPOSES

REFACTORING_PAIRS = Table(
    "refactoring_pairs",
    "One refactoring found in a commit: the code before and after it.",
    (
        Column("pair_id", pl.String, "Hash of source, commit, type, names and places"),
        Column("source", pl.String, "Source in the project"),
        Column("commit", pl.String, "Commit id, in hexadecimal"),
        Column("committed_at", UTC, "Commit time, UTC"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("type", pl.String, "Kind of refactoring, as RefactoringMiner names it"),
        Column("name_before", pl.String, "Simple name before; null if that side has none", True),
        Column("name_after", pl.String, "Simple name after; null if that side has none", True),
        Column("container_before", pl.String, "Simple name of what encloses it before", True),
        Column("container_after", pl.String, "Simple name of what encloses it after", True),
        Column("path_before", pl.String, "Path before", True),
        Column("path_after", pl.String, "Path after", True),
        Column("line_before", pl.Int64, "Line before, from 1", True),
        Column("line_after", pl.Int64, "Line after, from 1", True),
        Column("before", pl.String, "Code of the enclosing unit before"),
        Column("after", pl.String, "Code of the enclosing unit after"),
        Column("description", pl.String, "What was done, in words"),
        Column("purpose", pl.String, "Purpose of the refactoring, by rule (weak label)", one_of=PURPOSES),
        Column("smell", pl.String, "Smell of the code before that is gone after; null if none", True),
        Column("purity", pl.String, "Whether behaviour changes beside it", one_of=("pure", "mixed")),
        Column("message", pl.String, "Commit message, cleaned"),
    ),
    ("pair_id",),
)
