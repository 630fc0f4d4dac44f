import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.cli.main import main
from cortex_pipelines.statistics import off_policy
from cortex_pipelines_tests.evaluation.workshop import PARAMETERS
from cortex_pipelines_tests.messages import missing

SETTINGS = PARAMETERS.evaluation.model_copy(update={"resamples": 300, "seed": 1})
SUPPORT = (50, 30)  # least decisions, and least effective sample size
MASTERS = ("a", "b", "c")
CHANCE = np.array([[0.9, 0.4, 0.1], [0.2, 0.7, 0.5]])
"""Chance of success of each master at tasks of two sorts."""
VALUE = (0.9 + 0.7) / 2
"""Success of a router that sends the first sort to a and the second to b."""


def draw_actions(random: np.random.Generator, policy: np.ndarray) -> np.ndarray:
    """An action of each row of a policy."""
    return (random.random(len(policy))[:, None] > policy.cumsum(axis=1)).sum(axis=1)


def bandit(seed: int, items: int = 500, **changed: Any) -> tuple[off_policy.LoggedDecisions, list[dict[str, float]]]:
    """A log of a randomised router that mostly takes the wrong master."""
    random = np.random.default_rng(seed)
    sort = random.integers(0, 2, size=items)
    policy = np.array([[0.3, 0.2, 0.5], [0.3, 0.25, 0.45]])[sort]
    action = draw_actions(random, policy)
    reward = (random.random(items) < CHANCE[sort, action]).astype(float)
    parts = {
        "actions": [MASTERS[n] for n in action],
        "rewards": reward.tolist(),
        "propensities": policy[np.arange(items), action].tolist(),
        "clusters": [str(n) for n in range(items)],
    }
    return off_policy.LoggedDecisions(**{**parts, **changed}), [{MASTERS[n]: 1.0} for n in sort]


def test_the_intervals_cover_the_known_value() -> None:
    covered = {"ips": 0, "snips": 0, "doubly_robust": 0}
    middle = dict.fromkeys(covered, 0.0)
    runs = 40
    for seed in range(runs):
        estimate = off_policy.evaluate_policy(*bandit(seed), *SUPPORT, SETTINGS)
        if isinstance(estimate, off_policy.Refusal):
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


def test_the_router_that_took_the_decisions_is_worth_its_own_log_with_wider_intervals_for_repeats() -> None:
    logged, _ = bandit(1)
    shares = dict(zip(MASTERS, (0.3, 0.2, 0.5), strict=True))
    identical = off_policy.LoggedDecisions(
        logged.actions, logged.rewards, [shares[a] for a in logged.actions], logged.clusters
    )
    estimate = off_policy.evaluate_policy(identical, [shares] * len(identical.actions), *SUPPORT, SETTINGS)
    assert isinstance(estimate, off_policy.Estimate)
    assert estimate.effective == pytest.approx(500)
    assert estimate.ips.estimate == estimate.snips.estimate == pytest.approx(estimate.logged.estimate)
    assert estimate.doubly_robust.estimate == pytest.approx(estimate.logged.estimate, abs=0.02)
    assert (estimate.ips.low, estimate.ips.high) == (estimate.logged.low, estimate.logged.high)
    logged, target_policy = bandit(2)
    alone = off_policy.evaluate_policy(logged, target_policy, *SUPPORT, SETTINGS)
    thrice = off_policy.LoggedDecisions(*(list(part) * 3 for part in vars(logged).values()))
    again = off_policy.evaluate_policy(thrice, target_policy * 3, *SUPPORT, SETTINGS)
    assert isinstance(alone, off_policy.Estimate)
    assert isinstance(again, off_policy.Estimate)
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
    estimate = off_policy.evaluate_policy(*bandit(3, **case), *SUPPORT, SETTINGS)
    assert isinstance(estimate, off_policy.Refusal)
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
        off_policy.evaluate_policy(*bandit(4, **case), *SUPPORT, SETTINGS)


def test_probabilities_above_one_are_an_error() -> None:
    logged, target_policy = bandit(5)
    with pytest.raises(ValueError, match="add up"):
        off_policy.evaluate_policy(logged, [{"a": 0.8, "b": 0.8}] * len(target_policy), *SUPPORT, SETTINGS)


Bandit = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray, np.ndarray]]


