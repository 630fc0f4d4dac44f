"""Tables of what is searched: documents, files, embeddings."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table
from cortex_pipelines.schemas.vocabulary import UNIT_KINDS

LEVELS = ("unit", "file", "folder", "repository", "commit")
"""What a vector stands for."""

SEARCHED_FILES = Table(
    "files",
    "One text file that is searched.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("size", pl.Int64, "Characters of the text that is read"),
        Column("language", pl.String, "Language; null if none is known", True),
        Column("commit", pl.String, "Commit id, version or content hash of the source, as pinned"),
        Column("generated", pl.Boolean, "Generated, vendored or minified"),
        Column("licence", pl.String, "SPDX expression; null if none is known", True),
        Column("author", pl.String, "Keyed pseudonym of who changed it last; null if unknown", True),
        Column("changed", UTC, "Time of the last commit that changed it; null if unknown", True),
    ),
    ("source", "path"),
)

SEARCHED_DOCUMENTS = Table(
    "documents",
    "One place that a search can give, with the texts of its fields.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("number", pl.Int64, "Number in the file, from 0", between=(0, 1e9)),
        Column("kind", pl.String, "function, method, class, ..., file (what is in no unit), section, issue"),
        Column("name", pl.String, "Qualified name, heading of a section, or name of the file"),
        Column("start_line", pl.Int64, "First line, from 1"),
        Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
        Column("title", pl.String, "Name as it is searched; empty for what has none"),
        Column("signature", pl.String, "Signature; empty if none"),
        Column("documentation", pl.String, "Doc comment or docstring; empty if none"),
        Column("body", pl.String, "Its text, without that of other documents inside of it"),
        Column("embedded", pl.UInt64, "Hash of the text that is embedded; null if only words find it", True),
        Column("category", pl.String, "Purpose of the unit; null for other documents", True),
        Column("complexity", pl.Int64, "Cyclomatic complexity of the unit; null if none", True),
        Column("technologies", pl.List(pl.String), "Libraries that the unit uses; null for other documents", True),
        Column("intent", pl.String, "What the unit does, as a verb and its object; null if nothing says it", True),
        Column("intent_kind", pl.String, "Kind of what it does; null if nothing says it", True),
    ),
    ("source", "path", "number"),
)

EMBEDDINGS = Table(
    "embeddings",
    "One vector: of a unit's or a commit's text, or the mean of those in a file, folder or source.",
    (
        Column("level", pl.String, "What it stands for", one_of=LEVELS),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "File or folder; empty for a repository or a commit"),
        Column("name", pl.String, "Name of the unit, id of the commit; else empty"),
        Column("number", pl.Int64, "Number of the document in its file; else 0"),
        Column("start_line", pl.Int64, "First line of a unit, from 1; else null", True),
        Column("end_line", pl.Int64, "Last line of a unit, inclusive; else null", True),
        Column("text", pl.UInt64, "Hash of the text that is embedded; null for a mean", True),
        Column("texts", pl.Int64, "Vectors that it is the mean of; 1 for a text"),
        Column("model", pl.String, "Digest of the encoder's files and of how much it reads"),
        Column("vector", pl.List(pl.Float16), "Direction, of length 1"),
    ),
    ("level", "source", "path", "name", "number"),
)

RELATIONS = ("calls", "passes", "imports", "inherits", "tests", "configures", "changes_with")
"""What an edge of the graph says of its two ends."""

RESOLUTIONS = (*("scope", "import", "type", "unique name"), *("path", "history"))
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
        Column("lines", pl.List(pl.Int64), "Lines of from_path that show it, sorted; none of history"),
        Column("weight", pl.Int64, "Lines that show it; of changes_with, commits together", between=(1, 1e9)),
    ),
    (*("source", "relation", "from_path", "from_name", "from_start_line"), *("to_path", "to_name", "to_start_line")),
)
