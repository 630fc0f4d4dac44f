"""Tables of extraction: units of code, chunks, test cases, unparsed files."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, PURPOSES, UNIT_KINDS

UNIT = (
    Column("unit_id", pl.String, "Hash of source, path, blob, kind, name and span"),
    Column("source", pl.String, "Source in the project"),
    Column("path", pl.String, "Path relative to the source's root"),
    Column("blob", pl.String, "Git blob id of the file"),
    Column("language", pl.String, "Language", one_of=LANGUAGES),
    Column("kind", pl.String, "Kind of unit; a Python enum is a class", one_of=UNIT_KINDS),
    Column("name", pl.String, "Simple name; for an import what is imported"),
    Column("qualified_name", pl.String, "Name with its enclosing units, joined by dots"),
    Column("start_byte", pl.Int64, "First byte of the unit in the UTF-8 text"),
    Column("end_byte", pl.Int64, "Byte after the last one"),
    Column("start_line", pl.Int64, "First line, from 1"),
    Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
    Column("name_line", pl.Int64, "Line of the keyword (def, class, func, ...)"),
    Column("signature", pl.String, "From the keyword to the body, white space folded; empty if none"),
    Column("docstring", pl.String, "Doc comment or docstring, without its markers", True),
    Column("code", pl.String, "Exact text of the span"),
    Column("body_start_byte", pl.Int64, "First byte of the body in the text; null if none", True),
    Column(
        "context", pl.String, "Enclosing header lines (class, impl, callback) up to their brackets, outermost first"
    ),
    Column("has_error", pl.Boolean, "The parser found a syntax error inside the span"),
    Column("generated", pl.Boolean, "From generated, vendored or minified code"),
    Column("project", pl.String, "Project, as in params.yaml; empty outside of one"),
    Column("commit", pl.String, "Commit id, version or content hash of the source, as pinned"),
    Column("licence", pl.String, "SPDX expression of the file; null if none is known", True),
    Column("trainable", pl.Boolean, "Written by hand, under a licence on the allow list"),
    Column("author", pl.String, "Keyed pseudonym of who changed the file last; null if unknown", True),
)

CODE_UNITS = Table("units", "One unit of code, with its exact span.", UNIT, ("unit_id",))

TEST_CASES = Table(
    "tests",
    "One test case: a test function or method, or a call such as it(...), which is not a unit.",
    (
        Column("unit_id", pl.String, "The unit's id; of a call, made in the same way"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("name", pl.String, "Name of the function, or first argument of the call"),
        Column("start_byte", pl.Int64, "First byte in the UTF-8 text"),
        Column("end_byte", pl.Int64, "Byte after the last one"),
        Column("start_line", pl.Int64, "First line, from 1"),
        Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
        Column("code", pl.String, "Exact text of the span"),
    ),
    ("unit_id",),
)

UNPARSED = ("too_large", "too_deep", "garbage", "unreadable", "ambiguous", "too_many_steps", "damaged")

UNPARSED_FILES = Table(
    "unparsed_files",
    "One file in a supported language that was not parsed.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("reason", pl.String, "Short code", one_of=UNPARSED),
        Column("detail", pl.String, "Explanation, with the limit exceeded"),
    ),
    ("source", "path"),
)

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

ARCHITECTURE_KINDS = (
    *("module", "module-dependency", "route", "api", "schema", "deployment", "service", "service-dependency"),
)

SCOPES = ("internal", "external", "standard", "unresolved")

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
        Column("scope", pl.String, "Of a dependency: what the other side is", True, SCOPES),
        Column("technology", pl.String, "Format or framework that states it", True),
        Column("description", pl.String, "Documentation, white space folded", True),
        Column("description_source", pl.String, "Where: docstring, comment, summary, manifest", True),
        Column("evidence", pl.String, "Exact text of the lines, cut at a limit"),
    ),
    ("fact_id",),
)
