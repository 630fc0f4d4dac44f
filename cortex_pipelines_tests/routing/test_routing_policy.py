"""What is sent where, how probable that was, and that the logs give it back."""

import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.config import load_parameters
from cortex_pipelines.coordination.assets import coordination_tables
from cortex_pipelines.coordination.logs import read_logs, take_coordination_pin
from cortex_pipelines.routing.audit.groups import deciding_models, logged_decisions
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.serving.router import Decision, Router
from cortex_pipelines.routing.serving.tasks import read_tasks, route_lines, send
from cortex_pipelines.statistics.off_policy import Estimate, Refusal, Support, evaluate_policy

PARAMETERS = load_parameters(Path(__file__).parents[2])
RULES = {
    "thresholds": {"single_expert": 0.1, "multi_expert": 0.1, "minimum_activation": 0.1},
    "experts": {
        "development": {"activation_keywords": ["fix", "scan"]},
        "security": {"activation_keywords": ["scan", "secrets"]},
    },
}


def decided(shares: dict[str, float], *, abstained: bool = False) -> Decision:
    best = max(shares, key=lambda name: shares[name])
    alternatives = tuple((name, share) for name, share in shares.items() if name != best)
    return Decision(
        *(best, shares[best], 1.0, (), alternatives[:2], "kernel", (), abstained, 0.1, "x"), probabilities=shares
    )


def test_without_exploration_the_best_master_is_certain() -> None:
    routing = send(decided({"a": 0.6, "b": 0.4}), 0.0, random.Random(1))
    assert routing.as_json() == {"routed_to": "a", "propensity": 1.0, "policy": "greedy"}


def test_a_task_for_a_person_is_sent_nowhere() -> None:
    routing = send(decided({"a": 0.6, "b": 0.4}, abstained=True), 1.0, random.Random(1))
    assert (routing.routed_to, routing.propensity) == (None, None)


@given(st.integers(0, 50), st.floats(0.05, 1.0))
def test_masters_are_tried_as_often_as_their_propensity_says(seed: int, explore: float) -> None:
    shares = {"a": 0.7, "b": 0.2, "c": 0.08, "d": 0.02}  # two alternatives are named
    chance = random.Random(seed)
    routings = [send(decided(shares), explore, chance) for _ in range(2000)]
    for name in shares:
        expected = (explore / 3 if name != "d" else 0.0) + (1 - explore) * (name == "a")
        to_master = [routing for routing in routings if routing.routed_to == name]
        assert all(routing.propensity == pytest.approx(expected) for routing in to_master)
        assert abs(len(to_master) / 2000 - expected) < 5 * (0.25 / 2000) ** 0.5
    # inverse propensities estimate how many masters there are to draw from
    mean = sum(1 / routing.propensity for routing in routings if routing.propensity) / 2000
    assert mean == pytest.approx(3, abs=30 / (explore * 2000) ** 0.5)


def routed(tmp_path: Path, explore: float) -> tuple[pl.DataFrame, Estimate | Refusal]:
    """Decisions of a router that is put among the logs with the outcomes; and their evaluation."""
    (tmp_path / "rules.json").write_text(json.dumps(RULES))
    logs = tmp_path / "logs"
    logs.mkdir()
    titles = {f"t{n}": f"scan number {n} of its sort" for n in range(600)}
    tasks = [{"task_id": task, "title": title} for task, title in titles.items()]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    router = Router.from_rules(tmp_path / "rules.json", None)
    lines = route_lines(router, read_tasks(tmp_path / "tasks.jsonl"), explore, random.Random(3))
    (logs / "decisions.jsonl").write_text("\n".join(lines))
    ends = [
        {
            **{"task_id": answer["task_id"], "task_title": titles[answer["task_id"]]},
            **{"master": answer["routed_to"], "success": answer["routed_to"] == "security"},
        }
        for answer in map(json.loads, lines)
    ]
    (logs / "outcomes.jsonl").write_text("\n".join(map(json.dumps, ends)))
    pin = take_coordination_pin(logs, logs, PARAMETERS.privacy)
    read = read_logs(logs, pin, PARAMETERS.coordination, PARAMETERS.privacy)
    assert read.rejected.height == 0
    read.events.write_parquet(tmp_path / "events.parquet")
    tables = coordination_tables(tmp_path, PARAMETERS.coordination, PARAMETERS.log_tables)
    logged_attempts = attempts(tables["decisions"], tables["outcomes"], tables["features"], PARAMETERS.predictors)
    scores = pl.DataFrame(
        [{"text": title, "decided_by": "kernel", "challenger": "security"} for title in titles.values()]
    )
    logged, policy = logged_decisions(logged_attempts, tables["decisions"], scores)
    assert len(logged.actions) == 600
    estimate = evaluate_policy(logged, policy, Support(50, 20), PARAMETERS.evaluation)
    return tables["decisions"], estimate


def test_written_decisions_are_read_as_logs_with_their_propensity(tmp_path: Path) -> None:
    decisions, estimate = routed(tmp_path, explore=0.5)
    assert decisions.height == 600
    assert deciding_models(decisions) == {"rules": 600}
    assert set(decisions["propensity"].round(6)) == {0.75, 0.25}
    assert isinstance(estimate, Estimate)
    # security succeeds always; the router that was logged sent a quarter or three quarters there
    assert estimate.snips.estimate == pytest.approx(1.0)
    assert estimate.logged.estimate < 0.9


def test_a_log_without_exploration_supports_no_estimate(tmp_path: Path) -> None:
    decisions, estimate = routed(tmp_path, explore=0.0)
    assert set(decisions["propensity"]) == {1.0}
    assert isinstance(estimate, Refusal)
    assert "never tried anything else" in estimate.reason
