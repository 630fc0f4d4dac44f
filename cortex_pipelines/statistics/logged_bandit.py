"""Value of a new policy from the log of another policy, with intervals that cover the true value.

Normal intervals are far too narrow if a few decisions carry most of the weight, or if rewards are rare: over 100
simulated settings 71 % of such 95 % intervals covered the true value, and 98 % of these
(``docs/guides/watching.md``). Four corrections are applied:

- Pseudo-observations (Agresti and Coull 1998), two at either end of the rewards' range, each
  weighing what a decision of the new policy usually weighs.
- Student's distribution with the degrees of freedom of the effective sample size.
- The end on the side of the longer tail moves out according to the skewness (Hall 1992).
- Weight that the log clearly lacks may have had any reward in the range.

The plain estimate also needs a mean weight near 1, so its interval always contains the self-normalised one.
"""

from dataclasses import dataclass

import numpy as np

MIN_EFFECTIVE = 10.0
"""Effective sample size below which intervals covered less than 95 % in simulations."""

_CONFIDENCE = 0.95
_PSEUDO = 2.0
_MISSING_ERRORS = 2.0
"""Standard errors by which the mean weight must miss 1 before weight counts as missing."""

_MISFIT_ERRORS = 4.0
_MISFIT = 0.05
"""Errors, and distance from 1, at which the mean weight shows that the log does not fit."""


@dataclass(frozen=True)
class ValueEstimate:
    """An estimate of the new policy's mean reward; all None if no decision has any weight."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PolicyValue:
    snips: ValueEstimate  # self-normalised inverse propensity score (Swaminathan and Joachims 2015)
    ips: ValueEstimate  # inverse propensity score (Horvitz and Thompson 1952)
    effective: float  # effective sample size, (sum of weights)² / sum of squares (Kish)
    refused: str | None  # reason not to rely on the estimates, or None


def value_of_policy(
    rewards: np.ndarray, propensities: np.ndarray, targets: np.ndarray, bounds: tuple[float, float] | None = None
) -> PolicyValue:
    """Mean reward of the new policy, with 95 % intervals.

    ``rewards``: reward of each decision; finite, at least one. ``propensities``: probability of each decision under
    the old policy, above 0.
    """
    weights = targets / propensities
    if not weights.any():
        nothing = ValueEstimate(None, None, None)
        reason = "the new policy would have taken none of the logged decisions (every target is 0)"
        return PolicyValue(nothing, nothing, 0.0, reason)
    shares = weights / weights.max()  # squares of tiny weights would be 0
    effective = float(shares.sum() ** 2 / (shares**2).sum())
    ends = bounds or _range(rewards)
    snips, ips = (_estimate_interval(rewards, weights, effective, ends, normalised=n) for n in (True, False))
    return PolicyValue(
        snips=ValueEstimate(*snips),
        ips=ValueEstimate(ips[0], min(ips[1], snips[1]), max(ips[2], snips[2])),
        effective=effective,
        refused=_reason(weights, effective) or (None if bounds else _no_spread(rewards)),
    )


def _no_spread(rewards: np.ndarray) -> str | None:
    if rewards.min() < rewards.max():
        return None
    return (
        f"every decision has the same reward, {rewards[0]:g}, so nothing is known of their spread: "
        "give the smallest and the largest possible one (--low and --high)"
    )


def _reason(weights: np.ndarray, effective: float) -> str | None:
    if effective < MIN_EFFECTIVE:
        return (
            f"the log is worth {effective:.1f} decisions of the new policy (effective sample "
            f"size), at least {MIN_EFFECTIVE:g} are needed: it seldom tried what the new one wants"
        )
    mean, error = float(weights.mean()), _standard_error(weights)
    if abs(mean - 1) > max(_MISFIT, _MISFIT_ERRORS * error):
        cause = "the new policy wants what was hardly tried, or the" if mean < 1 else "the"
        return (
            f"the weights have a mean of {mean:.2f} and should have one of 1: {cause} propensities "
            "are not those of the decisions"
        )
    return None


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _estimate_interval(
    rewards: np.ndarray, weights: np.ndarray, effective: float, ends: tuple[float, float], *, normalised: bool
) -> tuple[float, float, float]:
    from scipy.special import stdtrit

    low, high = ends
    usual_weight = float(weights.sum()) / effective
    # pseudo-observations that the new policy would not take keep their mean weight at 1
    unused = 2 * _PSEUDO * max(usual_weight - 1, 0.0)
    counts = np.append(np.ones(len(weights)), [_PSEUDO, _PSEUDO, unused])
    padded_weights = np.append(weights, [usual_weight, usual_weight, 0.0])
    padded_gains = padded_weights * np.append(rewards, [low, high, 0.0])
    total = counts.sum()
    if normalised:
        value = (weights * rewards).sum() / weights.sum()
        centre = (counts * padded_gains).sum() / (counts * padded_weights).sum()
        deviations = (padded_gains - padded_weights * centre) / ((counts * padded_weights).sum() / total)
    else:
        value = (weights * rewards).mean()
        centre = (counts * padded_gains).sum() / total
        deviations = padded_gains - centre
    spread = float(np.sqrt((counts * deviations**2).sum() / (total - 1)))
    if spread == 0:  # one reward, one weight: nothing varies
        return float(value), float(value), float(value)
    error = spread / np.sqrt(total)
    quantile = float(stdtrit(max(effective - 1, 1.0), (1 + _CONFIDENCE) / 2))
    skewness = (counts * (deviations / spread) ** 3).sum() / total
    skew_shift = skewness * (2 * quantile**2 + 1) / (6 * np.sqrt(total))
    skew_shift = float(np.clip(skew_shift, -2 * quantile, 2 * quantile))
    first = centre - error * (quantile - min(skew_shift, 0.0))
    last = centre + error * (quantile + max(skew_shift, 0.0))
    missing = max(0.0, 1 - float(weights.mean()) - _MISSING_ERRORS * _standard_error(weights))
    if normalised:
        first, last = first - missing * (centre - low), last + missing * (high - centre)
        first, last = max(first, low), min(last, high)
    else:
        first, last = first + missing * min(low, 0.0), last + missing * max(high, 0.0)
    return float(value), float(min(first, value)), float(max(last, value))


def _range(rewards: np.ndarray) -> tuple[float, float]:
    if np.isin(rewards, (0.0, 1.0)).all():
        return 0.0, 1.0
    return float(rewards.min()), float(rewards.max())
