"""Settings of the tables of agent records: section ``log_tables`` of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import PositiveInt, Regex, Settings


class LogTableSettings(Settings):
    """Settings of the decision, outcome, feature and metric tables."""

    recent: PositiveInt
    """Outcomes of a master, the latest known before a decision, that its recent record is made
    of."""

    gauges: list[Regex]
    """Regular expressions; a metric whose name one matches is never read as a counter."""

    counter_drops: float = Field(ge=0, lt=0.5)
    """Largest share of the steps of a counter that may go down: a restart sets it back to zero."""
