import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import UNIT_KINDS

RELATIONS = ("calls", "imports", "inherits", "tests", "configures", "changes_with")
"""What an edge of the graph says of its two ends."""

RESOLUTIONS = (*("scope", "import", "type", "unique name"), *("paired", "path", "history"))
"""What an edge rests on, of calls the surest first."""

NODE_KINDS = (*UNIT_KINDS, "test", "file", "folder")

CODE_GRAPH = Table(
    "edges",
    "One relation between two places of a source.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("relation", pl.String, "What the first place does to the second", one_of=RELATIONS),
        Column("resolution", pl.String, "What it rests on", one_of=RESOLUTIONS),
        Column("from_path", pl.String, "File of the first place"),
        Column("from_name", pl.String, "Qualified name in it; empty for the file itself"),
        Column("from_kind", pl.String, "Kind of the first place", one_of=NODE_KINDS),
        Column("from_start_line", pl.Int64, "Its first line, from 1; 0 for a file"),
        Column("from_end_line", pl.Int64, "Its last line, inclusive; 0 for a file"),
        Column("to_path", pl.String, "File or folder of the second place"),
        Column("to_name", pl.String, "Qualified name in it; empty for the file itself"),
        Column("to_kind", pl.String, "Kind of the second place", one_of=NODE_KINDS),
        Column("to_start_line", pl.Int64, "Its first line, from 1; 0 for a file"),
        Column("to_end_line", pl.Int64, "Its last line, inclusive; 0 for a file"),
        Column(
            "lines", pl.List(pl.Int64), "Lines of from_path that show it, sorted; none of history"
        ),
        Column(
            "weight", pl.Int64, "Lines that show it; of changes_with, commits together",
            between=(1, 1e9),
        ),
    ),
    (
        *("source", "relation", "from_path", "from_name", "from_start_line"),
        *("to_path", "to_name", "to_start_line"),
    ),
)  # fmt: skip
