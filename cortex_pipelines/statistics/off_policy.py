"""Off-policy evaluation: a new router's expected success from another router's decisions.

Inverse propensity scoring (Horvitz and Thompson), its self-normalised form (Swaminathan and
Joachims 2015) and the doubly robust estimator (Dudik and others 2011), each with a bootstrap
interval. All rest on two things that a log may lack: the probability with which each decision was
taken, and that what the new router wants was tried at all. Where one is missing there is no
estimate but a reason.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.statistics.intervals import Interval

_CHUNK = 256


@dataclass(frozen=True)
class Logged:
    """Logged decisions with known outcomes.

    Args:
        actions: Master that each task was sent to.
        rewards: What came of it, 0 to 1.
        propensities: Probability with which it was sent there; None where that was not logged.
        clusters: Tasks that are not independent share one; the bootstrap draws whole clusters.
    """

    actions: Sequence[str]
    rewards: Sequence[float]
    propensities: Sequence[float | None]
    clusters: Sequence[str]


@dataclass(frozen=True)
class Support:
    """Minimum evidence for an estimate.

    Args:
        min_items: Fewest decisions.
        min_effective: Smallest effective sample size, (sum of weights)² / sum of squares (Kish).
    """

    min_items: int
    min_effective: float


@dataclass(frozen=True)
class Estimate:
    """Expected success of the new router, by several estimators.

    Args:
        items: Decisions in the log.
        effective: What they are worth, in decisions of the new router.
        logged: Success of the router that took them.
        ips: By inverse propensity.
        snips: By self-normalised inverse propensity.
        doubly_robust: With the help of a model of the outcome.
    """

    items: int
    effective: float
    logged: Interval
    ips: Interval
    snips: Interval
    doubly_robust: Interval


@dataclass(frozen=True)
class Refusal:
    """Reason why there is no estimate.

    Args:
        reason: In words.
        items: Decisions in the log with a known outcome.
        effective: What they are worth; None where no weight could be worked out.
    """

    reason: str
    items: int
    effective: float | None


def evaluate_policy(
    logged: Logged,
    wanted: Sequence[dict[str, float]],
    support: Support,
    settings: EvaluationSettings,
) -> Estimate | Refusal:
    """Expected reward of another policy, or the reason why it cannot be estimated.

    Args:
        logged: The log.
        wanted: For each task the probability with which the new policy sends it to each master;
            one that is absent is 0. A router that does not draw has a single master at 1.
        support: What the log must have.
        settings: Resamples, confidence and seed of the intervals.

    Raises:
        ValueError: the sequences differ in length, or a reward or probability is out of range.
    """
    _check(logged, wanted)
    items = len(logged.actions)
    if items < support.min_items:
        return Refusal(
            f"{items} decisions with a known outcome; at least {support.min_items} are needed",
            items,
            None,
        )
    known = [p for p in logged.propensities if p is not None]
    if len(known) < items:
        return Refusal(
            f"{items - len(known)} of {items} decisions were logged without their propensity, the "
            "probability with which the router chose that master",
            items,
            None,
        )
    propensities = np.array(known)
    if (propensities == 1.0).all():
        return Refusal(
            "the router that took the decisions never tried anything else: every propensity is 1",
            items,
            None,
        )
    target = np.array([w.get(a, 0.0) for w, a in zip(wanted, logged.actions, strict=True)])
    return _estimate(logged, wanted, target / propensities, support, settings)


def _estimate(
    logged: Logged,
    wanted: Sequence[dict[str, float]],
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

    def interval(figure: Callable[[np.ndarray], np.ndarray]) -> Interval:
        """Interval of a statistic of resample counts, shape (resamples, decisions)."""
        return _interval(figure, items, draws, settings)

    mean_weight = interval(lambda n: (n @ weights) / n.sum(axis=1))
    if not mean_weight.low <= 1.0 <= mean_weight.high:
        return Refusal(
            f"the weights have a mean of {mean_weight.estimate:.2f} ({mean_weight.low:.2f} to "
            f"{mean_weight.high:.2f}) and should have one of 1: the propensities are not those of "
            "the decisions, or the new router wants what was never tried",
            items,
            effective,
        )
    direct, predicted = _outcome_model(logged, wanted)
    robust = direct + weights * (rewards - predicted)
    return Estimate(
        items=items,
        effective=effective,
        logged=interval(lambda n: (n @ rewards) / n.sum(axis=1)),
        ips=interval(lambda n: (n @ (weights * rewards)) / n.sum(axis=1)),
        snips=interval(lambda n: (n @ (weights * rewards)) / np.maximum(n @ weights, 1e-12)),
        doubly_robust=interval(lambda n: (n @ robust) / n.sum(axis=1)),
    )


def _check(logged: Logged, wanted: Sequence[dict[str, float]]) -> None:
    lengths = {
        len(part)
        for part in (
            *(logged.actions, logged.rewards, logged.propensities, logged.clusters),
            wanted,
        )
    }
    if len(lengths) != 1:
        raise ValueError(f"evaluate_policy: parts of different lengths {sorted(lengths)}")
    if any(not 0 <= reward <= 1 for reward in logged.rewards):
        raise ValueError("evaluate_policy: a reward is not between 0 and 1")
    if any(p is not None and not 0 < p <= 1 for p in logged.propensities):
        raise ValueError("evaluate_policy: a propensity is not above 0 and at most 1")
    if any(min(w.values(), default=0) < 0 or sum(w.values()) > 1 + 1e-9 for w in wanted):
        raise ValueError("evaluate_policy: wanted probabilities are negative or add up to above 1")


def _outcome_model(
    logged: Logged, wanted: Sequence[dict[str, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted reward of the wanted and of the logged action, for each task.

    The mean reward of each master over tasks of *other* clusters, shrunk toward the overall mean: a
    model fitted on the task itself would bias the estimate.
    """
    total: dict[str, float] = defaultdict(float)
    count: dict[str, int] = defaultdict(int)
    own_total: dict[tuple[str, str], float] = defaultdict(float)
    own_count: dict[tuple[str, str], int] = defaultdict(int)
    for action, reward, cluster in zip(
        logged.actions, logged.rewards, logged.clusters, strict=True
    ):
        total[action] += reward
        count[action] += 1
        own_total[cluster, action] += reward
        own_count[cluster, action] += 1
    overall = sum(total.values()) / max(sum(count.values()), 1)

    def expected(action: str, cluster: str) -> float:
        others = count.get(action, 0) - own_count.get((cluster, action), 0)
        reward = total.get(action, 0.0) - own_total.get((cluster, action), 0.0)
        return (reward + overall) / (others + 1)

    predicted = [expected(a, c) for a, c in zip(logged.actions, logged.clusters, strict=True)]
    direct = [
        sum(share * expected(action, cluster) for action, share in sorted(want.items()))
        for want, cluster in zip(wanted, logged.clusters, strict=True)
    ]
    return np.array(direct), np.array(predicted)


def _draws(clusters: Sequence[str], settings: EvaluationSettings) -> tuple[np.ndarray, int, int]:
    """Cluster number of each decision, number of clusters, and seed of the bootstrap."""
    numbers: dict[str, int] = {}
    place = np.array([numbers.setdefault(name, len(numbers)) for name in clusters])
    return place, len(numbers), settings.seed


def _interval(
    figure: Callable[[np.ndarray], np.ndarray],
    items: int,
    draws: tuple[np.ndarray, int, int],
    settings: EvaluationSettings,
) -> Interval:
    place, clusters, seed = draws
    random = np.random.default_rng(seed)
    figures = []
    for start in range(0, settings.resamples, _CHUNK):
        size = min(_CHUNK, settings.resamples - start)
        drawn = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=size)
        figures.append(figure(drawn[:, place].astype(np.float64)))
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(np.concatenate(figures), [tail, 1 - tail])
    estimate = float(figure(np.ones((1, items)))[0])
    return Interval(estimate, float(low), float(high), settings.confidence)
