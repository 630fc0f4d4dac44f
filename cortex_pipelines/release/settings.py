"""Settings of release gates and of deployment in ``params.yaml``.

A promotion writes strategy, target and share into the ledger, where whatever serves the model reads them; no output
depends on them. The size is checked when a model is promoted.
"""

from typing import Any, Literal

from pydantic import Field

from cortex_pipelines.settings import (
    MOST,
    Finite,
    NonNegativeFloat,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    Settings,
    Text,
)

Strategy = Literal["immediate", "canary", "shadow", "blue-green"]
Target = Literal["local", "cloud", "edge", "embedded"]


class GuardSettings(Settings):
    """Limits of one metric; outside them the model is not promoted, whatever else it gains."""

    at_least: Finite | None
    """Smallest value allowed; null for none."""
    at_most: Finite | None
    """Largest value allowed; null for none."""

    def allows(self, value: float | None) -> bool:
        above = self.at_least is None or (value is not None and value >= self.at_least)
        return value is not None and above and (self.at_most is None or value <= self.at_most)


class GateSettings(Settings):
    """Gate of one model."""

    figure: Text
    """Name in the evaluation's metrics.json of the improvement over the reference, positive is
    better; its interval goes by the same name with ``_low`` and ``_high``."""
    smallest_improvement: NonNegativeFloat
    """Smallest improvement worth shipping, in the unit of the figure: the whole interval has to lie above it."""
    smallest_items: int = Field(ge=2, le=MOST)
    """Fewest independent held-out items (or clusters) for the interval to count."""
    guards: dict[Text, GuardSettings]
    """Limits by metric in the evaluation's metrics.json."""


class ReleaseSettings(Settings):
    """Section ``release`` of params.yaml: gates of the models."""

    code_adapter: GateSettings
    """Adapters; the improvement is in bits per byte."""
    task_router: GateSettings
    """The task router; the improvement is in accuracy. Guards may also name metrics of its audit, as
    ``audit_<metric>``."""


class Sizes(Settings):
    """Size limits of a model's files without its base, in MiB, by target."""

    local: PositiveFloat
    """A developer's machine."""
    cloud: PositiveFloat
    """A server."""
    edge: PositiveFloat
    """A small machine near its users."""
    embedded: PositiveFloat
    """Part of another program."""


class AnalysisSettings(Settings):
    """When a canary has shown enough to become champion, or to be withdrawn."""

    least_answers: PositiveInt
    """Answers of canary and champion each before they are compared."""
    most_answers: PositiveInt
    """Answers of the canary after which a person has to decide."""
    margin: OpenShare
    """Share of failed answers beyond the champion's that is tolerated."""


class DeploymentSettings(Settings):
    """Section ``deployment`` of params.yaml: defaults of a promotion."""

    strategy: Strategy
    """``immediate``: the champion is replaced; ``canary``: it gets a share of the requests first;
    ``shadow``: it answers beside the champion, and nobody sees its answers;
    ``blue-green``: replaced, with the one before kept ready to switch back to."""
    target: Target
    """Deployment target: ``local``, ``cloud``, ``edge`` or ``embedded``."""
    share: OpenShare
    """Share of requests that a canary serves."""
    analysis: AnalysisSettings
    """When the gateway advances or withdraws a canary."""
    model_mib: Sizes
    """Size limit per target, in MiB; larger models are not promoted."""

    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = {"strategy": self.strategy, "target": self.target}
        if self.strategy == "canary":
            plan |= {"share": self.share, "analysis": self.analysis.model_dump()}
        return plan

    def untried(self) -> "DeploymentSettings":
        """The same for a model that gets no requests to be tried on: champion at once."""
        if self.strategy in ("canary", "shadow"):
            return self.model_copy(update={"strategy": "immediate"})
        return self
