"""Every table's columns: name, type, meaning. The only declaration of each.

The polars schema, the check before publishing, the Great Expectations suites, Dagster's column
metadata and the data dictionary in the docs are all derived from these declarations.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl


class ContractError(ValueError):
    """A table does not keep its declared contract; nothing of it may be published."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: Column name.
        dtype: Polars type; a frame must have exactly it.
        meaning: What a value says, with its unit.
        nullable: Whether a value may be missing.
        one_of: The only values allowed, if the column is categorical.
        between: Smallest and largest value allowed, both inclusive.
    """

    name: str
    dtype: pl.DataType | type[pl.DataType]
    meaning: str
    nullable: bool = False
    one_of: tuple[str, ...] | None = None
    between: tuple[float, float] | None = None


@dataclass(frozen=True)
class Table:
    """A table's contract.

    Args:
        name: Name of the Parquet file, without its ending.
        meaning: What a row is.
        columns: The columns, in order.
        key: Columns that identify a row: rows are sorted by them and no two agree on them.
        min_rows: Fewest rows for the table to be worth publishing.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    min_rows: int = 0

    @property
    def schema(self) -> pl.Schema:
        """Polars schema of the table."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    def read(self, folder: Path, *columns: str) -> pl.DataFrame:
        """The table in the folder of an asset's output: all columns, or those that are named."""
        return pl.read_parquet(folder / f"{self.name}.parquet", columns=list(columns) or None)

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.schema)

    def frame(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        """A conforming frame made from dictionaries, one a row."""
        return self.conform(pl.DataFrame(rows, schema=self.schema, orient="row"))

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with the declared columns in order, rows sorted by the key.

        Raises:
            ContractError: a column is missing, of another type, or breaks its contract.
        """
        missing = [name for name in self.schema if name not in frame.columns]
        if missing:
            raise ContractError(
                f"table {self.name}: no column {', '.join(missing)}; has {', '.join(frame.columns)}"
            )
        ordered = frame.select(list(self.schema))
        for column, actual in zip(self.columns, ordered.dtypes, strict=True):
            if actual != column.dtype:
                raise ContractError(
                    f"table {self.name}, column {column.name}: is {actual}, must be {column.dtype}"
                )
        problems = self.violations(ordered)
        if problems:
            raise ContractError(f"table {self.name}: " + "; ".join(problems))
        is_sorted = len(self.key) == 1 and ordered[self.key[0]].is_sorted()
        return ordered.sort(self.key) if self.key and not is_sorted else ordered

    def violations(self, frame: pl.DataFrame) -> list[str]:
        """What in the rows of a frame with the right columns breaks the contract, in words."""
        found = [
            f"column {column.name}: {count} {what}"
            for column in self.columns
            for what, count in _column_violations(column, frame[column.name]).items()
            if count
        ]
        if self.key:
            twins = frame.height - frame.select(self.key).unique().height
            if twins:
                found.append(f"{twins} rows repeat the key ({', '.join(self.key)})")
        if frame.height < self.min_rows:
            found.append(f"{frame.height} rows, at least {self.min_rows} are needed")
        return found


def _column_violations(column: Column, values: pl.Series) -> dict[str, int]:
    found: dict[str, int] = {}
    if not column.nullable:
        found["values are missing"] = values.null_count()
    present = values.drop_nulls()
    if column.one_of is not None:
        found[f"values are not one of {', '.join(column.one_of)}"] = int(
            (~present.is_in(list(column.one_of))).sum()
        )
    if column.between is not None:
        low, high = column.between
        found[f"values are outside {low:g} to {high:g}"] = int(
            (~present.is_between(low, high)).sum()
        )
    return found


_S = pl.String
_UTC = pl.Datetime("us", "UTC")

LANGUAGES = ("python", "javascript", "typescript", "java", "go", "rust")
UNIT_KINDS = (
    "function",
    "method",
    "class",
    "struct",
    "trait",
    "interface",
    "enum",
    "import",
    "variable",
    "constant",
)
SPLITS = ("train", "validation", "test")
PURPOSES = ("smell", "performance", "readability", "security")
LICENCE_SOURCES = ("header", "file", "manifest", "project")
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
        Column("source", _S, "Source in the project, as in params.yaml (for example git:PATH)"),
        Column("path", _S, "Path relative to the source's root, with forward slashes"),
        Column("blob", _S, "Git blob id (SHA-1) of the original bytes"),
        Column("language", _S, "Language by extension or shebang; null if none is known", True),
        Column("size_bytes", pl.Int64, "Size of the original, in bytes", between=(0, 1e12)),
        Column("generated", pl.Boolean, "Generated, vendored or minified: kept, not trained on"),
        Column("revision", _S, "Commit id, version or content hash of the source, as pinned"),
        Column("licence", _S, "SPDX expression; NOASSERTION if not understood; null if none", True),
        Column("licence_source", _S, "What says so; null without", True, one_of=LICENCE_SOURCES),
        Column("trainable", pl.Boolean, "Written by hand, under a licence on the allow list"),
        Column("tested_paths", pl.List(_S), "Paths of this source that it tests; empty if no test"),
        Column("notebook", pl.Boolean, "The text is made of a notebook's code cells"),
        Column("author", _S, "Keyed pseudonym of who changed the path last; null if unknown", True),
        Column("text", _S, "Sanitised UTF-8 text, line ends as they are; spans refer to it"),
    ),
    ("source", "path"),
)

SKIPPED_FILES = Table(
    "skipped_files",
    "One file or entry that was left out of ingestion, and why.",
    (
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path or entry name as the source has it"),
        Column("reason", _S, "Short code for why", one_of=SKIP_REASONS),
        Column("detail", _S, "In words, with the limit that was passed"),
        Column("size_bytes", pl.Int64, "Size, in bytes; null if unknown", True),
    ),
    ("source", "path", "reason"),
)

REDACTIONS = Table(
    "redactions",
    "One secret or piece of personal data that was taken out before publishing.",
    (
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path relative to the source's root; of a message, its commit's id"),
        Column("line", pl.Int64, "Line of the placeholder, from 1", between=(1, 1e9)),
        Column(
            "start", pl.Int64, "First character of the placeholder in the line", between=(0, 1e9)
        ),
        Column("end", pl.Int64, "Character after its last one in that line", between=(0, 1e9)),
        Column("category", _S, "What sort of value it was", one_of=("secret", "personal")),
        Column("rule", _S, "Rule that found it"),
        Column("severity", _S, "How much harm it could do", one_of=("low", "medium", "high")),
        Column(
            "placeholder", _S, "What stands there now: the same for the same value in a project"
        ),
    ),
    ("source", "path", "line", "start"),
)

REPOSITORY_COMMITS = Table(
    "commits",
    "One commit reachable from the pinned revision of a git source.",
    (
        Column("source", _S, "Source in the project"),
        Column("commit", _S, "Commit id, in hexadecimal"),
        Column("parents", pl.List(_S), "Ids of the parents; none for a root, two for a merge"),
        Column("committed_at", _UTC, "Commit time, UTC"),
        Column("author", _S, "Keyed pseudonym of the author; null if none is named", True),
        Column("subject", _S, "First line of the message, sanitised"),
        Column("body", _S, "The rest of the message, sanitised, may be empty"),
        Column("paths", pl.List(_S), "Paths changed against the first parent, sorted"),
    ),
    ("source", "commit"),
)

COORDINATION_EVENTS = Table(
    "events",
    "One record of the agent system's logs that was understood.",
    (
        Column("event_id", _S, "Hash of the content: a record that stands twice counts once"),
        Column("kind", _S, "What the record is: decision, outcome, event, worker_metric, ..."),
        Column("file", _S, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the record begins in the file"),
        Column("occurred_at", _UTC, "Time stamp, UTC; null if absent or unreadable", True),
        Column("task_id", _S, "Task the record is about", True),
        Column("text", _S, "Title or description of the task", True),
        Column("master", _S, "Master routed to, aliases folded", True),
        Column("outcome", _S, "Outcome as logged, lower case", True),
        Column("success", pl.Boolean, "Whether the task succeeded; null if not known", True),
        Column("ideal_master", _S, "Master that a review names as right, aliases folded", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("priority", _S, "Priority of the task", True),
        Column("duration_seconds", pl.Float64, "Duration of the task, in seconds", True),
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
        Column("payload", _S, "The record as canonical JSON"),
    ),
    ("event_id",),
)

REJECTED_EVENTS = Table(
    "rejected_events",
    "One stretch of a log that could not be understood.",
    (
        Column("file", _S, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the stretch begins"),
        Column("length_bytes", pl.Int64, "Its length, in bytes"),
        Column("reason", _S, "Why it was rejected, in words"),
    ),
    ("file", "byte_offset"),
)

_LOGGED = (
    Column("file", _S, "Log file, relative to the logs folder"),
    Column("byte_offset", pl.Int64, "Where the record begins in the file"),
)
_ATTEMPT = Column(
    "attempt_id", _S, "Task and master, the same in all tables; null if one is not known", True
)

DECISIONS = Table(
    "decisions",
    "One record that says where a task was sent. One task may have several.",
    (
        Column("event_id", _S, "Record in coordination_events"),
        _ATTEMPT,
        Column("kind", _S, "Kind of record", one_of=("decision", "event", "outcome")),
        Column("task_id", _S, "Task", True),
        Column("text", _S, "Title or description of the task, if the record repeats it", True),
        Column("master", _S, "Master that it was sent to, aliases folded"),
        Column("occurred_at", _UTC, "Time stamp of the record, UTC", True),
        Column("decided_at", _UTC, "When it was sent: of an outcome, before its duration", True),
        Column("strategy", _S, "Strategy, or the rule that decided", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("propensity", pl.Float64, "Probability that it went there", True, None, (0, 1)),
        Column("scored_masters", pl.List(_S), "Masters that were scored, by name"),
        Column("scores", pl.List(pl.Float64), "Their scores, in the same order"),
        Column("priority", _S, "Priority of the task", True),
        *_LOGGED,
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
    ),
    ("event_id",),
)

OUTCOMES = Table(
    "outcomes",
    "One record that says something of how a task went.",
    (
        Column("event_id", _S, "Record in coordination_events"),
        _ATTEMPT,
        Column("kind", _S, "Kind of record"),
        Column("task_id", _S, "Task", True),
        Column("text", _S, "Title or description of the task, if the record repeats it", True),
        Column("master", _S, "Master that it was sent to, aliases folded", True),
        Column("occurred_at", _UTC, "Time stamp of the record, UTC", True),
        Column("known_at", _UTC, "When the outcome was known at the latest; null if unclear", True),
        Column("outcome", _S, "Outcome as logged, lower case", True),
        Column("success", pl.Boolean, "Whether the task succeeded; null if not known", True),
        Column("duration_seconds", pl.Float64, "Duration, in seconds; 0 is often not known", True),
        Column("tokens", pl.Float64, "Tokens that it took", True),
        Column("quality", pl.Float64, "Quality as logged", True),
        Column("complexity", _S, "Complexity in a word, as logged", True),
        Column("complexity_score", pl.Float64, "Complexity as a number, as logged", True),
        Column("model", _S, "Language model that was selected", True),
        Column("tier", _S, "Tier of that model", True),
        Column("ideal_master", _S, "Master that a review names as right, aliases folded", True),
        *_LOGGED,
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
    ),
    ("event_id",),
)

FEATURES = Table(
    "features",
    "What was known of a task when it was sent to a master; nothing in it is from later.",
    (
        Column("attempt_id", _S, "Task and master"),
        Column("task_id", _S, "Task", True),
        Column("text", _S, "Title or description of the task", True),
        Column("master", _S, "Master that it was sent to"),
        Column("decided_at", _UTC, "When it was first sent there; null if not known", True),
        Column("priority", _S, "Priority of the task", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("margin", pl.Float64, "Best score less the second best", True),
        Column("characters", pl.Int64, "Characters of the text", True),
        Column("words", pl.Int64, "Words of the text", True),
        Column("code_words", pl.Int64, "Words of the text that look like code", True),
        Column("question", pl.Int64, "1 if the text ends as a question, else 0", True),
        Column("hour", pl.Int64, "Hour of the decision, UTC", True),
        Column("weekday", pl.Int64, "Day of the week of the decision, Monday is 1, UTC", True),
        Column("earlier_outcomes", pl.Int64, "Outcomes of the master known before", True),
        Column("recent_success", pl.Float64, "Share of the latest of them that succeeded", True),
        Column("recent_seconds", pl.Float64, "Median duration of the latest, in seconds", True),
        Column("recent_success_all", pl.Float64, "The share that succeeded, of all masters", True),
        Column("seconds_since_last", pl.Float64, "Since a task was last sent there", True),
        Column("test_row", pl.Boolean, "A record of it comes from a test of the agent system"),
    ),
    ("attempt_id",),
)

_METRIC = (
    Column("event_id", _S, "Record in coordination_events"),
    *_LOGGED,
    Column("worker", _S, "Worker; null where the record is of all or names none", True),
    Column("occurred_at", _UTC, "Time stamp of the record, UTC", True),
    Column("metric", _S, "Name of the field, dots lead into nested ones"),
    Column("value", pl.Float64, "Its value, if it is a number or a truth value", True),
    Column("label", _S, "Its value, if it is something else", True),
    Column("counter", pl.Boolean, "The values only ever add up, but for restarts"),
    Column("rate", pl.Float64, "Rise of a counter a second, since the record before", True),
)
WORKER_METRICS = Table(
    "worker_metrics", "One field of a record about workers.", _METRIC, ("event_id", "metric")
)
SYSTEM_METRICS = Table(
    "system_metrics", "One field of a record about the system.", _METRIC, ("event_id", "metric")
)
COORDINATION_TABLES = (DECISIONS, OUTCOMES, FEATURES, WORKER_METRICS, SYSTEM_METRICS)

_UNIT = (
    Column("unit_id", _S, "Hash of source, path, blob, kind, name and span"),
    Column("source", _S, "Source in the project"),
    Column("path", _S, "Path relative to the source's root"),
    Column("blob", _S, "Git blob id of the file"),
    Column("language", _S, "Language", one_of=LANGUAGES),
    Column("kind", _S, "Kind of unit; a Python enum is a class", one_of=UNIT_KINDS),
    Column("name", _S, "Simple name; for an import what is imported"),
    Column("qualified_name", _S, "Name with its enclosing units, joined by dots"),
    Column("start_byte", pl.Int64, "First byte of the unit in the UTF-8 text"),
    Column("end_byte", pl.Int64, "Byte after the last one"),
    Column("start_line", pl.Int64, "First line, from 1"),
    Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
    Column("name_line", pl.Int64, "Line of the keyword (def, class, func, ...)"),
    Column("signature", _S, "From the keyword to the body, white space folded; empty if none"),
    Column("docstring", _S, "Doc comment or docstring, without its markers", True),
    Column("code", _S, "Exact text of the span"),
    Column("body_start_byte", pl.Int64, "First byte of the body in the text; null if none", True),
    Column("context", _S, "Enclosing header lines (class, impl, module), outermost first"),
    Column("calls", pl.List(_S), "Simple names of what is called in the span, sorted"),
    Column("tests", pl.List(_S), "Test cases that exercise it: their unit_id, closest first"),
    Column("has_error", pl.Boolean, "The parser found a syntax error inside the span"),
    Column("generated", pl.Boolean, "From generated, vendored or minified code"),
    Column("project", _S, "Project, as in params.yaml; empty outside of one"),
    Column("commit", _S, "Commit id, version or content hash of the source, as pinned"),
    Column("licence", _S, "SPDX expression of the file; null if none is known", True),
    Column("trainable", pl.Boolean, "Written by hand, under a licence on the allow list"),
    Column("author", _S, "Keyed pseudonym of who changed the file last; null if unknown", True),
)

CODE_UNITS = Table("units", "One unit of code, with its exact span.", _UNIT, ("unit_id",))

UNIT_CHUNKS = Table(
    "chunks",
    "One part of a large unit, cut at a border of the syntax; it stands by itself.",
    (
        Column("unit_id", _S, "Unit it is a part of"),
        Column("chunk", pl.Int64, "Number of the part, from 0"),
        Column("start_byte", pl.Int64, "First byte of the part in the UTF-8 text"),
        Column("end_byte", pl.Int64, "Byte after the last one"),
        Column("code", _S, "The part within the heads and closing brackets that enclose it"),
    ),
    ("unit_id", "chunk"),
)

TEST_CASES = Table(
    "tests",
    "One test case: a test function or method, or a call like it(...) that is no unit.",
    (
        Column("unit_id", _S, "The unit's id; of a call, made in the same way"),
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path relative to the source's root"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("name", _S, "Name of the function, or first argument of the call"),
        Column("start_line", pl.Int64, "First line, from 1"),
        Column("end_line", pl.Int64, "Last line, from 1, inclusive"),
        Column("calls", pl.List(_S), "Simple names of what is called in it, sorted"),
        Column("code", _S, "Exact text of the span"),
    ),
    ("unit_id",),
)

UNPARSED_FILES = Table(
    "unparsed_files",
    "One file in a language that is parsed, from which no unit was taken.",
    (
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path relative to the source's root"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column(
            "reason", _S, "Short code", one_of=("too_large", "too_deep", "garbage", "unreadable")
        ),
        Column("detail", _S, "In words, with the limit that was passed"),
    ),
    ("source", "path"),
)

ANNOTATED_UNITS = Table(
    "units",
    "One unit of code with what is known about it.",
    (
        *_UNIT,
        Column("category", _S, "What it is for (authentication, data-access, test-case, ...)"),
        Column("category_source", _S, "Where the label comes from", one_of=("rule", "default")),
        Column(
            "category_confidence",
            pl.Float64,
            "How often such a label is right, by the hand-labelled sample",
            between=(0, 1),
        ),
        Column("intent", _S, "What the unit does, in a few words, from its name and doc comment"),
        Column("patterns", pl.List(_S), "Labels of the findings in its span, sorted"),
        Column("technologies", pl.List(_S), "What its file imports or its manifest declares"),
        Column("imported_technologies", pl.List(_S), "Technologies that its file imports"),
        Column("quality", pl.Float64, "Monotone function of named features", between=(0, 1)),
        Column("cyclomatic", pl.Int64, "Cyclomatic complexity (McCabe)", between=(1, 1e9)),
        Column("cognitive", pl.Int64, "Cognitive complexity (SonarSource)", between=(0, 1e9)),
        Column("nesting", pl.Int64, "Deepest nesting of control structures", between=(0, 1e9)),
        Column("parameters", pl.Int64, "Parameters, the receiver left out", between=(0, 1e9)),
        Column("lines", pl.Int64, "Lines of the unit that are not blank", between=(1, 1e9)),
        Column("distinct_operators", pl.Int64, "Halstead's n1", between=(0, 1e9)),
        Column("distinct_operands", pl.Int64, "Halstead's n2", between=(0, 1e9)),
        Column("operators", pl.Int64, "Halstead's N1", between=(0, 1e9)),
        Column("operands", pl.Int64, "Halstead's N2", between=(0, 1e9)),
        Column("halstead_volume", pl.Float64, "Halstead's volume, in bits", between=(0, 1e15)),
        Column("halstead_difficulty", pl.Float64, "Halstead's difficulty", between=(0, 1e12)),
        Column("halstead_effort", pl.Float64, "Difficulty times volume", between=(0, 1e24)),
    ),
    ("unit_id",),
)

FINDING_KINDS = ("pattern", "anti-pattern", "smell")

UNIT_FINDINGS = Table(
    "findings",
    "One pattern, anti-pattern or smell of a unit, with the code that shows it.",
    (
        Column("unit_id", _S, "Innermost unit that holds the code"),
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path relative to the source's root"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("label", _S, "What was found (long-method, sql-concatenation, builder, ...)"),
        Column("kind", _S, "Sort of label", one_of=FINDING_KINDS),
        Column("purpose", _S, "What mending it is for; null for a pattern", True, PURPOSES),
        Column("start_byte", pl.Int64, "First byte of the evidence in the UTF-8 text"),
        Column("end_byte", pl.Int64, "Byte after its last one"),
        Column("start_line", pl.Int64, "First line of the evidence, from 1"),
        Column("end_line", pl.Int64, "Last line of the evidence, from 1, inclusive"),
        Column("label_source", _S, "Where the label comes from", one_of=("rule",)),
        Column(
            "confidence",
            pl.Float64,
            "How often such a finding is right, by the hand-labelled sample",
            between=(0, 1),
        ),
        Column("explanation", _S, "What the label says, in a sentence"),
    ),
    ("unit_id", "start_byte", "end_byte", "label"),
)

RENAMED_UNITS = Table(
    "renamed_units",
    "One function with its local variables renamed, behaviour unchanged.",
    (
        Column("unit_id", _S, "Unit it was made from"),
        Column("variant", pl.Int64, "Number of the variant, from 0"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("original_code", _S, "Code of the unit"),
        Column("renamed_code", _S, "Code with local variables renamed"),
        Column("renames", pl.List(_S), "What was renamed, each as old=new, sorted"),
    ),
    ("unit_id", "variant"),
)

INJECTED_ERRORS = Table(
    "injected_errors",
    "One function with one error put in on purpose.",
    (
        Column("mutant_id", _S, "Hash of unit, operator and place"),
        Column("unit_id", _S, "Unit it was made from"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("operator", _S, "Operator that made the change"),
        Column("error_type", _S, "Family of the error (operator, literal, ...)"),
        Column("buggy_code", _S, "Code with the error; takes the place of fixed_code"),
        Column("fixed_code", _S, "Code of the unit, exactly"),
        Column("explanation", _S, "What is wrong and what puts it right, in words"),
        Column(
            "verification",
            pl.List(_S),
            "Checks passed: reparses, tree_differs, not_equivalent, reverses",
        ),
    ),
    ("mutant_id",),
)

REWRITTEN_UNITS = Table(
    "rewritten_units",
    "One function written in another way (comments, layout, structure), behaviour unchanged.",
    (
        Column("unit_id", _S, "Unit it was made from"),
        Column("variant", pl.Int64, "Number of the variant, from 0"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("rewrite", _S, "What was done (comments_removed, inverted_branches, ...)"),
        Column("original_code", _S, "Code of the unit"),
        Column("rewritten_code", _S, "Code written in the other way"),
    ),
    ("unit_id", "variant"),
)

MUTANT_VERIFICATION = Table(
    "mutant_verification",
    "What a compiler or a run in the sandbox says about one injected error, on this machine.",
    (
        Column("mutant_id", _S, "Injected error"),
        Column("unit_id", _S, "Unit it was made from"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("operator", _S, "Operator that made the change"),
        Column("check", _S, "What was asked", one_of=("compiled", "killed")),
        Column(
            "result",
            _S,
            "The answer; unknown if it could not be had",
            one_of=("yes", "no", "unknown"),
        ),
        Column("toolchain", _S, "Program that was asked, with its version; empty if none", False),
        Column(
            "detail", _S, "Why: the failing test, differing outputs, the message, what is missing"
        ),
    ),
    ("mutant_id", "check"),
)

REFACTORING_PAIRS = Table(
    "refactoring_pairs",
    "One refactoring found in a commit: the code before and after it.",
    (
        Column("pair_id", _S, "Hash of source, commit, type, names and places"),
        Column("source", _S, "Source in the project"),
        Column("commit", _S, "Commit id, in hexadecimal"),
        Column("committed_at", _UTC, "Commit time, UTC"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("type", _S, "Kind of refactoring, as RefactoringMiner names it"),
        Column("name_before", _S, "Simple name before; null if that side has none", True),
        Column("name_after", _S, "Simple name after; null if that side has none", True),
        Column("container_before", _S, "Simple name of what encloses it before", True),
        Column("container_after", _S, "Simple name of what encloses it after", True),
        Column("path_before", _S, "Path before", True),
        Column("path_after", _S, "Path after", True),
        Column("line_before", pl.Int64, "Line before, from 1", True),
        Column("line_after", pl.Int64, "Line after, from 1", True),
        Column("before", _S, "Code of the enclosing unit before"),
        Column("after", _S, "Code of the enclosing unit after"),
        Column("description", _S, "What was done, in words"),
        Column("purpose", _S, "What it answers, by rule (weak)", one_of=PURPOSES),
        Column("smell", _S, "Smell of the code before that is gone after; null if none", True),
        Column("purity", _S, "Whether behaviour changes beside it", one_of=("pure", "mixed")),
        Column("message", _S, "Commit message, cleaned"),
    ),
    ("pair_id",),
)

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
        Column("fact_id", _S, "Hash of source, path, lines, fact, subject, relation and object"),
        Column("source", _S, "Source in the project"),
        Column("path", _S, "File that shows it"),
        Column("start_line", pl.Int64, "First line of the evidence, from 1", between=(1, 1e9)),
        Column("end_line", pl.Int64, "Last line of the evidence, inclusive", between=(1, 1e9)),
        Column("language", _S, "Language of the file, if known", True),
        Column("boundary", _S, "Package or service that holds the file, by its manifest", True),
        Column("fact", _S, "Kind of fact", one_of=ARCHITECTURE_KINDS),
        Column("subject", _S, "What it is about (file, METHOD /path, table, service, ...)"),
        Column("relation", _S, "How they belong together (imports, handled-by, column, ...)"),
        Column("object", _S, "The other side (file, handler, column, image, port, ...)"),
        Column(
            "scope",
            _S,
            "Of a dependency: whether the other side is of this source",
            True,
            ("internal", "external", "standard", "unresolved"),
        ),
        Column("technology", _S, "Format or framework that states it", True),
        Column("description", _S, "What people say about it, white space folded", True),
        Column("description_source", _S, "Where: docstring, comment, summary, manifest", True),
        Column("evidence", _S, "Exact text of the lines, cut at a limit"),
    ),
    ("fact_id",),
)

_EXAMPLE = (
    Column("example_id", _S, "Hash of unit, task and variant"),
    Column("unit_id", _S, "Unit it was made from"),
    Column("source", _S, "Source in the project"),
    Column("path", _S, "Path of the file it comes from"),
    Column("language", _S, "Language", one_of=LANGUAGES),
    Column("kind", _S, "Kind of unit or of name"),
    Column("origin", _S, "original, or the augmentation that made it"),
    Column("prompt", _S, "What the model sees"),
    Column("completion", _S, "What the model has to write"),
    Column("cluster", _S, "Near-duplicate cluster; a cluster is on one side of the split"),
    Column("split_reason", _S, "What decided the side of the split"),
)


def split_tables(name: str, meaning: str, columns: tuple[Column, ...]) -> tuple[Table, ...]:
    """The three tables of a data set: train, validation and test, with the same columns."""
    return tuple(
        Table(split, f"{meaning} ({name}, {split})", columns, ("example_id",)) for split in SPLITS
    )


MANIFEST = Table(
    "manifest",
    "One row of the data set with where it comes from and why it is on its side; or what was left "
    "out, and why.",
    (
        Column("entry_id", _S, "Example id; of what was left out, a hash of it and the reason"),
        Column("split", _S, "Side of the split; null if left out", True, one_of=SPLITS),
        Column("left_out", _S, "Why it is left out, as a short code; null if it is in", True),
        Column(
            "count", pl.Int64, "Rows it stands for; above 1 where too many to name were left out"
        ),
        Column("unit_id", _S, "Unit, pair or fact it was made from; null for several", True),
        Column("kind", _S, "Kind of unit, of name, or of change; null for several", True),
        Column("origin", _S, "original, or the augmentation that made it", True),
        Column("source", _S, "Source in the project", True),
        Column("revision", _S, "What was taken of the source, or the commit of a pair", True),
        Column("path", _S, "Path of the file it comes from", True),
        Column("blob", _S, "Git blob id of the file's original bytes; null for old versions", True),
        Column("start_byte", pl.Int64, "First byte in the sanitised text", True),
        Column("end_byte", pl.Int64, "Byte after the last one", True),
        Column("licence", _S, "SPDX expression of the file's licence; null if not known", True),
        Column("cluster", _S, "Near-duplicate cluster", True),
        Column("cluster_size", pl.Int64, "Units of the project in that cluster", True),
        Column("split_reason", _S, "What decided the side of the split", True),
        Column("redactions", pl.Int64, "Placeholders for private data in the span", True),
        Column("filters", pl.List(_S), "Filters that it passed, in their order"),
    ),
    ("entry_id",),
)

UNIT_SPLITS = Table(
    "splits",
    "One unit of code with its side of the split, decided once for all data sets, before "
    "anything is made of it.",
    (
        Column("unit_id", _S, "Unit"),
        Column("source", _S, "Source in the project"),
        Column("path", _S, "Path of its file"),
        Column("kind", _S, "Kind of unit", one_of=UNIT_KINDS),
        Column("cluster", _S, "First unit of its near-duplicate cluster; null if left out", True),
        Column("cluster_size", pl.Int64, "Units in that cluster", True),
        Column("split", _S, "Side of the split; null if left out", True, one_of=SPLITS),
        Column("split_reason", _S, "What decided the side; null if left out", True),
        Column("left_out", _S, "Filter that it does not pass; null if it may be used", True),
    ),
    ("unit_id",),
)

TASKS = ("completion", "fim")
_COMPLETION = (
    *_EXAMPLE,
    Column("task", _S, "completion, or fim: fill in the middle", one_of=TASKS),
    Column("suffix", _S, "Code after the gap, for fill-in-the-middle; may be empty"),
)
COMPLETION_DATASET = (
    *split_tables(
        "completion_dataset",
        "One function body, import or declaration to complete, or a gap to fill",
        _COMPLETION,
    ),
    MANIFEST,
)
GENERAL_CODE = (
    *split_tables(
        "general_code",
        "One example to complete of the project that stands for all code",
        _COMPLETION,
    ),
    MANIFEST,
)

NAMING_DATASET = (
    *split_tables("naming_dataset", "One name to find, masked at every occurrence", _EXAMPLE),
    MANIFEST,
)

REFACTORING_DATASET = (
    *split_tables(
        "refactoring_dataset",
        "Code to put right or to improve, with the result",
        (
            *_EXAMPLE,
            Column("purpose", _S, "What the change is for", one_of=(*PURPOSES, "correctness")),
            Column("error_type", _S, "Family of the error put in; null without one", True),
            Column("refactoring", _S, "Refactoring, as RefactoringMiner names it; or null", True),
            Column("smell", _S, "Smell that the change takes away; null without one", True),
            Column("explanation", _S, "What is wrong and what was done, in words"),
        ),
    ),
    MANIFEST,
)

DEPENDENCY_RULES = Table(
    "dependency_rules",
    "One rule about which part of a source may import which, learnt from its imports.",
    (
        Column("rule_id", _S, "Hash of source, folder and the two parts"),
        Column("source", _S, "Source in the project"),
        Column("folder", _S, "Folder whose parts the rule is about; empty for the root"),
        Column("upper", _S, "Part that may import the other"),
        Column("lower", _S, "Part that must not import it"),
        Column("edges", pl.Int64, "Imports from the upper to the lower part", between=(0, 1e9)),
        Column("against", pl.Int64, "Imports the other way: violations", between=(0, 1e9)),
        Column("learnt", _S, "How: counted, or order, from other rules of the folder"),
    ),
    ("rule_id",),
)
ARCHITECTURE_EXAMPLES = ("boundary", "module", "api", "schema", "deployment", "violation")
ARCHITECTURE_DATASET = (
    *split_tables(
        "architecture_dataset",
        "One requirement with the structure that answers it, or an import to judge",
        (
            *(column for column in _EXAMPLE if column.name not in ("language", "kind")),
            Column("language", _S, "Language or format of the file"),
            Column("kind", _S, "What is asked for", one_of=ARCHITECTURE_EXAMPLES),
            Column("technology", _S, "Format or framework", True),
            Column("description_source", _S, "Where the requirement stands; weak:rule if made"),
            Column("rule", _S, "Dependency rule that decides; null without one", True),
            Column("explanation", _S, "Why an import is allowed or not; empty for others"),
        ),
    ),
    MANIFEST,
    DEPENDENCY_RULES,
)

ROUTING_DATASET = split_tables(
    "routing_dataset",
    "One task with the master it belongs to",
    (
        Column("example_id", _S, "Hash of the task's text and master"),
        Column("text", _S, "Title and description of the task"),
        Column("master", _S, "Master the task belongs to"),
        Column("label_source", _S, "outcome, decision, or weak:commit where a rule gave the label"),
        Column("weight", pl.Float64, "Weight of the example in training", between=(0, 1)),
        Column("origin", _S, "File or source the task comes from"),
        Column("occurred_at", _UTC, "When the task was routed or the commit made", True),
    ),
)

ROUTING_VOTERS = ("lexical", "semantic", "retrieval", "kernel", "neural", "rules", "person")
"""Who may have decided on a task."""

ROUTING_SCORES = Table(
    "scores",
    "One held-out task as the router, the baseline and the champion before it route it.",
    (
        Column("example_id", _S, "Example of the data set"),
        Column("text", _S, "Title and description of the task"),
        Column("master", _S, "Master the task belongs to"),
        Column("challenger", _S, "Master that the challenger sends it to", True),
        Column("challenger_right", pl.Boolean, "Whether that is right"),
        Column("confidence", pl.Float64, "Challenger's probability for it", between=(0, 1)),
        Column("in_scope", pl.Float64, "How like known tasks it is", between=(0, 1)),
        Column("decided_by", _S, "Voter whose say was the largest", one_of=ROUTING_VOTERS),
        Column("baseline", _S, "Master that the keyword rules send it to; null if none", True),
        Column("baseline_right", pl.Boolean, "Whether that is right"),
        Column("champion", _S, "Master that the champion sends it to; null without one", True),
        Column("champion_right", pl.Boolean, "Whether that is right", True),
    ),
    ("example_id",),
)

_ADAPTER_TASKS = ("completion", "refactoring", "naming", "architecture")
_SCORED = (
    Column("example_id", _S, "Example of the data set"),
    Column("task", _S, "Data set it is from", one_of=_ADAPTER_TASKS),
    Column("path", _S, "File it comes from"),
    Column("language", _S, "Language or format of the file"),
    Column("kind", _S, "Kind of unit, of name, of change or of structure"),
    Column("cluster", _S, "Near-duplicate cluster: what the intervals draw"),
    Column("bytes", pl.Int64, "UTF-8 bytes of the completion that were scored"),
    Column("tokens", pl.Int64, "Tokens of the base's tokenizer for these bytes"),
    Column("base_bits", pl.Float64, "Bits the base needs for the completion"),
    Column("challenger_bits", pl.Float64, "Bits the challenger needs"),
    Column("opponent_bits", pl.Float64, "Bits the opponent needs; the base's if it is that"),
)
ADAPTER_SCORES = Table(
    "scores",
    "One held-out example as the base, the challenger and its opponent find it.",
    _SCORED,
    ("task", "example_id"),
)
GENERAL_SCORES = Table(
    "general_scores",
    "The same for code of another project: what the adapter forgot.",
    _SCORED,
    ("task", "example_id"),
)

TEAM_CHOICES = Table(
    "team_choices",
    "One question with a few answers, and which of them each model finds likeliest.",
    (
        Column("example_id", _S, "Example that it was made from"),
        Column("kind", _S, "What is asked for", one_of=("naming", "fix", "statement")),
        Column("path", _S, "File it comes from"),
        Column("language", _S, "Language", one_of=LANGUAGES),
        Column("cluster", _S, "Near-duplicate cluster: what the intervals draw"),
        Column("prompt", _S, "What stands before the answer"),
        Column("candidates", pl.List(_S), "The answers"),
        Column("truth", pl.Int64, "Which of them is right, from 0"),
        Column("chance", pl.Float64, "Share that is right by chance", between=(0, 1)),
        Column("base_chosen", pl.Int64, "What the base chose; null for a tie", True),
        Column("challenger_chosen", pl.Int64, "What the challenger chose", True),
        Column("opponent_chosen", pl.Int64, "What the opponent chose", True),
    ),
    ("kind", "example_id"),
)

GENERATIONS = Table(
    "generations",
    "What a model wrote after one prompt, and how good that is; a figure that has no meaning for "
    "the task is null.",
    (
        Column("example_id", _S, "Held-out example"),
        Column("task", _S, "Data set it is from", one_of=_ADAPTER_TASKS),
        Column("role", _S, "Model", one_of=("base", "challenger")),
        Column("asked", _S, "As in the data set, or in other words", one_of=("plain", "rephrased")),
        Column("sample", pl.Int64, "0 is greedy; others are drawn by the seed", between=(0, 1e6)),
        Column("path", _S, "File it comes from"),
        Column("language", _S, "Language or format of the file"),
        Column("kind", _S, "Kind of unit, of name, of change or of structure"),
        Column("cluster", _S, "Near-duplicate cluster"),
        Column("prompt", _S, "What the model saw"),
        Column("expected", _S, "What stands in the repository"),
        Column("output", _S, "What the model wrote, cut where the answer ends"),
        Column("syntax_correct", pl.Boolean, "Parses with no error that the truth has not", True),
        Column("exact_match", pl.Boolean, "The same text but for white space at the ends"),
        Column("right", pl.Boolean, "The same but for layout; of an import, the same judgement"),
        Column("edit_similarity", pl.Float64, "1 - Levenshtein over length", between=(0, 1)),
        Column("codebleu", pl.Float64, "CodeBLEU without data flow", True, between=(0, 1)),
        Column("subtoken_f1", pl.Float64, "F1 of the words of a name", True, between=(0, 1)),
        Column("tests", _S, "Related tests with the output in place", True, ("passed", "failed")),
        Column(
            "tests_detail", _S, "What failed, or why no test was run; null if none was tried", True
        ),
    ),
    ("task", "example_id", "role", "asked", "sample"),
)

BENCHMARK_PROBLEMS = Table(
    "problems",
    "One sample of a model for one problem of a benchmark file, and whether its tests pass.",
    (
        Column("benchmark", _S, "Name of the file"),
        Column("problem", _S, "Id of the problem"),
        Column("role", _S, "Model", one_of=("base", "challenger")),
        Column("sample", pl.Int64, "0 is greedy; others are drawn by the seed", between=(0, 1e6)),
        Column("prompt", _S, "What the model saw"),
        Column("output", _S, "What the model wrote"),
        Column("passed", pl.Boolean, "Whether the tests pass; null if they could not be run", True),
        Column("detail", _S, "What failed, or why nothing was run"),
    ),
    ("benchmark", "problem", "role", "sample"),
)

MEMORISED = Table(
    "memorised",
    "One rare line, and whether the models write its second half word by word after its first.",
    (
        Column("example_id", _S, "Example that it stands in"),
        Column(
            "split",
            _S,
            "train: the adapter learnt from it; test: it cannot know it",
            one_of=SPLITS,
        ),
        Column("path", _S, "File it comes from"),
        Column("prefix", _S, "What the models saw"),
        Column("secret", _S, "What followed"),
        Column("base_verbatim", pl.Boolean, "Whether the base writes it greedily"),
        Column("challenger_verbatim", pl.Boolean, "Whether the challenger does"),
    ),
    ("split", "example_id"),
)

CANARIES = Table(
    "canaries",
    "One made-up secret that training planted, and how many bits of guessing it the models save: "
    "its exposure.",
    (
        Column("canary", _S, "Which one"),
        Column("task", _S, "Task whose adapter is asked", one_of=_ADAPTER_TASKS),
        Column("prefix", _S, "What the models saw"),
        Column("secret", _S, "What followed in training"),
        Column("base_exposure", pl.Float64, "Bits under the base", between=(0, 64)),
        Column("challenger_exposure", pl.Float64, "Bits under the challenger", between=(0, 64)),
    ),
    ("task", "canary"),
)

PREDICTED_TARGETS = Table(
    "targets",
    "One thing that is predicted of a task before it is sent, or why it is not.",
    (
        Column("target", _S, "What is predicted"),
        Column("unit", _S, "Its unit, in words"),
        Column("by_factors", pl.Boolean, "Whether its logarithm is what is learnt and compared"),
        Column("train_items", pl.Int64, "Earlier tasks with a known value"),
        Column("test_items", pl.Int64, "Later tasks with a known value"),
        Column("chosen", _S, "Model that is used, by the folds of the earlier tasks", True),
        Column("fold_losses", _S, "Mean loss of each model on folds it did not see, JSON", True),
        Column("left_out", _S, "Why it is not predicted; null if it is", True),
    ),
    ("target",),
)

PREDICTIONS = Table(
    "predictions",
    "One later task as one model expects it, and what became of it.",
    (
        Column("target", _S, "What is predicted"),
        Column("rung", _S, "Model", one_of=("constant", "master", "linear")),
        Column("chosen", pl.Boolean, "Whether it is the model that is used"),
        Column("attempt_id", _S, "Task and master, as in coordination_tables"),
        Column("cluster", _S, "Words of the text; tasks that come again are not independent"),
        Column("master", _S, "Master that the task was sent to"),
        Column("actual", pl.Float64, "What it was; of success 1 or 0"),
        Column("predicted", pl.Float64, "Calibrated probability, or the median"),
        Column("low", pl.Float64, "Lower end of the interval; null for a probability", True),
        Column("high", pl.Float64, "Upper end of the interval; null for a probability", True),
        Column("uncalibrated", pl.Float64, "The prediction before calibration"),
        Column("loss", pl.Float64, "Squared error of a probability; else the absolute error"),
    ),
    ("target", "rung", "attempt_id"),
)

DETECTORS = ("mean", "pca", "forest", "autoencoder")
ANOMALY_SERIES = Table(
    "series",
    "One log with metrics of workers, and how it is watched.",
    (
        Column("file", _S, "Log file, relative to the logs folder"),
        Column("subjects", pl.List(_S), "Workers; all where records name none"),
        Column("metrics", pl.List(_S), "Metrics that are looked at"),
        Column("records", pl.Int64, "Records with a time"),
        Column("train_windows", pl.Int64, "Windows that the detectors learnt from"),
        Column("threshold_windows", pl.Int64, "Windows after, that chose one of them"),
        Column("latest_windows", pl.Int64, "Windows after these, that are watched"),
        Column("chosen", _S, "Detector that is used; null if none", True, one_of=DETECTORS),
        Column("criterion", _S, "Disturbed windows found by each detector, JSON", True),
        Column("threshold", pl.Float64, "Score above which a window is an alert", True),
        Column("left_out", _S, "Why it is not watched; null if it is", True),
    ),
    ("file",),
)

_WINDOW = (
    Column("file", _S, "Log file, relative to the logs folder"),
    Column("subject", _S, "Worker; all where records name none"),
    Column("start", _UTC, "Time of the first record"),
    Column("end", _UTC, "Time of the last record"),
    Column("place", pl.Int64, "Number of the window in its part"),
)
ANOMALY_WINDOWS = Table(
    "windows",
    "Some records of a worker, one after the other, and how unusual they are together.",
    (
        *_WINDOW,
        Column("part", _S, "What it is used for", one_of=("train", "threshold", "latest")),
        *(Column(name, pl.Float64, f"Score by the {name} detector") for name in DETECTORS),
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("alert", pl.Boolean, "Whether that is above the threshold"),
    ),
    ("file", "part", "place"),
)
ANOMALY_ALERTS = Table(
    "alerts",
    "One of the latest windows that is unusual, and the metric that stands out.",
    (
        *_WINDOW,
        Column("score", pl.Float64, "Score by the detector that is used"),
        Column("threshold", pl.Float64, "Score above which a window is an alert"),
        Column("metric", _S, "Metric that stands out; a counter is looked at as its rate a second"),
        Column("observed", pl.Float64, "Its value that is furthest from the usual"),
        Column("usual", pl.Float64, "Its median in the records that were learnt from"),
        Column("blame", pl.Float64, "Its share of what is unusual", between=(0, 1)),
    ),
    ("file", "place"),
)

OFF_POLICY = Table(
    "off_policy",
    "What the logs say the router would achieve, by one estimator; or why they cannot say.",
    (
        Column(
            "estimator",
            _S,
            "Estimator; logged is the router that took the decisions, none a refusal",
            one_of=("logged", "ips", "snips", "doubly_robust", "none"),
        ),
        Column("items", pl.Int64, "Logged decisions about held-out tasks, outcome known"),
        Column("effective", pl.Float64, "What they are worth, in decisions of the router", True),
        Column("estimate", pl.Float64, "Expected share of tasks that succeed", True),
        Column("low", pl.Float64, "Lower end of its interval", True),
        Column("high", pl.Float64, "Upper end of its interval", True),
        Column("refused", _S, "Why there is no estimate; null if there is", True),
    ),
    ("estimator",),
    min_rows=1,
)

AUDIT_GROUPS = Table(
    "groups",
    "The held-out tasks that share a value of an attribute, and how the router serves them.",
    (
        Column(
            "attribute", _S, "What they share", one_of=("master", "priority", "source", "language")
        ),
        Column("value", _S, "The value; not known where it is missing"),
        Column("items", pl.Int64, "Number of tasks"),
        Column("accuracy", pl.Float64, "Share sent to the right master", between=(0, 1)),
        Column("accuracy_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("accuracy_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("confidence", pl.Float64, "Mean confidence of the router", between=(0, 1)),
        Column("overconfidence", pl.Float64, "Mean confidence less accuracy", between=(-1, 1)),
        Column("overconfidence_low", pl.Float64, "Lower end of its interval", between=(-1, 1)),
        Column("overconfidence_high", pl.Float64, "Upper end of its interval", between=(-1, 1)),
        Column("abstention", pl.Float64, "Share left to a person", between=(0, 1)),
        Column("abstention_low", pl.Float64, "Lower end of its interval", between=(0, 1)),
        Column("abstention_high", pl.Float64, "Upper end of its interval", between=(0, 1)),
        Column("warnings", pl.List(_S), "What the group falls behind in; empty if nothing"),
    ),
    ("attribute", "value"),
)
