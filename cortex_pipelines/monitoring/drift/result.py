"""What a comparison of two samples says."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "category", "text", "time", "identifier", "constant"]
"""``time`` and ``identifier`` differ between any two samples, so they are named and not tested."""


@dataclass(frozen=True)
class TwoSampleTest:
    """One test of two samples.

    Args:
        test: Name of the test.
        statistic: Its statistic.
        p_value: Probability of one at least as extreme if both samples are of one distribution.
    """

    test: str
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Feature:
    """A column in both samples.

    Args:
        name: Its name; fields of an object are named ``object.field``.
        kind: What its values are.
        test: Which test compared them; None if they were not compared.
        statistic: Of that test.
        p_value: Of that test, before the correction for several columns.
        drift: Whether it drifts after Holm's correction over the columns that were compared.
    """

    name: str
    kind: Kind
    test: str | None
    statistic: float | None
    p_value: float | None
    drift: bool


@dataclass(frozen=True)
class Drift:
    """Comparison of two samples.

    Args:
        drift: Whether any column drifts.
        share: Share of the compared columns that drift.
        features: All columns, by name.
    """

    drift: bool
    share: float
    features: tuple[Feature, ...]
