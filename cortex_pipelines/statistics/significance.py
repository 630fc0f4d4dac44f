"""Paired significance tests, and correction for multiple tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cortex_pipelines.statistics.intervals import Interval, cluster_sums, paired_bootstrap

Doubles = npt.NDArray[np.float64]


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test. Raises ValueError: a count is negative."""
    from scipy.stats import binomtest

    if min(only_first, only_second) < 0:
        raise ValueError(f"mcnemar_exact: negative count ({only_first}, {only_second})")
    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def higher_likelihood_p(first: Doubles, second: Doubles) -> float:
    """One-sided p-value of a paired t-test that the first log-likelihoods are higher."""
    from scipy.stats import ttest_1samp

    differences = first - second
    if not differences.std():  # all tasks alike: nothing to test
        return 1.0
    return float(ttest_1samp(differences, 0.0, alternative="greater").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p-values (Holm 1979), in the given order.

    The smallest p-value is multiplied by the number of tests, the next by one less, and so on; each is at least as
    large as the one before it.
    """
    corrected = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = reached
    return corrected


_POWER = 0.8  # Cohen's convention
_MOST_EXACT = 12  # clusters: 4,096 ways to flip them
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifferences:
    differences: Sequence[float]  # one value per item
    clusters: Sequence[str]
    weights: Sequence[float] | None  # size of each item if the metric is a ratio of sums; None for a plain mean
    smallest: float  # smallest difference worth shipping, in the metric's unit

    def interval(self, resamples: int, confidence: float, seed: int) -> Interval:
        return paired_bootstrap(
            self.differences,
            weights=self.weights,
            clusters=self.clusters,
            resamples=resamples,
            confidence=confidence,
            seed=seed,
        )


@dataclass(frozen=True)
class MetricComparison:
    metric: str
    interval: Interval  # mean difference and its interval, not corrected
    p: float  # two-sided p-value of no difference, by flipping signs
    p_corrected: float  # the p-value after Holm's correction over all metrics compared together
    clusters: int  # number of independent clusters
    smallest: float  # smallest difference worth shipping
    # clusters needed to detect that difference with a power of 80 %, at the observed variance; None without variance
    needed: int | None


def compare_all(
    metrics: Mapping[str, PairedDifferences], *, resamples: int, confidence: float, seed: int
) -> list[MetricComparison]:
    """Compare all metrics with Holm's correction, without empty ones.

    ``confidence``: two-sided confidence of the intervals, 0 to 1.
    """
    nonempty = {name: paired for name, paired in metrics.items() if len(paired.differences)}
    p_values = [sign_flip_p(paired, resamples, seed) for paired in nonempty.values()]
    comparisons = []
    for (name, paired), p, corrected in zip(nonempty.items(), p_values, holm(p_values), strict=True):
        interval = paired.interval(resamples, confidence, seed)
        needed = items_needed(paired, confidence)
        count = len(set(paired.clusters))
        comparisons.append(MetricComparison(name, interval, p, corrected, count, paired.smallest, needed))
    return comparisons


def items_needed(paired: PairedDifferences, confidence: float) -> int | None:
    """Clusters needed to detect the smallest worthwhile difference with 80 % power.

    Uses the normal approximation for planning: (z + z')² s² over the square of the difference, where s is the
    standard deviation of the clusters' contributions to the mean. Returns number of clusters; None with fewer than
    two clusters or without variance.
    """
    sums, sizes = cluster_sums(paired.differences, paired.weights, paired.clusters)
    if len(sums) < 2 or paired.smallest <= 0:
        return None
    mean = sums.sum() / sizes.sum()
    # the delta method: a ratio of sums varies as the mean of these does
    contributions = (sums - mean * sizes) / sizes.mean()
    spread = float(np.std(contributions, ddof=1))
    if spread == 0:
        return None
    normal = NormalDist()
    needed = normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(_POWER)
    return ceil((needed * spread / paired.smallest) ** 2)


def detectable_difference(clusters: int, paired_needed: int | None, smallest: float) -> float:
    if paired_needed is None:
        return 0.0
    return smallest * sqrt(paired_needed / clusters) if clusters else inf


def sign_flip_p(paired: PairedDifferences, resamples: int, seed: int) -> float:
    """Two-sided p-value of the sign-flip permutation test of the mean.

    Signs of whole clusters are flipped. Exact for few clusters, so that three clusters can never be significant, as
    they could in a bootstrap; sampled by the seed for many.
    """
    sums, _ = cluster_sums(paired.differences, paired.weights, paired.clusters)
    count = len(sums)
    exact = count <= _MOST_EXACT
    if exact:
        flipped = (np.arange(1 << count, dtype=np.int64)[:, None] >> np.arange(count)) & 1
    else:
        flipped = np.random.default_rng(seed).integers(0, 2, size=(resamples, count))
    reached = np.abs((1 - 2 * flipped) @ sums) >= abs(sums.sum()) * (1 - _ROUNDING)
    return float(reached.mean()) if exact else float((reached.sum() + 1) / (resamples + 1))
