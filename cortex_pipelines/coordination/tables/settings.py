"""Settings of the tables of agent records: section ``log_tables`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import PositiveInt, Regex, Settings


class LogTableSettings(Settings):
    """Settings of the decision, outcome, feature and metric tables."""

    recent: PositiveInt
    """Number of a master's latest outcomes before a decision that form its recent record."""
    gauges: list[Regex]
    """Regular expressions; a metric with a matching name is never read as a counter."""
    counter_drops: float = Field(ge=0, lt=0.5)
    """Maximum share of decreasing steps of a counter: a restart resets it to zero."""
