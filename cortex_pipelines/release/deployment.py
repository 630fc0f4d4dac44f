"""How a release is to be put to use: the ``deployment`` section of ``params.yaml``.

A promotion writes these values into the ledger as its plan. They are instructions for whoever
serves the model; no output depends on them.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from cortex_pipelines.settings import (
    Finite,
    NonNegativeInt,
    OpenShare,
    PositiveFloat,
    PositiveInt,
    Settings,
    Share,
    Text,
)

Strategy = Literal["immediate", "canary", "blue-green"]
Target = Literal["local", "cloud", "edge", "embedded"]

_MIB = 1024 * 1024


class Condition(Settings):
    """Limits of a measured value; null for none."""

    at_least: Finite | None
    """Smallest value that meets the condition."""

    at_most: Finite | None
    """Largest value that meets the condition."""

    @model_validator(mode="after")
    def _some_limit(self) -> "Condition":
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        return self


class Analysis(Settings):
    """When a canary goes on to all requests and when it goes back.

    After Argo Rollouts' AnalysisTemplate: the value is measured ``count`` times; a measurement
    meets ``success``, meets ``failure``, or is inconclusive. More failures than ``failure_limit``
    send the canary back, more inconclusive ones than ``inconclusive_limit`` stop it for a person to
    decide, and otherwise it becomes champion after the last.
    """

    metric: Text
    """Name of the value that serving measures of the canary's requests."""

    success: Condition
    """A measurement that meets this is a success."""

    failure: Condition
    """One that meets this, and not ``success``, is a failure; one that meets neither is
    inconclusive."""

    smallest_requests: PositiveInt
    """A measurement of fewer requests is inconclusive."""

    interval_seconds: PositiveInt
    """Time from one measurement to the next."""

    count: PositiveInt
    """Measurements in all."""

    failure_limit: NonNegativeInt
    """Failures that are tolerated."""

    inconclusive_limit: NonNegativeInt
    """Inconclusive measurements that are tolerated."""


class Agreement(Settings):
    """What a deployment has to hold on a target (its service-level agreement)."""

    p95_latency_ms: PositiveFloat
    """95th percentile of a request's time, in milliseconds."""

    error_rate: Share
    """Largest share of requests that fail."""

    memory_mib: PositiveFloat
    """Largest resident memory with the base loaded, in MiB."""

    model_mib: PositiveFloat
    """Largest size of the model's files without its base, in MiB; checked when it is promoted."""


class Agreements(Settings):
    """One agreement for each target."""

    local: Agreement
    """A developer's machine."""

    cloud: Agreement
    """A server."""

    edge: Agreement
    """A small machine near its users."""

    embedded: Agreement
    """Part of another program."""


class DeploymentSettings(Settings):
    """What a promotion plans unless it is told otherwise."""

    strategy: Strategy
    """``immediate``: the champion is replaced; ``canary``: it gets a share of the requests first;
    ``blue-green``: replaced, with the one before kept ready to switch back to."""

    target: Target
    """Where the model is to run: ``local``, ``cloud``, ``edge`` or ``embedded``."""

    share: OpenShare
    """Share of the requests that a canary gets."""

    analysis: Analysis
    """The rule by which a canary goes on or back."""

    keep_minutes: PositiveInt
    """How long the champion before stays loaded with ``blue-green``."""

    agreements: Agreements
    """What has to hold on each target."""

    def plan(self) -> dict[str, Any]:
        """The part of these settings that a deployment follows, as plain values."""
        found: dict[str, Any] = {"strategy": self.strategy, "target": self.target}
        if self.strategy == "canary":
            found |= {"share": self.share, "analysis": self.analysis.model_dump(mode="json")}
        if self.strategy == "blue-green":
            found["keep_minutes"] = self.keep_minutes
        return found | {"agreement": self.agreement.model_dump(mode="json")}

    @property
    def agreement(self) -> Agreement:
        """What has to hold on the target."""
        found: Agreement = getattr(self.agreements, self.target)
        return found


def mebibytes(folder: Path) -> float:
    """Size of all files in a folder, in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / _MIB
