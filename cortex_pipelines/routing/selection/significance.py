"""Whether a difference is more than chance: paired tests, and the correction for several."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two classifiers err alike.

    Args:
        only_first: Items that only the first gets right.
        only_second: Items that only the second gets right.

    Raises:
        ValueError: a count is negative.
    """
    from scipy.stats import binomtest

    if min(only_first, only_second) < 0:
        raise ValueError(f"mcnemar_exact: negative count ({only_first}, {only_second})")
    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def likelier(first: Doubles, second: Doubles) -> float:
    """One-sided p-value that the first log-likelihoods are no higher than the second, paired."""
    from scipy.stats import ttest_1samp

    apart = first - second
    if not apart.std():  # all tasks alike: nothing to test
        return 1.0
    return float(ttest_1samp(apart, 0.0, alternative="greater").pvalue)


def holm(chances: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm 1979), in the order given.

    The smallest is multiplied by their number, the next by one less, and so on; none becomes
    smaller than the one before it.
    """
    corrected = [0.0] * len(chances)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        reached = max(reached, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = reached
    return corrected
