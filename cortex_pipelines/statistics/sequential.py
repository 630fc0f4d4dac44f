"""Confidence sequences and tests that are valid at every look, for answers that arrive one by one.

The confidence sequence is that of the mixture sequential probability ratio test with a normal mixture (Robbins 1970;
Johari, Koomen, Pekelis and Walsh, *Always Valid Inference*, Operations Research 70, 2022), which for differences of
means is an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central
limit theory*, Annals of Statistics 52, 2024). Two things are added for a gateway's traffic:

- A caller keeps their variant, so the unit is a person, not an answer. The variance is that of a
  ratio of sums over units. With a variance that is estimated again at every look, the differences
  at two looks have the covariance of independent increments (Scharfstein, Tsiatis and Robins
  1997), which the boundary requires.
- Few units and rare events: the normal quantile is replaced by Student's with the same tail
  (Satterthwaite's degrees of freedom), and the variance is never below that of single answers
  with two successes and two failures added (Agresti and Coull 1998).

The functions take numbers or arrays, with one element per simulated experiment.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, ndtr, stdtrit

MIN_UNITS = 10  # minimum units per variant; with fewer, coverage in simulations was below the nominal level
_PSEUDO = 2.0
_FAR = 8.0  # standard deviations beyond which a normal tail underflows


@dataclass(frozen=True)
class UnitSums:
    """Sums over units (people, sessions) with ``n`` answers of which ``y`` had the property."""

    units: Any = 0
    n: Any = 0
    y: Any = 0  # sum of the answers with the property
    nn: Any = 0  # sum of the squares of a unit's `n`
    ny: Any = 0  # sum of the products of a unit's `n` and `y`
    yy: Any = 0  # sum of the squares of a unit's `y`

    def with_change(self, before: tuple[int, int], after: tuple[int, int]) -> "UnitSums":
        (n, y), (m, x) = before, after
        return UnitSums(
            self.units + (m > 0) - (n > 0),
            self.n + m - n,
            self.y + x - y,
            self.nn + m * m - n * n,
            self.ny + m * x - n * y,
            self.yy + x * x - y * y,
        )

    @property
    def share(self) -> Any:
        return self.y / np.maximum(self.n, 1)

    @property
    def variance(self) -> Any:
        share, n = self.share, np.maximum(self.n, 1)
        spread = self.yy - 2 * share * self.ny + share * share * self.nn
        units = np.maximum(self.units, 2)
        between_variance = np.maximum(spread, 0) / (n * n) * units / (units - 1)
        shrunk = (self.y + _PSEUDO) / (n + 2 * _PSEUDO)
        answer_variance = shrunk * (1 - shrunk) / n
        return np.where(np.asarray(self.units) < 2, np.inf, np.maximum(between_variance, answer_variance))


def difference(
    first: UnitSums, second: UnitSums, error: float, scale: float, min_units: int = MIN_UNITS
) -> tuple[Any, Any]:
    """Ends of the confidence sequence of ``second.share - first.share``."""
    first_variance, second_variance = first.variance, second.variance
    estimable = np.isfinite(first_variance) & np.isfinite(second_variance)
    estimable &= np.minimum(first.units, second.units) >= min_units
    first_variance, second_variance = (np.where(estimable, v, 1.0) for v in (first_variance, second_variance))
    variance = first_variance + second_variance
    parts = first_variance**2 / np.maximum(first.units - 1, 1) + second_variance**2 / np.maximum(second.units - 1, 1)
    half = _radius(variance, variance**2 / parts, error, scale)
    middle = second.share - first.share
    low, high = np.maximum(middle - half, -1), np.minimum(middle + half, 1)
    return np.where(estimable, low, -1.0), np.where(estimable, high, 1.0)


def lower_share(sums: UnitSums, error: float, scale: float) -> Any:
    """Lower end of the confidence sequence of a share; its one-sided error is half ``error``."""
    variance = sums.variance
    estimable = np.isfinite(variance)
    freedom = np.maximum(sums.units - 1, 1)
    half = _radius(np.where(estimable, variance, 1.0), freedom, error, scale)
    return np.where(estimable, np.maximum(sums.share - half, 0), 0.0)


def _radius(variance: Any, freedom: Any, error: float, scale: float) -> Any:
    mixed = scale * scale
    wider = (variance + mixed) / variance
    deviations = np.sqrt((variance + mixed) / mixed * (2 * np.log(1 / error) + np.log(wider)))
    capped = np.minimum(deviations, _FAR)
    student = -stdtrit(freedom, ndtr(-capped))
    return np.sqrt(variance) * student * np.maximum(deviations / capped, 1)


def sample_ratio(first: Any, second: Any, share: float) -> Any:
    """Evidence that units were not divided as planned: an e-value, valid at every look.

    Under the planned ratio it ever exceeds 1/x with probability at most x (Lindon and Malek, *Anytime-valid inference
    for multinomial count data*, NeurIPS 2022, with a uniform prior).
    """
    planned = first * np.log1p(-share) + second * np.log(share)
    return np.exp(np.minimum(betaln(first + 1, second + 1) - planned, 700.0))
