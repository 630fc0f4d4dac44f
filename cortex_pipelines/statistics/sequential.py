"""Intervals and tests that hold at every look, for answers that come in one by one.

The confidence sequence is that of the mixture sequential probability ratio test with a normal
mixture (Robbins 1970; Johari, Koomen, Pekelis and Walsh, *Always Valid Inference*, Operations
Research 70, 2022), which for differences of means is an asymptotic confidence sequence
(Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory*, Annals of
Statistics 52, 2024). Two things are added for what gateways see:

- Whoever asks keeps a variant, so a person is the unit and not an answer. The variance is that of
  a ratio of sums over units. Of one that every look estimates anew, the differences at two looks
  have the covariance of independent increments (Scharfstein, Tsiatis and Robins 1997), which is
  what the boundary needs.
- Few units and rare events: the normal quantile is replaced by Student's with the same tail
  (Satterthwaite's degrees of freedom), and the variance is never below that of single answers
  with two successes and two failures added (Agresti and Coull 1998).

The functions take numbers, and equally arrays of them, one place for each simulated experiment.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, ndtr, stdtrit

LEAST_UNITS = 10
"""Units of each variant below which the sequence missed more often than promised in simulations."""

_PSEUDO = 2.0
_FAR = 8.0
"""Standard deviations beyond which a normal tail has no digits left."""


@dataclass(frozen=True)
class Sums:
    """Sums over units (people, sessions) with ``n`` answers of which ``y`` had the property.

    Args:
        units: Units.
        n: Sum of the answers.
        y: Sum of those with the property.
        nn: Sum of the squares of ``n`` of a unit.
        ny: Sum of the products.
        yy: Sum of the squares of ``y`` of a unit.
    """

    units: Any = 0
    n: Any = 0
    y: Any = 0
    nn: Any = 0
    ny: Any = 0
    yy: Any = 0

    def moved(self, before: tuple[int, int], after: tuple[int, int]) -> "Sums":
        """With a unit's answers and those with the property changed; (0, 0) for a new one."""
        (n, y), (m, x) = before, after
        return Sums(
            self.units + (m > 0) - (n > 0),
            self.n + m - n,
            self.y + x - y,
            self.nn + m * m - n * n,
            self.ny + m * x - n * y,
            self.yy + x * x - y * y,
        )

    @property
    def share(self) -> Any:
        """Share of answers with the property; 0 of none."""
        return self.y / np.maximum(self.n, 1)

    @property
    def variance(self) -> Any:
        """Of the share; infinite below two units."""
        share, n = self.share, np.maximum(self.n, 1)
        spread = self.yy - 2 * share * self.ny + share * share * self.nn
        few = np.maximum(self.units, 2)
        between = np.maximum(spread, 0) / (n * n) * few / (few - 1)
        shrunk = (self.y + _PSEUDO) / (n + 2 * _PSEUDO)
        within = shrunk * (1 - shrunk) / n
        return np.where(np.asarray(self.units) < 2, np.inf, np.maximum(between, within))


def difference(
    first: Sums, second: Sums, error: float, scale: float, least: int = LEAST_UNITS
) -> tuple[Any, Any]:
    """Ends of the confidence sequence of ``second.share - first.share``.

    Args:
        first: One variant.
        second: The other.
        error: Probability with which the sequence ever misses the true difference.
        scale: Size of the differences for which the interval is to be short.
        least: Units of each below which nothing is known: the interval is -1 to 1.
    """
    one, two = first.variance, second.variance
    known = np.isfinite(one) & np.isfinite(two)
    known &= np.minimum(first.units, second.units) >= least
    one, two = np.where(known, one, 1.0), np.where(known, two, 1.0)
    variance = one + two
    parts = one**2 / np.maximum(first.units - 1, 1) + two**2 / np.maximum(second.units - 1, 1)
    half = _radius(variance, variance**2 / parts, error, scale)
    middle = second.share - first.share
    low, high = np.maximum(middle - half, -1), np.minimum(middle + half, 1)
    return np.where(known, low, -1.0), np.where(known, high, 1.0)


def lower_share(sums: Sums, error: float, scale: float) -> Any:
    """Lower end of the confidence sequence of a share; of a one-sided error half as large."""
    variance = sums.variance
    known = np.isfinite(variance)
    freedom = np.maximum(sums.units - 1, 1)
    half = _radius(np.where(known, variance, 1.0), freedom, error, scale)
    return np.where(known, np.maximum(sums.share - half, 0), 0.0)


def _radius(variance: Any, freedom: Any, error: float, scale: float) -> Any:
    mixed = scale * scale
    wider = (variance + mixed) / variance
    deviations = np.sqrt((variance + mixed) / mixed * (2 * np.log(1 / error) + np.log(wider)))
    near = np.minimum(deviations, _FAR)
    student = -stdtrit(freedom, ndtr(-near))
    return np.sqrt(variance) * student * np.maximum(deviations / near, 1)


def sample_ratio(first: Any, second: Any, share: float) -> Any:
    """Evidence that units were not divided as planned: an e-value, valid at every look.

    Where the plan is kept, it ever exceeds 1/x with a probability of at most x (Lindon and Malek,
    *Anytime-valid inference for multinomial count data*, NeurIPS 2022, with a uniform prior).

    Args:
        first: Units with the first variant.
        second: Units with the second.
        share: Planned probability of the second.
    """
    planned = first * np.log1p(-share) + second * np.log(share)
    return np.exp(np.minimum(betaln(first + 1, second + 1) - planned, 700.0))
