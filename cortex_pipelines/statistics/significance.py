"""Paired significance tests, and correction for multiple tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

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
