"""Headline metrics of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Unit = Literal["bits per byte", "share"]


@dataclass(frozen=True)
class ScoreWithInterval:
    """A metric with its confidence interval.

    Args:
        name: Key in ``metrics.json``.
        label: Label for people.
        unit: ``share`` is shown in per cent.
        value: The estimate.
        low: Lower bound; None if not computed.
        high: Upper bound; None if not computed.
    """

    name: str
    label: str
    unit: Unit
    value: float
    low: float | None
    high: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


_ADAPTER: Sequence[tuple[str, str, Unit]] = (
    ("completion_improvement_over_base", "Completions: bits per byte saved", "bits per byte"),
    ("improvement_over_base", "All tasks: bits per byte saved", "bits per byte"),
    ("team_challenger_accuracy", "Questions about the team's code: correct", "share"),
    ("team_base_accuracy", "The same, by the base", "share"),
    ("forgetting", "General code: rise in perplexity", "share"),
)
_ROUTER: Sequence[tuple[str, str, Unit]] = (
    ("challenger", "Tasks sent to the right master", "share"),
    ("reference", "The same, by the model before", "share"),
    ("covered", "Right among those it decides itself", "share"),
    ("out_of_scope_abstained", "Other requests left to a person", "share"),
)


def adapter_scores(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Measured headline metrics in a code adapter's ``metrics.json``."""
    return _scores(metrics, _ADAPTER)


def router_scores(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Measured headline metrics in the task router's ``metrics.json``."""
    return _scores(metrics, _ROUTER)


def _scores(metrics: Mapping[str, float | None], specs: Sequence[tuple[str, str, Unit]]) -> list[dict[str, Any]]:
    return [
        ScoreWithInterval(name, label, unit, value, metrics.get(f"{name}_low"), metrics.get(f"{name}_high")).as_json()
        for name, label, unit in specs
        if (value := metrics.get(name)) is not None
    ]
