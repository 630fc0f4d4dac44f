"""Tables of the agent system's logs."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table

COORDINATION_EVENTS = Table(
    "events",
    "One parsed record of the agent system's logs.",
    (
        Column("event_id", pl.String, "Hash of the content: a record that stands twice counts once"),
        Column("kind", pl.String, "What the record is: decision, outcome, event, worker_metric, ..."),
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the record begins in the file"),
        Column("occurred_at", UTC, "Time stamp, UTC; null if absent or unreadable", True),
        Column("task_id", pl.String, "Task the record is about", True),
        Column("text", pl.String, "Title or description of the task", True),
        Column("master", pl.String, "Master routed to, aliases folded", True),
        Column("outcome", pl.String, "Outcome as logged, lower case", True),
        Column("success", pl.Boolean, "Whether the task succeeded; null if not known", True),
        Column("ideal_master", pl.String, "Master that a review names as right, aliases folded", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("priority", pl.String, "Priority of the task", True),
        Column("duration_seconds", pl.Float64, "Duration of the task, in seconds", True),
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
        Column("payload", pl.String, "The record as canonical JSON"),
    ),
    ("event_id",),
)

REJECTED_EVENTS = Table(
    "rejected_events",
    "One part of a log that could not be parsed.",
    (
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the stretch begins"),
        Column("reason", pl.String, "Why it was rejected, in words"),
    ),
    ("file", "byte_offset"),
)

UNREAD_FIELDS = Table(
    "unread_fields",
    "One field of a log record, about its time or outcome, that was not understood.",
    (
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the record begins in the file"),
        Column("line", pl.Int64, "The line that it begins in, from 1"),
        Column("field", pl.String, "Name of the field, dots lead into nested ones"),
        Column("value", pl.String, "Beginning of its value, lower case"),
        Column("reason", pl.String, "Why it was not understood, in words"),
    ),
    ("file", "byte_offset", "field"),
)

REDACTED_EVENTS = Table(
    "redacted_events",
    "One secret or item of personal data redacted in a log record.",
    (
        Column("file", pl.String, "Log file, relative to the logs folder"),
        Column("byte_offset", pl.Int64, "Where the record begins in the file"),
        Column("category", pl.String, "Category of the private value", one_of=("secret", "personal")),
        Column("rule", pl.String, "Detection rule"),
        Column("severity", pl.String, "How much harm it could do", one_of=("low", "medium", "high")),
        Column("placeholder", pl.String, "What stands there now: the same for the same value in all logs"),
        Column("places", pl.Int64, "Times that it stood in the record", between=(1, 1e9)),
    ),
    ("file", "byte_offset", "category", "rule", "severity", "placeholder"),
)

_LOG_POSITION = (
    Column("file", pl.String, "Log file, relative to the logs folder"),
    Column("byte_offset", pl.Int64, "Where the record begins in the file"),
)

_ATTEMPT = Column("attempt_id", pl.String, "Task and master, the same in all tables; null if one is not known", True)

DECISIONS = Table(
    "decisions",
    "One routing record of a task; a task may have several.",
    (
        Column("event_id", pl.String, "Record in coordination_events"),
        _ATTEMPT,
        Column("kind", pl.String, "Kind of record", one_of=("decision", "event", "outcome")),
        Column("task_id", pl.String, "Task", True),
        Column("text", pl.String, "Title or description of the task, if the record repeats it", True),
        Column("master", pl.String, "Master that it was sent to, aliases folded"),
        Column("occurred_at", UTC, "Time stamp of the record, UTC", True),
        Column("decided_at", UTC, "When it was sent: of an outcome, before its duration", True),
        Column("strategy", pl.String, "Strategy, or the rule that decided", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("propensity", pl.Float64, "Probability that it went there", True, None, (0, 1)),
        Column("model_version", pl.String, "DataVersion of the router that decided, or rules", True),
        Column("scored_masters", pl.List(pl.String), "Masters that were scored, by name"),
        Column("scores", pl.List(pl.Float64), "Their scores, in the same order"),
        Column("priority", pl.String, "Priority of the task", True),
        *_LOG_POSITION,
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
    ),
    ("event_id",),
)

OUTCOMES = Table(
    "outcomes",
    "One record about a task's outcome.",
    (
        Column("event_id", pl.String, "Record in coordination_events"),
        _ATTEMPT,
        Column("kind", pl.String, "Kind of record"),
        Column("task_id", pl.String, "Task", True),
        Column("text", pl.String, "Title or description of the task, if the record repeats it", True),
        Column("master", pl.String, "Master that it was sent to, aliases folded", True),
        Column("occurred_at", UTC, "Time stamp of the record, UTC", True),
        Column("known_at", UTC, "When the outcome was known at the latest; null if unclear", True),
        Column("outcome", pl.String, "Outcome as logged, lower case", True),
        Column("success", pl.Boolean, "Whether the task succeeded; null if not known", True),
        Column("duration_seconds", pl.Float64, "Duration, in seconds; 0 is often not known", True),
        Column("tokens", pl.Float64, "Tokens that it took", True),
        Column("quality", pl.Float64, "Quality as logged", True),
        Column("complexity", pl.String, "Complexity in a word, as logged", True),
        Column("complexity_score", pl.Float64, "Complexity as a number, as logged", True),
        Column("model", pl.String, "Language model that was selected", True),
        Column("tier", pl.String, "Tier of that model", True),
        Column("ideal_master", pl.String, "Master that a review names as right, aliases folded", True),
        *_LOG_POSITION,
        Column("test_row", pl.Boolean, "The record comes from a test of the agent system"),
    ),
    ("event_id",),
)

FEATURES = Table(
    "features",
    "Features of a task known when it was sent to a master.",
    (
        Column("attempt_id", pl.String, "Task and master"),
        Column("task_id", pl.String, "Task", True),
        Column("text", pl.String, "Title or description of the task", True),
        Column("master", pl.String, "Master that it was sent to"),
        Column("decided_at", UTC, "When it was first sent there; null if not known", True),
        Column("priority", pl.String, "Priority of the task", True),
        Column("confidence", pl.Float64, "Router's confidence", True, between=(0, 1)),
        Column("margin", pl.Float64, "Best score less the second best", True),
        Column("characters", pl.Int64, "Characters of the text", True),
        Column("words", pl.Int64, "Words of the text", True),
        Column("code_words", pl.Int64, "Words of the text that look like code", True),
        Column("question", pl.Int64, "1 if the text ends as a question, else 0", True),
        Column("hour", pl.Int64, "Hour of the decision, UTC", True),
        Column("weekday", pl.Int64, "Day of the week of the decision, Monday is 1, UTC", True),
        Column("earlier_outcomes", pl.Int64, "Outcomes of the master known before", True),
        Column("recent_seconds", pl.Float64, "Median duration of the latest of them, in seconds", True),
        Column("seconds_since_last", pl.Float64, "Since a task was last sent there", True),
        Column("test_row", pl.Boolean, "A record of it comes from a test of the agent system"),
    ),
    ("attempt_id",),
)

_METRIC = (
    Column("event_id", pl.String, "Record in coordination_events"),
    *_LOG_POSITION,
    Column("worker", pl.String, "Worker; null where the record is of all or names none", True),
    Column("occurred_at", UTC, "Time stamp of the record, UTC", True),
    Column("metric", pl.String, "Name of the field, dots lead into nested ones"),
    Column("value", pl.Float64, "Its value, if it is a number or a truth value", True),
    Column("label", pl.String, "Its value, if it is something else", True),
    Column("counter", pl.Boolean, "The values only ever add up, but for restarts"),
    Column("rate", pl.Float64, "Rise of a counter a second, since the record before", True),
)

WORKER_METRICS = Table("worker_metrics", "One field of a record about workers.", _METRIC, ("event_id", "metric"))

SYSTEM_METRICS = Table("system_metrics", "One field of a record about the system.", _METRIC, ("event_id", "metric"))

COORDINATION_TABLES = (DECISIONS, OUTCOMES, FEATURES, WORKER_METRICS, SYSTEM_METRICS)
