"""Settings of the agent system's logs: where they are, how they are read, and the tables made of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.settings import PositiveInt, Regex, Row, Settings, Text

Fact = Literal["task", "master", "outcome", "time", "duration", "tokens", "id"]


class CoordinationSettings(Settings):
    """Section ``coordination`` of ``params.yaml``."""

    logs: Text
    """Folder of the agent system's logs, absolute or relative to the project's root."""
    sample: bool
    """Whether the logs are a hand-written sample; every report then warns that it proves nothing."""
    map: dict[Fact, Text]
    """Keys of the facts about a task in logs of another form, which `cortex logs` guesses; dots lead into nested
    objects. Then JSON, CSV, TSV, Parquet and gzip are read too. Empty for the agent system's own names."""
    aliases: dict[Text, Text]
    """Alternative names of masters in the logs, mapped to the canonical name."""
    test_rows: list[Regex]
    """Regular expressions; records with a matching task id or author come from a test."""
    sources: Row[DltSource]
    """Tables of outcomes of tasks that dlt reads, beside the logs."""

    @field_validator("sources")
    @classmethod
    def _outcomes(cls, sources: tuple[DltSource, ...]) -> tuple[DltSource, ...]:
        names = [source.dlt for source in sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the source dlt:{twice} is listed twice; remove one")
        for source in sources:
            source.require_kinds("outcomes")
        return sources


@dataclass(frozen=True)
class CoordinationSource:
    settings: CoordinationSettings
    pin: Mapping[str, Any]


class LogTableSettings(Settings):
    """Section ``log_tables``: settings of the decision, outcome, feature and metric tables."""

    recent: PositiveInt
    """Number of a master's latest outcomes before a decision that form its recent record."""
    gauges: list[Regex]
    """Regular expressions; a metric with a matching name is never read as a counter."""
    counter_drops: float = Field(ge=0, lt=0.5)
    """Maximum share of decreasing steps of a counter: a restart resets it to zero."""
