"""Settings of deployment in ``params.yaml``.

A promotion writes strategy, target and share into the ledger, where whoever serves the model reads
them; no output depends on them. The size is checked when a model is promoted.
"""

from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.settings import OpenShare, PositiveFloat, PositiveInt, Settings

Strategy = Literal["immediate", "canary", "shadow", "blue-green"]
Target = Literal["local", "cloud", "edge", "embedded"]

_MIB = 1024 * 1024


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
        """The deployment settings to record with a promotion, as plain values."""
        plan: dict[str, Any] = {"strategy": self.strategy, "target": self.target}
        if self.strategy == "canary":
            plan |= {"share": self.share, "analysis": self.analysis.model_dump()}
        return plan

    def untried(self) -> "DeploymentSettings":
        """The same for a model that gets no requests to be tried on: champion at once."""
        if self.strategy in ("canary", "shadow"):
            return self.model_copy(update={"strategy": "immediate"})
        return self

    @property
    def largest(self) -> float:
        """Size limit of the target, in MiB."""
        return float(getattr(self.model_mib, self.target))


def mebibytes(folder: Path) -> float:
    """Size of all files in a folder, in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _MIB
