"""Tables of annotation: labelled units and their findings."""

import polars as pl

from cortex_pipelines.schemas.extraction import UNIT
from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, PURPOSES

INTENT_KINDS = ("read", "write", "compute", "convert", "check", "wire")

ANNOTATED_UNITS = Table(
    "units",
    "One unit of code with what is known about it.",
    (
        *UNIT,
        Column("category", pl.String, "What it is for (authentication, data-access, test-case, ...)"),
        Column("category_source", pl.String, "Where the label comes from", one_of=("rule", "default")),
        Column(
            "category_confidence", pl.Float64, "How often such a label is right, by a labelled sample", between=(0, 1)
        ),
        Column("patterns", pl.List(pl.String), "Labels of the findings in its span, sorted"),
        Column("technologies", pl.List(pl.String), "Libraries and frameworks that it uses, sorted"),
        Column("intent", pl.String, "What it does: a verb and its object; null if nothing says it", True),
        Column("intent_kind", pl.String, "Kind of what it does", True, INTENT_KINDS),
        Column("quality", pl.Float64, "Monotone function of named features", between=(0, 1)),
        Column("cyclomatic", pl.Int64, "Cyclomatic complexity (McCabe)", between=(1, 1e9)),
        Column("cognitive", pl.Int64, "Cognitive complexity (SonarSource)", between=(0, 1e9)),
        Column("nesting", pl.Int64, "Deepest nesting of control structures", between=(0, 1e9)),
        Column("parameters", pl.Int64, "Parameters, the receiver left out", between=(0, 1e9)),
        Column("lines", pl.Int64, "Lines of the unit that are not blank", between=(1, 1e9)),
    ),
    ("unit_id",),
)

FINDING_KINDS = ("pattern", "anti-pattern", "smell")

UNIT_FINDINGS = Table(
    "findings",
    "One pattern, anti-pattern or smell of a unit, with the code that shows it.",
    (
        Column("unit_id", pl.String, "Innermost unit that holds the code"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path relative to the source's root"),
        Column("language", pl.String, "Language", one_of=LANGUAGES),
        Column("label", pl.String, "Label (long-method, sql-concatenation, builder, ...)"),
        Column("kind", pl.String, "Sort of label", one_of=FINDING_KINDS),
        Column("purpose", pl.String, "Purpose of a fix; null for a pattern", True, PURPOSES),
        Column("start_byte", pl.Int64, "First byte of the evidence in the UTF-8 text"),
        Column("end_byte", pl.Int64, "Byte after its last one"),
        Column("start_line", pl.Int64, "First line of the evidence, from 1"),
        Column("end_line", pl.Int64, "Last line of the evidence, from 1, inclusive"),
        Column("label_source", pl.String, "Where the label comes from", one_of=("rule",)),
        Column("confidence", pl.Float64, "How often such a finding is right, by a labelled sample", between=(0, 1)),
        Column("explanation", pl.String, "Explanation of the label, in a sentence"),
    ),
    ("unit_id", "start_byte", "end_byte", "label"),
)
