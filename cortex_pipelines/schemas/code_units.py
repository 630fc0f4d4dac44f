"""Tables of extraction: units of code, chunks, test cases, unparsed files."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, UNIT_KINDS

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
    Column("context", pl.String, "Enclosing header lines (class, impl, module), outermost first"),
    Column("calls", pl.List(pl.String), "Simple names of what is called in the span, sorted"),
    Column("tests", pl.List(pl.String), "Test cases that exercise it: their unit_id, closest first"),
    Column("has_error", pl.Boolean, "The parser found a syntax error inside the span"),
    Column("generated", pl.Boolean, "From generated, vendored or minified code"),
    Column("project", pl.String, "Project, as in params.yaml; empty outside of one"),
    Column("commit", pl.String, "Commit id, version or content hash of the source, as pinned"),
    Column("licence", pl.String, "SPDX expression of the file; null if none is known", True),
    Column("trainable", pl.Boolean, "Written by hand, under a licence on the allow list"),
    Column("author", pl.String, "Keyed pseudonym of who changed the file last; null if unknown", True),
)


CODE_UNITS = Table("units", "One unit of code, with its exact span.", UNIT, ("unit_id",))


UNIT_CHUNKS = Table(
    "chunks",
    "One self-contained chunk of a large unit, cut at a syntactic border.",
    (
        Column("unit_id", pl.String, "Unit it is a part of"),
        Column("chunk", pl.Int64, "Number of the part, from 0"),
        Column("start_byte", pl.Int64, "First byte of the part in the UTF-8 text"),
        Column("end_byte", pl.Int64, "Byte after the last one"),
        Column("code", pl.String, "The part within the heads and closing brackets that enclose it"),
    ),
    ("unit_id", "chunk"),
)


TEST_CASES = Table(
    "tests",
    "One test case: a test function or method, or a call such as it(...), which is not a unit.",
    (
        Column("unit_id", pl.String, "The unit's id; of a call, made in the same way"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("name", pl.String, "Name of the function, or first argument of the call"),
        Column("start_line", pl.Int64, "First line, from 1"),
        Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
        Column("calls", pl.List(pl.String), "Simple names of what is called in it, sorted"),
        Column("code", pl.String, "Exact text of the span"),
    ),
    ("unit_id",),
)


UNPARSED_FILES = Table(
    "unparsed_files",
    "One file in a supported language that was not parsed.",
    (
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column(
            "reason",
            pl.String,
            "Short code",
            one_of=("too_large", "too_deep", "garbage", "unreadable", "ambiguous", "too_many_steps", "damaged"),
        ),
        Column("detail", pl.String, "Explanation, with the limit exceeded"),
    ),
    ("source", "path"),
)
