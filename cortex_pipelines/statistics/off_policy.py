"""Off-policy evaluation: a new router's expected success from another router's decisions.

Inverse propensity scoring (Horvitz and Thompson), its self-normalised form (Swaminathan and Joachims 2015) and the
doubly robust estimator (Dudik and others 2011), each with a bootstrap interval. All need two things that a log may
lack: the probability of each logged decision, and logged decisions that the new router would take too. If one is
missing, the result is a refusal with the reason.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.statistics.intervals import Interval, cluster_numbers

_CHUNK = 256


@dataclass(frozen=True)
class LoggedDecisions:
    actions: Sequence[str]  # master that each task was sent to
    rewards: Sequence[float]  # reward of each decision, 0 to 1
    propensities: Sequence[float | None]  # probability of each decision; None if it was not logged
    clusters: Sequence[str]  # cluster of each task; dependent tasks share one, and whole clusters are resampled


@dataclass(frozen=True)
class Estimate:
    """Expected success of the new router, by several estimators."""

    items: int  # number of logged decisions
    effective: float  # effective sample size
    logged: Interval  # success of the router that took the decisions
    ips: Interval  # inverse propensity score
    snips: Interval  # self-normalised inverse propensity score
    doubly_robust: Interval  # doubly robust estimate, with a model of the outcome


@dataclass(frozen=True)
class Refusal:
    """An estimate that cannot be given."""

    reason: str  # a sentence
    items: int  # number of logged decisions with a known outcome
    effective: float | None  # effective sample size; None if no weights could be computed


def evaluate_policy(
    logged: LoggedDecisions,
    target_policy: Sequence[dict[str, float]],
    min_items: int,
    min_effective: float,
    settings: EvaluationSettings,
) -> Estimate | Refusal:
    """Expected reward of another policy, or the reason why it cannot be estimated: less than the least decisions, or
    than the least effective sample size, (sum of weights)² / sum of squares (Kish).

    Raises ValueError: the sequences differ in length, or a reward or probability is out of range.
    """
    lengths = {len(part) for part in (*vars(logged).values(), target_policy)}
    if len(lengths) != 1:
        raise ValueError(f"evaluate_policy: parts of different lengths {sorted(lengths)}")
    if any(not 0 <= reward <= 1 for reward in logged.rewards):
        raise ValueError("evaluate_policy: a reward is not between 0 and 1")
    if any(p is not None and not 0 < p <= 1 for p in logged.propensities):
        raise ValueError("evaluate_policy: a propensity is not above 0 and at most 1")
    if any(min(w.values(), default=0) < 0 or fsum(w.values()) > 1 + 1e-9 for w in target_policy):
        raise ValueError("evaluate_policy: wanted probabilities are negative or add up to above 1")
    items = len(logged.actions)
    if items < min_items:
        return Refusal(f"{items} decisions with a known outcome; at least {min_items} are needed", items, None)
    logged_propensities = [p for p in logged.propensities if p is not None]
    propensities = np.array(logged_propensities)
    if len(propensities) < items:
        problem = (
            f"{items - len(propensities)} of {items} decisions were logged without "
            "their propensity, the probability with which the router chose that master"
        )
        return Refusal(problem, items, None)
    if (propensities == 1.0).all():
        problem = "the router that took the decisions never tried anything else: every propensity is 1"
        return Refusal(problem, items, None)
    target = np.array([w.get(a, 0.0) for w, a in zip(target_policy, logged.actions, strict=True)])
    weights = target / propensities
    squares = float((weights**2).sum())
    effective = float(weights.sum() ** 2 / squares) if squares else 0.0
    if effective < min_effective:
        problem = (
            f"the log is worth {effective:.1f} decisions of the new router (effective sample size), at least "
            f"{min_effective:g} are needed: it seldom tried what the new one wants"
        )
        return Refusal(problem, items, effective)
    return _estimate(logged, target_policy, weights, effective, settings)


def _estimate(
    logged: LoggedDecisions,
    target_policy: Sequence[dict[str, float]],
    weights: np.ndarray,
    effective: float,
    settings: EvaluationSettings,
) -> Estimate | Refusal:
    rewards, cluster_index = np.asarray(logged.rewards, dtype=np.float64), cluster_numbers(logged.clusters)
    items, clusters = len(rewards), int(cluster_index.max()) + 1

    def interval(statistic: Callable[[np.ndarray], np.ndarray]) -> Interval:
        """Interval of a statistic of resample counts, shape (resamples, decisions)."""
        random = np.random.default_rng(settings.seed)
        values = []
        for start in range(0, settings.resamples, _CHUNK):
            size = min(_CHUNK, settings.resamples - start)
            counts = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=size)
            values.append(statistic(counts[:, cluster_index].astype(np.float64)))
        tail = (1 - settings.confidence) / 2
        low, high = np.quantile(np.concatenate(values), [tail, 1 - tail])
        return Interval(float(statistic(np.ones((1, items)))[0]), float(low), float(high), settings.confidence)

    mean_weight = interval(lambda n: (n @ weights) / n.sum(axis=1))
    if not mean_weight.low <= 1.0 <= mean_weight.high:
        problem = (
            f"the weights have a mean of {mean_weight:.2f} and should have one of 1: the propensities are not those of "
            "the decisions, or the new router wants what was never tried"
        )
        return Refusal(problem, items, effective)
    direct, predicted = _outcome_model(logged, target_policy)
    robust = direct + weights * (rewards - predicted)
    return Estimate(
        items=items,
        effective=effective,
        logged=interval(lambda n: (n @ rewards) / n.sum(axis=1)),
        ips=interval(lambda n: (n @ (weights * rewards)) / n.sum(axis=1)),
        snips=interval(lambda n: (n @ (weights * rewards)) / np.maximum(n @ weights, 1e-12)),
        doubly_robust=interval(lambda n: (n @ robust) / n.sum(axis=1)),
    )


def _outcome_model(logged: LoggedDecisions, target_policy: Sequence[dict[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted reward of the target policy and of the logged action, per task.

    The mean reward of each master over tasks of *other* clusters, shrunk toward the overall mean: a model fitted on
    the task itself would bias the estimate.
    """
    total: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    cluster_total: dict[tuple[str, str], float] = defaultdict(float)
    cluster_count: dict[tuple[str, str], int] = defaultdict(int)
    for action, reward, cluster in zip(logged.actions, logged.rewards, logged.clusters, strict=True):
        total[action] += reward
        count[action] += 1
        cluster_total[cluster, action] += reward
        cluster_count[cluster, action] += 1
    overall = fsum(total.values()) / max(sum(count.values()), 1)

    def expected(action: str, cluster: str) -> float:
        other_count = count.get(action, 0) - cluster_count.get((cluster, action), 0)
        reward = total.get(action, 0.0) - cluster_total.get((cluster, action), 0.0)
        return (reward + overall) / (other_count + 1)

    predicted = [expected(a, c) for a, c in zip(logged.actions, logged.clusters, strict=True)]
    direct = [
        fsum(share * expected(action, cluster) for action, share in sorted(probabilities.items()))
        for probabilities, cluster in zip(target_policy, logged.clusters, strict=True)
    ]
    return np.array(direct), np.array(predicted)


