"""Tables of ingestion: files, skipped files, redactions, commits, times of lines."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table

SKIP_REASONS = (
    *("binary", "not_utf8", "large_file_pointer", "damaged_notebook", "too_large", "forgotten"),
    *("link", "submodule", "special", "encrypted", "unknown_packing", "unsafe_path", "duplicate"),
    *("compression_ratio", "too_many_files", "too_many_folders", "source_too_large"),
    "project_too_large",
)

REPOSITORY_FILES = Table(
    "files",
    "One text file of a project's sources, at the pinned revision.",
    (
        Column("source", pl.String, "Source in the project, as in params.yaml (for example git:PATH)"),
        Column("path", pl.String, "Path relative to the source's root, with forward slashes"),
        Column("blob", pl.String, "Git blob id (SHA-1) of the original bytes"),
        Column("language", pl.String, "Language by extension or shebang; null if none is known", True),
        Column("size_bytes", pl.Int64, "Size of the original, in bytes", between=(0, 1e12)),
        Column("generated", pl.Boolean, "Generated, compiled, vendored or minified: kept, not trained on"),
        Column("revision", pl.String, "Commit id, version or content hash of the source, as pinned"),
        Column("licence", pl.String, "SPDX expression; NOASSERTION if not understood; null if none", True),
        Column("trainable", pl.Boolean, "Written by hand, under a licence on the allow list"),
        Column("notebook", pl.Boolean, "The text is made of a notebook's code cells"),
        Column("author", pl.String, "Keyed pseudonym of who changed the path last; null if unknown", True),
        Column("text", pl.String, "Sanitised UTF-8 text, line ends as they are; spans refer to it"),
    ),
    ("source", "path"),
)

SKIPPED_FILES = Table(
    "skipped_files",
    "One file or entry that was left out of ingestion, and why.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path or entry name as the source has it"),
        Column("reason", pl.String, "Reason code", one_of=SKIP_REASONS),
        Column("detail", pl.String, "Explanation, with the limit exceeded"),
        Column("size_bytes", pl.Int64, "Size, in bytes; null if unknown", True),
    ),
    ("source", "path", "reason"),
)

REDACTIONS = Table(
    "redactions",
    "One secret or item of personal data redacted before publishing.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root; of a message, its commit's id"),
        Column("line", pl.Int64, "Line of the placeholder, from 1; 0: in a path", between=(0, 1e9)),
        Column("start", pl.Int64, "First character of the placeholder in the line", between=(0, 1e9)),
        Column("end", pl.Int64, "Character after its last one in that line", between=(0, 1e9)),
        Column("category", pl.String, "Category of the private value", one_of=("secret", "personal")),
        Column("rule", pl.String, "Detection rule"),
        Column("severity", pl.String, "How much harm it could do", one_of=("low", "medium", "high")),
        Column("placeholder", pl.String, "What stands there now: the same for the same value in a project"),
    ),
    ("source", "path", "line", "start"),
)

REPOSITORY_COMMITS = Table(
    "commits",
    "One commit reachable from the pinned revision of a git source.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("commit", pl.String, "Commit id, in hexadecimal"),
        Column("parents", pl.List(pl.String), "Ids of the parents; none for a root, two for a merge"),
        Column("committed_at", UTC, "Commit time, UTC"),
        Column("author", pl.String, "Keyed pseudonym of the author; null if none is named", True),
        Column("subject", pl.String, "First line of the message, sanitised"),
        Column("body", pl.String, "The rest of the message, sanitised, may be empty"),
        Column("paths", pl.List(pl.String), "Paths changed against the first parent, sorted"),
    ),
    ("source", "commit"),
)

LINE_TIMES = Table(
    "line_times",
    "A run of lines of a file of a git source, and when it was written; whitespace apart.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path as in the table of files; notebooks are left out"),
        Column("first_line", pl.Int64, "First line of the run, from 1", between=(1, 1e9)),
        Column("last_line", pl.Int64, "Last line of the run", between=(1, 1e9)),
        Column("committed_at", UTC, "Time of the commit that brought the lines to the main line, UTC"),
    ),
    ("source", "path", "first_line"),
)