def logged_bandit(rates: np.ndarray, old: np.ndarray, new: np.ndarray) -> Bandit:
    """Logs of decisions of ``old`` by sort of task; shapes (sorts, actions)."""

    def log(random: np.random.Generator, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sort = random.integers(0, len(rates), size=items)
        action = draw_actions(random, old[sort])
        rewards = (random.random(items) < rates[sort, action]).astype(float)
        return rewards, old[sort, action], new[sort, action]

    return log


RATES = np.array([[0.9, 0.4, 0.1, 0.2], [0.2, 0.7, 0.5, 0.1]])
UNIFORM = np.full((2, 4), 0.25)
GREEDY = np.array([[0.97, 0.01, 0.01, 0.01], [0.97, 0.01, 0.01, 0.01]])
BEST = np.eye(4)[[0, 1]]
SOFT = np.array([[0.6, 0.2, 0.1, 0.1], [0.2, 0.5, 0.2, 0.1]])


@pytest.mark.parametrize(
    ("rates", "old", "new", "items"),
    [
        (RATES, UNIFORM, BEST, 200),
        (RATES, SOFT, BEST, 200),
        (RATES, GREEDY, SOFT, 2000),
        (RATES / 40, UNIFORM, BEST, 200),
        (1 - RATES / 40, SOFT, UNIFORM, 500),
    ],
    ids=["uniform", "soft", "greedy", "rare", "nearly-all"],
)
def test_95_percent_intervals_hold_the_value(rates: np.ndarray, old: np.ndarray, new: np.ndarray, items: int) -> None:
    true = float((rates * new).sum(axis=1).mean())
    log, runs = logged_bandit(rates, old, new), 300
    values = [off_policy.value_of_policy(*log(np.random.default_rng(run), items)) for run in range(runs)]
    for estimator in ("snips", "ips"):
        estimates = [getattr(value, estimator) for value in values]
        assert sum(estimate.low <= true <= estimate.high for estimate in estimates) / runs >= 0.93
        assert all(estimate.low <= estimate.value <= estimate.high for estimate in estimates)


@pytest.mark.parametrize("event", [-1.0, 20.0])
@pytest.mark.parametrize("bounded", [False, True])
def test_rare_events_on_any_scale_are_held_or_refused(event: float, bounded: bool) -> None:
    """One decision in a hundred; most logs of 50 have none."""
    log = logged_bandit(np.full((2, 2), 0.01), np.full((2, 2), 0.5), np.array([[0.8, 0.2]] * 2))
    bounds = (min(event, 0.0), max(event, 0.0)) if bounded else None
    covered = []
    for run in range(300):
        happened, propensities, targets = log(np.random.default_rng(run), 50)
        value = off_policy.value_of_policy(event * happened, propensities, targets, bounds)
        if not happened.any() and not bounded:
            assert "every decision has the same reward" in str(value.refused)
        if value.refused is None:
            covered.append(value.snips.low <= 0.01 * event <= value.snips.high)
    assert len(covered) > (250 if bounded else 80)
    assert np.mean(covered) >= 0.95


def test_intervals_become_narrow_and_a_log_of_the_same_policy_is_worth_itself() -> None:
    log = logged_bandit(RATES, UNIFORM, BEST)
    widths = [
        value.snips.high - value.snips.low
        for items in (500, 50_000)
        for value in [off_policy.value_of_policy(*log(np.random.default_rng(1), items))]
    ]
    assert widths[1] == pytest.approx(widths[0] / 10, rel=0.25)
    assert widths[1] < 0.02
    rewards = np.random.default_rng(2).normal(120, 7, size=400)
    same_policy = off_policy.value_of_policy(rewards, np.full(400, 0.3), np.full(400, 0.3))
    assert (same_policy.effective, same_policy.refused) == (pytest.approx(400), None)
    assert same_policy.snips.value == same_policy.ips.value == pytest.approx(rewards.mean())
    assert same_policy.snips.high - same_policy.snips.low < 4


def test_what_was_never_tried_is_refused_and_may_be_worth_anything() -> None:
    """For half of the tasks the new policy takes an action that the log has once in 10,000."""
    old = np.array([[1, 0.0], [0.9999, 0.0001]])
    log = logged_bandit(np.array([[0.5, 0.5], [0.5, 1.0]]), old, np.eye(2))
    value = off_policy.value_of_policy(*log(np.random.default_rng(3), 1000))
    assert "should have one of 1" in str(value.refused)
    assert value.snips.high > 0.7
    assert value.ips.high > 0.7


def write_log(folder: Path, rows: list[Any]) -> str:
    path = folder / "log.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return str(path)


def evaluate_log(folder: Path, rows: list[Any]) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["off-policy", write_log(folder, rows), "--json"])
    assert result.exit_code == 0, result.output
    output: dict[str, Any] = json.loads(result.stdout)
    return output


