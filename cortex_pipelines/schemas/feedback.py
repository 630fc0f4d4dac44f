"""The table of interactions: what became of each completion."""

import polars as pl

from cortex_pipelines.schemas.table import UTC, Column, Table

OUTCOMES = ("accepted", "partly_accepted", "typed_instead", "dismissed", "shown", "offered")
"""What became of a completion, the strongest first: where events disagree, the first one counts."""

SOURCES = ("gateway", "tabby", "continue", "corrections", "git", "simulation")
RATINGS = ("up", "down")


def _characters(name: str, meaning: str) -> Column:
    return Column(name, pl.Int64, meaning, True, between=(0, 1e9))


INTERACTIONS = Table(
    "interactions",
    "What became of one completion, settled from all events about it.",
    (
        Column("completion_id", pl.String, "The completion's id, as its clients name it"),
        Column("sources", pl.List(pl.String), f"Where events come from: {', '.join(SOURCES)}"),
        Column("simulated", pl.Boolean, "An event of it comes from a simulation, not from a person"),
        Column("project", pl.String, "Project; it has consented"),
        Column("language", pl.String, "Language of the file", True),
        Column("task", pl.String, "Type of task", True),
        Column("version", pl.String, "Version of the adapter or base that answered", True),
        Column("arm", pl.String, "Variant of a canary or arm of an experiment", True),
        Column("propensity", pl.Float64, "Probability of that variant or arm", True, None, (0, 1)),
        Column("latency_ms", pl.Float64, "Time until it was written, in ms", True),
        Column("user", pl.String, "Keyed pseudonym of whom it was for", True),
        Column("path", pl.String, "File, relative to its repository", True),
        Column("first_at", UTC, "Earliest time stamp of an event about it", True),
        Column("outcome", pl.String, "The strongest that an event says", one_of=OUTCOMES),
        Column("shown", pl.Boolean, "Somebody could take it: it was shown, taken or rejected"),
        Column("accepted", pl.Boolean, "It was taken whole"),
        Column("partly_accepted", pl.Boolean, "A part of it was taken, and never the whole"),
        Column("typed_instead", pl.Boolean, "Something else was typed over it"),
        Column("dismissed", pl.Boolean, "It was dismissed"),
        Column("edited", pl.Boolean, "What was taken was changed afterwards"),
        Column("contradictory", pl.Boolean, "Taken by one event and not taken by another"),
        _characters("characters", "Length of the completion"),
        _characters("accepted_characters", "Characters of it that were taken"),
        _characters("retained_30s", "Characters still there 30 s after it was taken"),
        _characters("retained_5min", "Characters still there after 5 min"),
        _characters("retained_1h", "Characters still there after 1 h"),
        _characters("retained_commit", "Characters that stand in the next commit of the file"),
        Column("seconds_to_accept", pl.Float64, "From being shown to being taken", True),
        Column("rating", pl.String, "Last vote on it", True, one_of=RATINGS),
        Column("original", pl.String, "Text of the completion; a model wrote it", True),
        Column("corrected", pl.String, "What a person says is right instead", True),
        Column("events", pl.Int64, "Different events about it", between=(1, 1e9)),
    ),
    ("completion_id",),
)
