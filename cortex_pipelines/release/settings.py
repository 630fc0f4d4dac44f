"""Settings of release gates in ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import MOST, Finite, NonNegativeFloat, Settings, Text


class GuardSettings(Settings):
    """Limits of one metric; outside them the model is not promoted, whatever else it gains."""

    at_least: Finite | None
    """Smallest value allowed; null for none."""

    at_most: Finite | None
    """Largest value allowed; null for none."""


class GateSettings(Settings):
    """Gate of one model."""

    figure: Text
    """Name in the evaluation's metrics.json of the improvement over the reference, positive is
    better; its interval goes by the same name with ``_low`` and ``_high``."""

    smallest_improvement: NonNegativeFloat
    """Smallest improvement worth shipping, in the unit of the figure: the whole interval has to
    lie above it."""

    smallest_items: int = Field(ge=2, le=MOST)
    """Fewest independent held-out items (or clusters) for the interval to count."""

    guards: dict[Text, GuardSettings]
    """Limits by metric in the evaluation's metrics.json."""


class ReleaseSettings(Settings):
    """Section ``release`` of params.yaml: gates of the models."""

    code_adapter: GateSettings
    """Adapters; the improvement is in bits per byte."""

    task_router: GateSettings
    """The task router; the improvement is in accuracy."""
