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
from cortex_pipelines.statistics.intervals import Interval

_CHUNK = 256


@dataclass(frozen=True)
class LoggedDecisions:
    actions: Sequence[str]  # master that each task was sent to
    rewards: Sequence[float]  # reward of each decision, 0 to 1
    propensities: Sequence[float | None]  # probability of each decision; None if it was not logged
    clusters: Sequence[str]  # cluster of each task; dependent tasks share one, and whole clusters are resampled


@dataclass(frozen=True)
class Support:
    min_items: int  # minimum number of decisions
    min_effective: float  # minimum effective sample size, (sum of weights)² / sum of squares (Kish)


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

    reason: str  # why, as a sentence
    items: int  # number of logged decisions with a known outcome
    effective: float | None  # effective sample size; None if no weights could be computed


def evaluate_policy(
    logged: LoggedDecisions, target_policy: Sequence[dict[str, float]], support: Support, settings: EvaluationSettings
) -> Estimate | Refusal:
    """Expected reward of another policy, or the reason why it cannot be estimated.

    Raises ValueError: the sequences differ in length, or a reward or probability is out of range.
    """
    _check(logged, target_policy)
    items = len(logged.actions)
    if items < support.min_items:
        return Refusal(f"{items} decisions with a known outcome; at least {support.min_items} are needed", items, None)
    logged_propensities = [p for p in logged.propensities if p is not None]
    if len(logged_propensities) < items:
        return Refusal(
            f"{items - len(logged_propensities)} of {items} decisions were logged without "
            "their propensity, the probability with which the router chose that master",
            items,
            None,
        )
    propensities = np.array(logged_propensities)
    if (propensities == 1.0).all():
        return Refusal(
            "the router that took the decisions never tried anything else: every propensity is 1", items, None
        )
    target = np.array([w.get(a, 0.0) for w, a in zip(target_policy, logged.actions, strict=True)])
    return _estimate(logged, target_policy, target / propensities, support, settings)


def _estimate(
    logged: LoggedDecisions,
    target_policy: Sequence[dict[str, float]],
    weights: np.ndarray,
    support: Support,
    settings: EvaluationSettings,
) -> Estimate | Refusal:
    rewards = np.asarray(logged.rewards, dtype=np.float64)
    items = len(rewards)
    squares = float((weights**2).sum())
    effective = float(weights.sum() ** 2 / squares) if squares else 0.0
    if effective < support.min_effective:
        return Refusal(
            f"the log is worth {effective:.1f} decisions of the new router (effective sample "
            f"size), at least {support.min_effective:g} are needed: it seldom tried what the new "
            "one wants",
            items,
            effective,
        )
    draws = _draws(logged.clusters, settings)

    def interval(statistic: Callable[[np.ndarray], np.ndarray]) -> Interval:
        """Interval of a statistic of resample counts, shape (resamples, decisions)."""
        return _interval(statistic, items, draws, settings)

    mean_weight = interval(lambda n: (n @ weights) / n.sum(axis=1))
    if not mean_weight.low <= 1.0 <= mean_weight.high:
        return Refusal(
            f"the weights have a mean of {mean_weight.estimate:.2f} ({mean_weight.low:.2f} to "
            f"{mean_weight.high:.2f}) and should have one of 1: the propensities are not those of "
            "the decisions, or the new router wants what was never tried",
            items,
            effective,
        )
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


def _check(logged: LoggedDecisions, target_policy: Sequence[dict[str, float]]) -> None:
    lengths = {
        len(part) for part in (*(logged.actions, logged.rewards, logged.propensities, logged.clusters), target_policy)
    }
    if len(lengths) != 1:
        raise ValueError(f"evaluate_policy: parts of different lengths {sorted(lengths)}")
    if any(not 0 <= reward <= 1 for reward in logged.rewards):
        raise ValueError("evaluate_policy: a reward is not between 0 and 1")
    if any(p is not None and not 0 < p <= 1 for p in logged.propensities):
        raise ValueError("evaluate_policy: a propensity is not above 0 and at most 1")
    if any(min(w.values(), default=0) < 0 or fsum(w.values()) > 1 + 1e-9 for w in target_policy):
        raise ValueError("evaluate_policy: wanted probabilities are negative or add up to above 1")


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


def _draws(clusters: Sequence[str], settings: EvaluationSettings) -> tuple[np.ndarray, int, int]:
    numbers: dict[str, int] = {}
    cluster_index = np.array([numbers.setdefault(name, len(numbers)) for name in clusters])
    return cluster_index, len(numbers), settings.seed


def _interval(
    statistic: Callable[[np.ndarray], np.ndarray],
    items: int,
    draws: tuple[np.ndarray, int, int],
    settings: EvaluationSettings,
) -> Interval:
    cluster_index, clusters, seed = draws
    random = np.random.default_rng(seed)
    values = []
    for start in range(0, settings.resamples, _CHUNK):
        size = min(_CHUNK, settings.resamples - start)
        counts = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=size)
        values.append(statistic(counts[:, cluster_index].astype(np.float64)))
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(np.concatenate(values), [tail, 1 - tail])
    estimate = float(statistic(np.ones((1, items)))[0])
    return Interval(estimate, float(low), float(high), settings.confidence)
