"""Off-policy estimates: correct on a bandit of known value, refused without enough support."""

from typing import Any

import numpy as np
import pytest

from cortex_pipelines.statistics.off_policy import Estimate, LoggedDecisions, Refusal, Support, evaluate_policy
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS

SETTINGS = PARAMETERS.evaluation.model_copy(update={"resamples": 300, "seed": 1})
SUPPORT = Support(min_items=50, min_effective=30)
MASTERS = ("a", "b", "c")
CHANCE = np.array([[0.9, 0.4, 0.1], [0.2, 0.7, 0.5]])
"""Chance of success of each master at tasks of two sorts."""
VALUE = (0.9 + 0.7) / 2
"""Success of a router that sends the first sort to a and the second to b."""


def bandit(seed: int, items: int = 500, **changed: Any) -> tuple[LoggedDecisions, list[dict[str, float]]]:
    """A log of a randomised router that mostly takes the wrong master."""
    random = np.random.default_rng(seed)
    sort = random.integers(0, 2, size=items)
    policy = np.array([[0.3, 0.2, 0.5], [0.3, 0.25, 0.45]])[sort]
    action = (random.random(items)[:, None] > policy.cumsum(axis=1)).sum(axis=1)
    reward = (random.random(items) < CHANCE[sort, action]).astype(float)
    parts = {
        "actions": [MASTERS[n] for n in action],
        "rewards": reward.tolist(),
        "propensities": policy[np.arange(items), action].tolist(),
        "clusters": [str(n) for n in range(items)],
    }
    return LoggedDecisions(**{**parts, **changed}), [{MASTERS[n]: 1.0} for n in sort]


def test_the_intervals_cover_the_known_value() -> None:
    covered = {"ips": 0, "snips": 0, "doubly_robust": 0}
    middle = dict.fromkeys(covered, 0.0)
    runs = 40
    for seed in range(runs):
        estimate = evaluate_policy(*bandit(seed), SUPPORT, SETTINGS)
        if isinstance(estimate, Refusal):
            assert "weights have a mean" in estimate.reason  # a draw of five in a hundred
            runs -= 1
            continue
        for name in covered:
            interval = getattr(estimate, name)
            covered[name] += interval.low <= VALUE <= interval.high
            middle[name] += interval.estimate
    assert runs > 30
    assert min(covered.values()) / runs >= 0.87
    assert all(total / runs == pytest.approx(VALUE, abs=0.02) for total in middle.values())


def test_the_router_that_took_the_decisions_is_worth_its_own_log() -> None:
    logged, _ = bandit(1)
    shares = dict(zip(MASTERS, (0.3, 0.2, 0.5), strict=True))
    identical = LoggedDecisions(logged.actions, logged.rewards, [shares[a] for a in logged.actions], logged.clusters)
    estimate = evaluate_policy(identical, [shares] * len(identical.actions), SUPPORT, SETTINGS)
    assert isinstance(estimate, Estimate)
    assert estimate.effective == pytest.approx(500)
    assert estimate.ips.estimate == estimate.snips.estimate == pytest.approx(estimate.logged.estimate)
    assert estimate.doubly_robust.estimate == pytest.approx(estimate.logged.estimate, abs=0.02)
    assert (estimate.ips.low, estimate.ips.high) == (estimate.logged.low, estimate.logged.high)


def test_tasks_that_come_again_make_the_interval_wider() -> None:
    logged, target_policy = bandit(2)
    alone = evaluate_policy(logged, target_policy, SUPPORT, SETTINGS)
    thrice = LoggedDecisions(*(list(part) * 3 for part in vars(logged).values()))
    again = evaluate_policy(thrice, target_policy * 3, SUPPORT, SETTINGS)
    assert isinstance(alone, Estimate)
    assert isinstance(again, Estimate)
    assert (again.snips.low, again.snips.high) == pytest.approx((alone.snips.low, alone.snips.high))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"items": 20}, "at least 50 are needed"),
        ({"propensities": [0.5] * 499 + [None]}, "1 of 500 decisions were logged without"),
        ({"propensities": [1.0] * 500}, "never tried anything else"),
        ({"actions": ["d"] * 500}, "seldom tried what the new one wants"),
        ({"propensities": [0.9] * 500}, "should have one of 1"),
    ],
)
def test_a_log_that_supports_no_estimate_is_refused_with_the_reason(case: dict[str, Any], reason: str) -> None:
    estimate = evaluate_policy(*bandit(3, **case), SUPPORT, SETTINGS)
    assert isinstance(estimate, Refusal)
    assert reason in estimate.reason
    assert estimate.items == case.get("items", 500)


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ({"rewards": [2.0] * 500}, "reward"),
        ({"propensities": [0.0] * 500}, "propensity"),
        ({"clusters": ["x"]}, "lengths"),
    ],
)
def test_what_is_no_log_is_an_error(case: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evaluate_policy(*bandit(4, **case), SUPPORT, SETTINGS)


def test_probabilities_above_one_are_an_error() -> None:
    logged, target_policy = bandit(5)
    with pytest.raises(ValueError, match="add up"):
        evaluate_policy(logged, [{"a": 0.8, "b": 0.8}] * len(target_policy), SUPPORT, SETTINGS)