MIN_EFFECTIVE = 10.0  # effective sample size below which intervals covered less than 95 % in simulations
_CONFIDENCE = 0.95
_PSEUDO = 2.0
_MISSING_ERRORS = 2.0  # standard errors by which the mean weight must miss 1 before weight counts as missing
_MISFIT_ERRORS = 4.0
_MISFIT = 0.05  # errors, and distance from 1, at which the mean weight shows that the log does not fit


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
    """Mean reward of the new policy, with 95 % intervals that cover the true value.

    Normal intervals are far too narrow if a few decisions carry most of the weight, or if rewards are rare: over 100
    simulated settings 71 % of such intervals covered the true value, and 98 % of these (``docs/guides/watching.md``).
    Four corrections are applied:

    - Pseudo-observations (Agresti and Coull 1998), two at either end of the rewards' range, each weighing what a
      decision of the new policy usually weighs.
    - Student's distribution with the degrees of freedom of the effective sample size.
    - The end on the side of the longer tail moves out according to the skewness (Hall 1992).
    - Weight that the log clearly lacks may have had any reward in the range.

    The plain estimate also needs a mean weight near 1, so its interval always contains the self-normalised one.
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
    # rewards that are 0 or 1 stay in that range, whichever of them were seen
    observed_range = (0.0, 1.0) if np.isin(rewards, (0.0, 1.0)).all() else (float(rewards.min()), float(rewards.max()))
    ends = bounds or observed_range
    snips, ips = (_estimate_interval(rewards, weights, effective, ends, normalised=n) for n in (True, False))
    return PolicyValue(
        snips=ValueEstimate(*snips),
        ips=ValueEstimate(ips[0], min(ips[1], snips[1]), max(ips[2], snips[2])),
        effective=effective,
        refused=_reason(rewards, weights, effective, bounds),
    )


def _reason(
    rewards: np.ndarray, weights: np.ndarray, effective: float, bounds: tuple[float, float] | None
) -> str | None:
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
    if bounds is None and rewards.min() == rewards.max():
        return (
            f"every decision has the same reward, {rewards[0]:g}, so nothing is known of their spread: "
            "give the smallest and the largest possible one (--low and --high)"
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
