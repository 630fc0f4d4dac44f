import json
import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_pipelines.routing.audit.groups import deciding_models, logged_decisions
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.serving.router import Decision, Router
from cortex_pipelines.routing.serving.tasks import Task, TaskFileError, find_rules, read_tasks, route_lines, send
from cortex_pipelines.statistics.off_policy import Estimate, Refusal, evaluate_policy
from cortex_pipelines_tests.messages import missing, refusal
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.routing.logs import PARAMETERS, write_tables

CASES = load_cases(__file__)

RULES = CASES["RULES"]
KEYS = CASES["KEYS"]


@pytest.fixture(scope="module")
def by_rules(tmp_path_factory: pytest.TempPathFactory) -> Router:
    file = tmp_path_factory.mktemp("rules") / "routing-patterns.json"
    file.write_text(json.dumps(RULES))
    return Router.from_rules(file, None)


def test_tasks_are_read_in_order_with_their_ids_even_without_a_text(tmp_path: Path, by_rules: Router) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(
        '{"task_id": 7.0, "task_title": "ä", "description": "no"}\r\n{"title": " ", "text": "b"}\n'
        '{"description": "c", "task_id": "ö"}\n\n'.encode()
    )
    assert read_tasks(file) == [Task("7.0", "ä"), Task("null", "b"), Task('"ö"', "c")]
    file.write_bytes(b"\n")
    assert read_tasks(file) == []
    assert "cannot be read" in refusal(TaskFileError, read_tasks, tmp_path / "none.jsonl")
    file = tmp_path / "tasks.jsonl"
    file.write_text('{"task_id": "t-9"}\n')
    (answer,) = map(json.loads, route_lines(by_rules, read_tasks(file)))
    assert (answer["task_id"], set(answer)) == ("t-9", {"task_id", "error"})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"[1]", "a list"),
        (b"1", "a number"),
        (b"{}", "no text"),
        (b'{"title": 3}', "no text"),
        (b"\xff", "not JSON"),
        (b"[" * 99999, "not JSON"),
        (b'{"task_id": {"a": 1}, "title": "x"}', "nested"),
        (b'{"task_id": NaN, "title": "x"}', "not JSON"),
    ],
)
def test_a_bad_line_is_an_error_at_its_place(tmp_path: Path, by_rules: Router, line: bytes, words: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b'{"title": "fix"}\n' + line + b'\n{"task_id": 2, "title": "fix"}\n')
    first, bad, last = map(json.loads, route_lines(by_rules, read_tasks(file)))
    assert first["master"] == last["master"] == "development"
    assert last["task_id"] == 2
    assert missing(bad["error"], words, "line 2") == []


@pytest.mark.parametrize("written", ["1", "1.0", "1e2", "-0", "123456789012345678901", '"é"'])
def test_ids_come_back_as_they_were_written(tmp_path: Path, by_rules: Router, written: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(f'{{"task_id": {written}, "title": "fix the bug"}}\n')
    (line,) = route_lines(by_rules, read_tasks(file))
    assert (line.startswith(f'{{"task_id": {written}, "master": "development"'), list(json.loads(line))) == (True, KEYS)


identifiers = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(0, 1e9))


@given(st.lists(st.tuples(identifiers, st.text()), max_size=8))
def test_any_ids_and_texts_come_back_in_order(
    by_rules: Router, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, str]]
) -> None:
    file = tmp_path_factory.mktemp("tasks") / "tasks.jsonl"
    lines = [json.dumps({"task_id": task_id, "title": text}) for task_id, text in rows]
    file.write_text("".join(f"{line}\n" for line in lines))
    lines_out = route_lines(by_rules, read_tasks(file))
    assert [json.loads(line)["task_id"] for line in lines_out] == [task_id for task_id, _ in rows]
    for line in lines_out:
        line.encode("utf-8")
        assert "\n" not in line


def test_rules_are_found_nearest_to_the_top(tmp_path: Path) -> None:
    assert find_rules(tmp_path) is None
    for folder in ("b", "a/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "routing-patterns.json").write_text("{}")
    assert find_rules(tmp_path) == tmp_path / "b" / "routing-patterns.json"


POLICY_RULES = CASES["POLICY_RULES"]


def decided(shares: dict[str, float], *, abstained: bool = False) -> Decision:
    best = max(shares, key=lambda name: shares[name])
    alternatives = tuple((name, share) for name, share in shares.items() if name != best)
    return Decision(
        *(best, shares[best], 1.0, (), alternatives[:2], "kernel", (), abstained, 0.1, "x"), probabilities=shares
    )


def test_without_exploration_the_best_master_is_certain_and_a_person_s_task_not_sent() -> None:
    routing = send(decided({"a": 0.6, "b": 0.4}), 0.0, random.Random(1))
    assert routing.as_json() == {"routed_to": "a", "propensity": 1.0, "policy": "greedy"}
    routing = send(decided({"a": 0.6, "b": 0.4}, abstained=True), 1.0, random.Random(1))
    assert (routing.routed_to, routing.propensity) == (None, None)


@settings(max_examples=25)
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
    (tmp_path / "rules.json").write_text(json.dumps(POLICY_RULES))
    logs = tmp_path / "logs"
    logs.mkdir()
    titles = {f"t{n}": f"scan number {n} of its sort" for n in range(600)}
    tasks = [{"task_id": task, "title": title} for task, title in titles.items()]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    router = Router.from_rules(tmp_path / "rules.json", None)
    lines = route_lines(router, read_tasks(tmp_path / "tasks.jsonl"), explore, random.Random(3))
    (logs / "decisions.jsonl").write_text("\n".join(lines))
    answers = {answer["task_id"]: answer["routed_to"] for answer in map(json.loads, lines)}
    ends = [
        {"task_id": task, "task_title": titles[task], "master": master, "success": master == "security"}
        for task, master in answers.items()
    ]
    (logs / "outcomes.jsonl").write_text("\n".join(map(json.dumps, ends)))
    tables = write_tables(tmp_path, logs)
    logged_attempts = attempts(
        tables["decisions"], tables["outcomes"], tables["features"], PARAMETERS.predictors.complexity_words
    )
    rows = [{"text": title, "decided_by": "kernel", "challenger": "security"} for title in titles.values()]
    scores = pl.DataFrame(rows)
    logged, policy = logged_decisions(logged_attempts, tables["decisions"], scores)
    assert len(logged.actions) == 600
    estimate = evaluate_policy(logged, policy, 50, 20, PARAMETERS.evaluation)
    return tables["decisions"], estimate


def test_written_decisions_are_read_as_logs_with_their_propensity(tmp_path: Path) -> None:
    decisions, estimate = routed(tmp_path, explore=0.5)
    assert (decisions.height, deciding_models(decisions)) == (600, {"rules": 600})
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
