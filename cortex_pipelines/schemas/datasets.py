"""Columns, splits and manifest that all data sets share."""

import polars as pl

from cortex_pipelines.schemas.table import Column, Table
from cortex_pipelines.schemas.vocabulary import LANGUAGES, PURPOSES, SPLITS, UNIT_KINDS

EXAMPLE = (
    Column("example_id", pl.String, "Hash of unit, task and variant"),
    Column("unit_id", pl.String, "Unit it was made from"),
    Column("source", pl.String, "Source in the project"),
    Column("path", pl.String, "Path of the file it comes from"),
    Column("language", pl.String, "Language", one_of=LANGUAGES),
    Column("kind", pl.String, "Kind of unit or of name"),
    Column("origin", pl.String, "original, or the augmentation that made it"),
    Column("prompt", pl.String, "Model input"),
    Column("completion", pl.String, "Expected model output"),
    Column("cluster", pl.String, "Near-duplicate cluster; a cluster is in one split"),
    Column("split_reason", pl.String, "Rule that decided the split"),
    Column("weight", pl.Float64, "Sampling priority under a cap: quality of its unit, or 1", between=(0, 1)),
)


def example_columns(*columns: Column) -> tuple[Column, ...]:
    """The columns of ``EXAMPLE``, with those of the same name replaced and the others appended."""
    return tuple({column.name: column for column in (*EXAMPLE, *columns)}.values())


def split_tables(name: str, meaning: str, columns: tuple[Column, ...]) -> tuple[Table, ...]:
    """The three tables of a data set: train, validation and test, with the same columns."""
    return tuple(Table(split, f"{meaning} ({name}, {split})", columns, ("example_id",)) for split in SPLITS)


MANIFEST = Table(
    "manifest",
    "One row of the data set with its origin and the reason for its split, or an excluded row with the reason.",
    (
        Column("entry_id", pl.String, "Example id; of what was left out, a hash of it and the reason"),
        Column("split", pl.String, "Split; null if left out", True, one_of=SPLITS),
        Column("left_out", pl.String, "Reason for leaving it out, as a short code; null if included", True),
        Column("count", pl.Int64, "Rows it stands for; above 1 where too many to name were left out"),
        Column("unit_id", pl.String, "Unit, pair or fact it was made from; null for several", True),
        Column("kind", pl.String, "Kind of unit, of name, or of change; null for several", True),
        Column("origin", pl.String, "original, or the augmentation that made it", True),
        Column("language", pl.String, "Language or format; null for several", True),
        Column("category", pl.String, "Purpose of its unit; null without a unit", True),
        Column("cyclomatic", pl.Int64, "Cyclomatic complexity of its unit; likewise", True),
        Column("weight", pl.Float64, "Sampling priority under a cap; null if left out before", True),
        Column("source", pl.String, "Source in the project", True),
        Column("revision", pl.String, "What was taken of the source, or the commit of a pair", True),
        Column("path", pl.String, "Path of the file it comes from", True),
        Column("blob", pl.String, "Git blob id of the file's original bytes; null for old versions", True),
        Column("start_byte", pl.Int64, "First byte in the sanitised text", True),
        Column("end_byte", pl.Int64, "Byte after the last one", True),
        Column("licence", pl.String, "SPDX expression of the file's licence; null if not known", True),
        Column("cluster", pl.String, "Near-duplicate cluster", True),
        Column("cluster_size", pl.Int64, "Units of the project in that cluster", True),
        Column("split_reason", pl.String, "Rule that decided the split", True),
        Column("redactions", pl.Int64, "Placeholders for private data in the span", True),
        Column("filters", pl.List(pl.String), "Filters that it passed, in their order"),
    ),
    ("entry_id",),
)

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

ARCHITECTURE_EXAMPLES = ("placement", "owner", "interface", "violation")

ARCHITECTURE_DATASET = (
    *split_tables(
        "architecture_dataset",
        "One question about the structure of a project: a place, an owner, an interface, or an import to judge",
        (
            *(column for column in EXAMPLE if column.name not in ("language", "kind")),
            Column("language", pl.String, "Language or format of the file"),
            Column("kind", pl.String, "Kind of question", one_of=ARCHITECTURE_EXAMPLES),
            Column("technology", pl.String, "Format or framework", True),
            Column("description_source", pl.String, "What decides: docstring, code, or weak:rule"),
            Column("rule", pl.String, "Dependency rule that decides; null without one", True),
            Column("explanation", pl.String, "Why an import is allowed or not; empty for others"),
        ),
    ),
    MANIFEST,
    DEPENDENCY_RULES,
)

