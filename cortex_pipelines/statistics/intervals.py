"""Confidence intervals and paired tests.

Normal approximations are unreliable below a few hundred items (arXiv 2503.01747), so the comparisons use a paired
bootstrap over clusters and an exact test; both are seeded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

_CHUNK = 256


@dataclass(frozen=True)
class Interval:
    estimate: float
    low: float
    high: float
    confidence: float

    def __format__(self, spec: str) -> str:
        return f"{self.estimate:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def as_metrics(self, name: str) -> dict[str, float]:
        return {name: self.estimate, f"{name}_low": self.low, f"{name}_high": self.high}


def paired_bootstrap(
    differences: Sequence[float],
    *,
    weights: Sequence[float] | None = None,
    clusters: Sequence[str] | None = None,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Bootstrap interval of the (weighted) mean of paired differences, expanded percentile.

    A plain percentile interval is too narrow where clusters are few: by the square root of (n - 1) / n, and as the
    normal distribution is narrower than Student's. Its ends are therefore moved out to those of Student's
    distribution (Hesterberg 2015, section 4.3). Returns the interval. With a single cluster its width is 0, which is
    meaningless: callers require a minimum number of clusters.
    ``weights``: size of each item (1 by default), if the metric is a ratio of sums: with bits *per byte* as
    differences and bytes as weights the estimate is total bits over total bytes. ``confidence``: two-sided
    confidence, 0 to 1. Raises ValueError: no items, or sequences of different lengths.
    """
    if not len(differences):
        raise ValueError("paired_bootstrap: no items; at least one pair is needed")
    sums, sizes = cluster_sums(differences, weights, clusters)
    estimate = float(sums.sum() / sizes.sum())
    ratios = _resampled_ratios(sums, sizes, resamples, seed)
    return _expanded_percentile(estimate, ratios, confidence, len(sums))


def two_sample_bootstrap(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Bootstrap interval of the difference of two weighted means, expanded percentile.

    ``first``: sums of weighted values and of weights per cluster; see ``cluster_sums``. ``confidence``: two-sided
    confidence, 0 to 1.
    """
    ratios = [_resampled_ratios(*sample, resamples, seed + index) for index, sample in enumerate((first, second))]
    means = [float(sums.sum() / sizes.sum()) for sums, sizes in (first, second)]
    fewest = min(len(first[0]), len(second[0]))
    return _expanded_percentile(means[0] - means[1], ratios[0] - ratios[1], confidence, fewest)


def _expanded_percentile(estimate: float, ratios: np.ndarray, confidence: float, clusters: int) -> Interval:
    from scipy.special import stdtrit  # takes as long to import as the rest of a command

    tail = (1 - confidence) / 2
    if clusters > 1:
        tail = NormalDist().cdf(stdtrit(clusters - 1, tail) * sqrt(clusters / (clusters - 1)))
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence)


def wilson(successes: int, trials: int, confidence: float) -> Interval:
    """Wilson score interval of a proportion; accurate for few trials and extreme shares.

    Raises ValueError: no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"wilson: {successes} of {trials}; needs a trial, and 0 <= successes <= trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # at shares of 0 and 1 an end equals the share itself, up to rounding
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Interval(share, low, high, confidence)


def cluster_sums(
    differences: Sequence[float], weights: Sequence[float] | None, clusters: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(differences, dtype=np.float64)
    sizes = np.ones_like(values) if weights is None else np.asarray(weights, dtype=np.float64)
    names = [str(item) for item in range(len(values))] if clusters is None else list(clusters)
    if not len(values) == len(sizes) == len(names):
        raise ValueError(
            f"paired_bootstrap: {len(values)} differences, {len(sizes)} weights and "
            f"{len(names)} clusters; one of each per item is expected"
        )
    numbers = cluster_numbers(names)
    return np.bincount(numbers, weights=values * sizes), np.bincount(numbers, weights=sizes)


def cluster_numbers(names: Sequence[str]) -> np.ndarray:
    """The number of each item's cluster, in the order in which they first come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def _resampled_ratios(sums: np.ndarray, sizes: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    count = len(sums)
    ratios = []
    for start in range(0, resamples, _CHUNK):
        picks = random.integers(0, count, size=(min(_CHUNK, resamples - start), count))
        ratios.append(sums[picks].sum(axis=1) / sizes[picks].sum(axis=1))
    return np.concatenate(ratios)
