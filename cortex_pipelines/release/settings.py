"""What a model has to show to be promoted: the ``release`` section of ``params.yaml``."""

from pydantic import Field

from cortex_pipelines.settings import MOST, Finite, NonNegativeFloat, Settings, Text


class GuardSettings(Settings):
    """Limits of one figure; a figure outside them refuses the model however good the rest is."""

    at_least: Finite | None
    """Smallest value allowed; null for none."""

    at_most: Finite | None
    """Largest value allowed; null for none."""


class GateSettings(Settings):
    """The gate of one model."""

    figure: Text
    """Name in the evaluation's metrics.json of the improvement over the reference, positive is
    better; its interval goes by the same name with ``_low`` and ``_high``."""

    smallest_improvement: NonNegativeFloat
    """Smallest improvement worth shipping, in the unit of the figure: the whole interval has to
    lie above it."""

    smallest_items: int = Field(ge=2, le=MOST)
    """Fewest independent held-out items (clusters, where items come in such) for the interval to
    be believed."""

    guards: dict[Text, GuardSettings]
    """Figure of the evaluation's metrics.json to its limits."""


class ReleaseSettings(Settings):
    """The gates of the models. The confidence is that of the intervals the evaluations give."""

    code_adapter: GateSettings
    """Adapters; the improvement is in bits per byte."""

    task_router: GateSettings
    """The task router; the improvement is in accuracy."""
