"""What a comparison of two samples says."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "category", "text", "time", "identifier", "constant"]
"""``time`` and ``identifier`` differ between any two samples, so they are named and not tested."""


@dataclass(frozen=True)
class TwoSampleTest:
    test: str
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Feature:
    """A column in both samples; fields of an object are named ``object.field``.

    The p-value is that before Holm's correction, by which it drifts or not; None if not compared.
    """

    name: str
    kind: Kind
    test: str | None
    statistic: float | None
    p_value: float | None
    drift: bool


@dataclass(frozen=True)
class Drift:
    """Comparison of two samples, with the share of the compared columns that drift."""

    drift: bool
    share: float
    features: tuple[Feature, ...]
