"""Table of facts about a project's structure."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table

ARCHITECTURE_KINDS = (
    "module",
    "module-dependency",
    "route",
    "api",
    "schema",
    "deployment",
    "service",
    "service-dependency",
)


ARCHITECTURE_FACTS = Table(
    "architecture_facts",
    "One fact of a project's structure, with the place that shows it.",
    (
        Column("fact_id", pl.String, "Hash of source, path, lines, fact, subject, relation and object"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "File that shows it"),
        Column("start_line", pl.Int64, "First line of the evidence, from 1", between=(1, 1e9)),
        Column("end_line", pl.Int64, "Last line of the evidence, inclusive", between=(1, 1e9)),
        Column("language", pl.String, "Language of the file, if known", True),
        Column("boundary", pl.String, "Package or service that holds the file, by its manifest", True),
        Column("fact", pl.String, "Kind of fact", one_of=ARCHITECTURE_KINDS),
        Column("subject", pl.String, "Subject (file, METHOD /path, table, service, ...)"),
        Column("relation", pl.String, "How they belong together (imports, handled-by, column, ...)"),
        Column("object", pl.String, "Object (file, handler, column, image, port, ...)"),
        Column(
            "scope",
            pl.String,
            "Of a dependency: whether the other side is of this source",
            True,
            ("internal", "external", "standard", "unresolved"),
        ),
        Column("technology", pl.String, "Format or framework that states it", True),
        Column("description", pl.String, "Documentation, white space folded", True),
        Column("description_source", pl.String, "Where: docstring, comment, summary, manifest", True),
        Column("evidence", pl.String, "Exact text of the lines, cut at a limit"),
    ),
    ("fact_id",),
)