TASKS = ("completion", "fim")

_COMPLETION = (
    *EXAMPLE,
    Column("task", pl.String, "completion, or fim: fill in the middle", one_of=TASKS),
    Column("suffix", pl.String, "Code after the gap, for fill-in-the-middle; may be empty"),
)

COMPLETION_DATASET = (
    *split_tables(
        "completion_dataset", "One function body, import or declaration to complete, or a gap to fill", _COMPLETION
    ),
    MANIFEST,
)

GENERAL_CODE = (
    *split_tables("general_code", "One example to complete of the project that stands for all code", _COMPLETION),
    MANIFEST,
)

DOCUMENTATION_REQUEST = "What it does:"
"""The line after the code, in the prompt."""

DOCUMENTATION_DATASET = (
    *split_tables(
        "documentation_dataset", "One unit of code without its docstring, and the docstring's first paragraph", EXAMPLE
    ),
    MANIFEST,
)

CORRECTION, RETAINED = "correction", "retained"
PERSON, MODEL, SIMULATION = "person", "model", "simulation"
CORRECTION_REQUEST, CORRECTION_TITLE = "A person corrected this code.", "The code as corrected:"
"""Lines around what a model had written, in the prompt of a correction."""

FEEDBACK_DATASET = (
    *split_tables(
        "feedback_dataset",
        "What a person made of a model's text, or kept of it",
        example_columns(
            Column("kind", pl.String, "Text put in place of a model's, or kept", one_of=(CORRECTION, RETAINED)),
            Column("origin", pl.String, "Who wrote the completion", one_of=(PERSON, MODEL, SIMULATION)),
        ),
    ),
    MANIFEST,
)

NAMING_DATASET = (*split_tables("naming_dataset", "One name to find, masked at every occurrence", EXAMPLE), MANIFEST)

REFACTORING_DATASET = (
    *split_tables(
        "refactoring_dataset",
        "Code to put right or to improve, with the result",
        (
            *EXAMPLE,
            Column("purpose", pl.String, "What the change is for", one_of=(*PURPOSES, "correctness")),
            Column("error_type", pl.String, "Family of the error put in; null without one", True),
            Column("refactoring", pl.String, "Refactoring, as RefactoringMiner names it; or null", True),
            Column("smell", pl.String, "Smell that the change takes away; null without one", True),
            Column("explanation", pl.String, "The problem and the change, in words"),
        ),
    ),
    MANIFEST,
)

TEST_REQUEST = "Its test, in {path}:"
"""The line after the code, in the prompt."""

TESTS_DATASET = (
    *split_tables(
        "tests_dataset",
        "One unit of code, and the test case that is closest to it",
        example_columns(
            Column("unit_id", pl.String, "Unit that is tested; it is shown in the prompt"),
            Column("path", pl.String, "Path of the test file, which decides the split"),
            Column("kind", pl.String, "Kind of the unit that is tested"),
            Column("test_id", pl.String, "Test case that is the answer"),
        ),
    ),
    MANIFEST,
)

UNIT_SPLITS = Table(
    "splits",
    "One unit of code with its split, decided once for all data sets and before augmentation.",
    (
        Column("unit_id", pl.String, "Unit"),
        Column("source", pl.String, "Source in the project"),
        Column("path", pl.String, "Path of its file"),
        Column("kind", pl.String, "Kind of unit", one_of=UNIT_KINDS),
        Column("cluster", pl.String, "First unit of its near-duplicate cluster; null if left out", True),
        Column("cluster_size", pl.Int64, "Units in that cluster", True),
        Column("split", pl.String, "Split; null if left out", True, one_of=SPLITS),
        Column("split_reason", pl.String, "Rule that decided the split; null if left out", True),
        Column("left_out", pl.String, "Filter that it does not pass; null if it may be used", True),
    ),
    ("unit_id",),
)