def test_the_command_prints_estimates(tmp_path: Path) -> None:
    columns = logged_bandit(RATES, SOFT, BEST)(np.random.default_rng(4), 600)
    rows = [
        dict(zip(("reward", "propensity", "target"), row, strict=True))
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]
    output = evaluate_log(tmp_path, rows)
    assert output["refused"] is None
    assert output["snips"]["low"] < 0.8 < output["snips"]["high"]
    assert set(output["ips"]) == {"value", "low", "high"}
    assert 100 < output["effective"] < 600
    result = CliRunner().invoke(main, ["off-policy", write_log(tmp_path, rows)])
    assert "effective sample size" in result.stdout


def test_few_effective_decisions_are_refused_but_shown_and_files_are_named(tmp_path: Path) -> None:
    row = {"reward": True, "propensity": 0.5, "target": 0.5}
    output = evaluate_log(tmp_path, [row] * 3)
    assert "worth 3.0 decisions" in output["refused"]
    assert output["snips"]["value"] == 1
    assert output["snips"]["low"] < 0.5
    never = evaluate_log(tmp_path, [row | {"target": 0}] * 50)
    assert "every target is 0" in never["refused"]
    assert never["snips"] == {"value": None, "low": None, "high": None}
    missing = CliRunner().invoke(main, ["off-policy", str(tmp_path / "none.jsonl")])
    empty = CliRunner().invoke(main, ["off-policy", write_log(tmp_path, [])])
    assert "no such file" in missing.stderr
    assert "holds no decision" in empty.stderr


def test_the_range_of_rewards_may_be_stated(tmp_path: Path) -> None:
    path = write_log(tmp_path, [{"reward": 0, "propensity": 0.5, "target": 0.5}] * 50)

    def ask(*options: str) -> Any:
        return CliRunner().invoke(main, ["off-policy", path, "--json", *options])

    assert "(--low and --high)" in json.loads(ask().stdout)["refused"]
    output = json.loads(ask("--low", "0", "--high", "20").stdout)
    assert (output["refused"], output["snips"]["low"]) == (None, 0)
    assert 1 < output["snips"]["high"] < 5
    assert "needs both ends" in ask("--high", "20").stderr
    assert "not a range of rewards" in ask("--low", "2", "--high", "1").stderr
    assert "from 0 to 0, which are not between" in ask("--low", "1", "--high", "2").stderr


GOOD = {"reward": 0.5, "propensity": 0.5, "target": 1}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (GOOD | {"propensity": 0}, "propensity is 0"),
        (GOOD | {"propensity": 1.5}, "propensity is 1.5"),
        (GOOD | {"target": -0.1}, "target is -0.1"),
        (GOOD | {"target": True}, "target is true"),
        (GOOD | {"reward": "much"}, 'reward is "much"'),
        (GOOD | {"reward": None}, "reward is null"),
        (GOOD | {"reward": 10**400}, "reward is 1000"),
        (GOOD | {"reward": 1e200}, "at most 1e+100"),
        ('{"reward": NaN, "propensity": 0.5, "target": 1}', "reward is NaN"),
        ({"reward": 1, "target": 1}, "has no propensity"),
        ([1, 2, 3], "not a JSON object"),
        ("reward,propensity", "not JSON ("),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, problem: str) -> None:
    result = CliRunner().invoke(main, ["off-policy", write_log(tmp_path, [GOOD, "", line])])
    assert result.exit_code == 1
    assert missing(result.stderr, "log.jsonl line 3", problem) == []


@given(st.lists(st.tuples(st.floats(-1e100, 1e100), st.floats(1e-9, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_every_log_has_ordered_finite_figures(rows: list[tuple[float, float, float]]) -> None:
    value: off_policy.PolicyValue = off_policy.value_of_policy(*np.array(rows).T)
    for estimate in (value.snips, value.ips):
        if estimate.value is not None:
            assert estimate.low is not None
            assert estimate.high is not None
            assert np.isfinite([estimate.low, estimate.value, estimate.high]).all()
            assert estimate.low <= estimate.value <= estimate.high
