"""Experiments: who is answered by what, what is counted, how they end, and what is refused."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from cortex_pipelines.release.experiments import running
from cortex_pipelines.release.experiments.analysis import ExperimentCounts
from cortex_pipelines.release.experiments.plan import ExperimentError, ExperimentLog, ExperimentSpec, append
from cortex_pipelines.release.experiments.running import AnswerLog, Assignment, Experiments
from cortex_pipelines.serving import rollout
from cortex_pipelines.serving.catalogue import Catalogue, ServedModel, Split, with_ways
from cortex_pipelines.serving.engines.engine import AdapterFiles
from cortex_pipelines.serving.project_catalogue import attach_experiment
from cortex_pipelines.serving.requests import AnswerBackend
from cortex_pipelines_tests.parameters import load_cases
from cortex_pipelines_tests.serving import tinygateway

CASES = load_cases(__file__)
USUAL: dict[str, Any] = CASES["USUAL"]
PLAN = ExperimentSpec("shop-1", "shop", "1.2.0", "base", begun="2026-01-02T03:04:05", by="anna", **USUAL)
MISSING = Mock(side_effect=LookupError("the adapter's files are gone"))


def models(home: Path, broken: bool = False) -> dict[str, ServedModel]:
    """The tiny project with a release 1.2.0 that is champion, and 1.1.0 before it."""
    served = dict(tinygateway.catalogue(home).models)
    details = {"project": "shop", "number": "1.2.0"}
    shop = replace(served["shop"], details=details)
    if broken:
        shop = replace(shop, adapter=lambda _: AdapterFiles("broken.dir", MISSING))
    shop = with_ways(shop, "index.dir", home / "data" / "completion")
    other = with_ways(replace(served["docs"], details=details | {"number": "1.1.0"}), None, None)
    served |= {name: replace(shop, name=name) for name in ("shop@champion", "shop@1.2.0")}
    served["shop@challenger"] = replace(shop, details=details | {"number": None})
    return served | {"shop": shop, "shop@1.1.0": replace(other, name="shop@1.1.0")}


@pytest.fixture(autouse=True)
def _same_arms_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment's id, which decides who gets which arm, is made of the time of its start."""
    monkeypatch.setattr(rollout, "datetime", Mock(now=lambda zone: datetime(2026, 1, 2, 3, 4, 5, tzinfo=zone)))


@pytest.fixture
def serve(home: Path, tmp_path: Path) -> Callable[..., Any]:
    log = running.experiment_log(tmp_path)

    def catalogue(broken: bool) -> Catalogue:
        served = models(home, broken)
        for entry in log.entries():
            if entry.end is None:
                attach_experiment(served, entry.plan)
        return replace(tinygateway.catalogue(home), models=served)

    def stamp() -> int:
        return log.path.stat().st_size if log.path.exists() else 0

    @contextmanager
    def opened(broken: bool = False, full: bool = False, **changes: Any) -> Iterator[TestClient]:
        def finish(plan: ExperimentSpec, result: Any) -> None:
            running.finish(tmp_path, plan, result)

        counting = Experiments(log, finish)
        gateway = tinygateway.open_tiny(
            home, log.state, lambda: catalogue(broken), stamp, experiments=counting, **changes
        )
        if full:
            gateway.engine._settings = gateway.engine._settings.model_copy(update={"waiting": 0})
        with tinygateway.web_client(gateway) as client:
            yield client

    return opened


def start(root: Path, home: Path, a: str = "champion", b: str = "base", **changes: Any) -> ExperimentSpec:
    return rollout.start_experiment(root, models(home), "shop", a, b, **(USUAL | changes))


def ask(client: TestClient, user: str, **changes: Any) -> Any:
    body = {"model": "shop", "prompt": "def f():\n", "max_tokens": 2, "user": user, **changes}
    return client.post("/v1/completions", json=body)


def state(root: Path) -> dict[str, Any]:
    (entry,) = running.experiment_log(root).entries()
    return running.experiment_state(root, entry)


def test_an_answer_names_its_arm_and_how_likely_it_was(home: Path) -> None:
    usual = {"metric": "accepted", "smallest": 0.1, "most_answers": 9, "tolerance": 0.1}
    words = {"begun": "", "by": "", "why": "", "slowest": None}
    plan = ExperimentSpec("shop-1", "shop", "1.0.0", "base", share=0.25, **usual, **words)
    answering = AnswerBackend(models(home)["shop"], "adapter", None, "")
    assert answering.variant_propensity == (None, None)
    for arm, share in (("a", 0.75), ("b", 0.25)):
        assert replace(answering, assigned=Assignment(plan, arm, "unit")).variant_propensity == (f"shop-1:{arm}", share)
    for strategy, share in (("canary", 0.25), ("shadow", 0.0)):
        split = Split("shop", "2.dir", {"strategy": strategy, "share": 0.25}, "")
        assert replace(answering, trial=(split, "canary")).variant_propensity == ("canary", share)
        assert replace(answering, trial=(split, "champion")).variant_propensity == ("champion", 1 - share)


def test_users_keep_their_arm_and_votes_count(home: Path, tmp_path: Path, serve: Callable[..., Any]) -> None:
    with serve() as client:
        assert ask(client, "anna").headers["x-cortex-way"] == "adapter"
        plan = start(tmp_path, home)  # and the gateway needs no restart
        arms_by_user: dict[str, set[str]] = {}
        for number in range(24):
            user = f"user-{number % 8}"
            answer = ask(client, user, prompt=f"x = {number // 4}\n", stream=number % 3 == 0)
            arms_by_user.setdefault(user, set()).add(answer.headers["x-cortex-way"])
        assert all(len(ways) == 1 for ways in arms_by_user.values())
        assert set().union(*arms_by_user.values()) == {"adapter", "base"}
        arms = {user: plan.arm(plan.unit(user)) for user in arms_by_user}
        treated_user = next(user for user in sorted(arms) if arms[user] == "b")
        answer = ask(client, treated_user).json()["id"]
        voted = {"vote": "up", "completion_id": answer}
        for _ in range(2):
            assert client.post("/feedback", json=voted).status_code == 200
        other = {"segments": {"prefix": "def g():\n"}, "model": "shop", "user": treated_user}
        tabby = client.post("/v1/completions", json=other).json()["id"]
        client.post("/v1/events", json={"type": "select", "completion_id": tabby})
        client.post("/v1/events", json={"type": "view", "completion_id": tabby})
        client.post("/feedback", json={"vote": "up", "completion_id": "cmpl-unknown"})
        report = state(tmp_path)
        assert sum({arm: counts_of_arm["answers"] for arm, counts_of_arm in report["arms"].items()}.values()) == 26
        assert sum(counts_of_arm["good"] for counts_of_arm in report["arms"].values()) == 2
        assert sum(counts_of_arm["users"] for counts_of_arm in report["arms"].values()) == 8
        row = next(r for r in client.get("/overview").json()["models"] if r["name"] == "shop")
        assert row["experiment"]["arms"] == report["arms"]
        page = client.get("/metrics").text
        assert 'cortex_experiment_answers_total{outcome="answered",project="shop",variant="b"}' in page
        assert 'vote="up"' in page
        end = running.stop(tmp_path, "shop", "seen enough").end
        assert (end.outcome, end.figures["arms"]) == ("stopped", report["arms"])
        assert ask(client, treated_user).headers["x-cortex-way"] == "adapter"
        assert state(tmp_path)["arms"] == report["arms"]
    text = (running.experiment_log(tmp_path).answers(plan)).read_text()
    assert treated_user not in text
    assert "def f" not in text


def test_an_answer_given_before_counts_and_one_that_is_refused(home: Path, tmp_path, serve: Callable[..., Any]) -> None:
    start(tmp_path, home, "1.2.0", "1.2.0", metric="answered")
    with serve(cached_mib=1) as client:
        hits = [ask(client, "anna").headers.get("x-cortex-cache") for _ in range(3)]
    assert hits == [None, "hit", "hit"]
    with serve(full=True) as client:
        assert ask(client, "anna", stream=True).status_code == 429
    arms = state(tmp_path)["arms"].values()
    assert sum(arm["answers"] for arm in arms) == 4
    assert (sum(s["withheld"] for s in arms), sum(s["good"] for s in arms)) == (1, 3)


def test_an_arm_that_cannot_answer_is_stopped_by_the_guardrail(home: Path, tmp_path, serve: Callable[..., Any]) -> None:
    start(tmp_path, home, "1.1.0", "1.2.0")
    with serve(broken=True) as client:
        for number in range(200):
            assert ask(client, f"user-{number}", prompt=f"y = {number}\n").status_code == 200
            if state(tmp_path)["state"] != "running":
                break
    report = state(tmp_path)
    assert (report["state"], report["by"]) == ("guardrail", "gateway")
    assert (report["arms"]["b"]["failed"], report["arms"]["a"]["failed"]) == (report["arms"]["b"]["answers"], 0)
    assert "where 5.0% is tolerated" in report["reason"]


def lines(count: int, good: dict[str, float], **changes: Any) -> Iterator[dict[str, Any]]:
    """A log with users of ten answers each, of whose share one kind is accepted."""
    chance = random.Random(0)
    usual = {"became": "answered", "flagged": False, "seconds": 0.1}
    for number in range(count):
        unit = PLAN.unit(f"user-{number // 10}")
        arm = PLAN.arm(unit)
        arm_changes = {name: value[arm] for name, value in changes.items()}
        yield {"id": f"{number:x}", "unit": unit, "arm": arm, **usual, **arm_changes}
        if chance.random() < good[arm]:
            yield {"id": f"{number:x}", "vote": "up"}


@pytest.mark.parametrize(("outcome", "good", "changes", "plan"), CASES["how_an_experiment_ends"])
def test_how_an_experiment_ends(outcome: str, good: dict[str, float], changes: dict[str, Any], plan) -> None:
    tally = ExperimentCounts(replace(PLAN, **plan))
    result = None
    for line in lines(6000, good, **changes):
        tally.add(line)
        if (result := tally.result()) is not None:
            break
    assert result.outcome == outcome, result.reason
    assert sum(arm["users"] for arm in tally.metrics()["arms"].values()) >= 20 or outcome == "guardrail"


def test_nothing_is_lost_or_counted_twice_by_a_kill(tmp_path: Path) -> None:
    log, ends = ExperimentLog(tmp_path), []

    def full(*_: Any) -> None:
        ends.append(_)
        raise OSError("the disk is full")

    all_lines = list(lines(900, {"a": 0.2, "b": 0.9}))
    first = Experiments(log, full)
    for line in all_lines[:400]:
        send(first, line)
    path = log.answers(PLAN)
    with path.open("ab") as file:  # killed while it wrote
        file.write(b'{"id": "9999", "arm": "a", "un')
    second = Experiments(log, full)
    for line in all_lines[390:]:  # and the last ten come again
        send(second, line)
    second.close()
    expected = ExperimentCounts(PLAN)
    for line in all_lines:
        expected.add(line)
    assert second.metrics(PLAN) == expected.metrics() == AnswerLog(PLAN, path).read().metrics()
    assert first.metrics(PLAN) == expected.metrics(), "two processes see the same"
    assert ends, "the end could not be written, and was tried again"
    conclusions: list[Any] = []
    third = Experiments(log, lambda *end: conclusions.append(end))
    send(third, {**all_lines[0], "id": "new"})
    third.close()
    send(third, {**all_lines[0], "id": "newer"})
    third.close()
    assert [(plan.id, result.outcome) for plan, result in conclusions] == [("shop-1", "better")]


def test_what_was_counted_stands_after_a_kill(tmp_path: Path) -> None:
    answered = 0
    for name in ("first", "second"):
        words = [sys.executable, "-c", CASES["COUNTING"], str(tmp_path), repr(vars(PLAN)), name]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=tinygateway.ROOT)
        for _ in range(200):
            process.stdout.readline()
        process.kill()
        answered += 200 + len(process.stdout.read().split(b"\n")) - 1
        process.wait()
    arms = AnswerLog(PLAN, ExperimentLog(tmp_path).answers(PLAN)).read().metrics()["arms"]
    # each process may have been killed between a line and its report of it
    assert answered <= sum(arm["answers"] for arm in arms.values()) <= answered + 2
    assert sum(arm["users"] for arm in arms.values()) == 30


def send(experiments: Experiments, line: dict[str, Any]) -> None:
    if "vote" in line:
        experiments.vote(PLAN, line["id"], line["vote"])
        return
    assignment = Assignment(PLAN, line["arm"], line["unit"])
    experiments.add(assignment, line["id"], line["became"], line["flagged"], line["seconds"])


def test_votes_are_settled_by_the_last_one() -> None:
    tally = ExperimentCounts(replace(PLAN, metric="answered"))
    tally.add({"id": "1", "vote": "down"})  # of an answer that is not here
    tally.add({"id": "1", "arm": "b", "unit": "", "became": "answered", "flagged": False, "seconds": 1.0})
    reports = []
    for vote in ("down", "down", "dismissed", "up", "down"):
        tally.add({"id": "1", "vote": vote})
        reports.append(tally.metrics()["arms"]["b"]["good"])
    assert reports == [0, 0, 1, 1, 0]


def test_the_share_is_kept_and_each_experiment_divides_anew() -> None:
    plan = replace(PLAN, share=0.2)
    users = [f"user-{number}" for number in range(10_000)]
    arms = [plan.arm(plan.unit(user)) for user in users]
    assert abs(arms.count("b") - 2000) < 4 * (10_000 * 0.2 * 0.8) ** 0.5
    assert abs([plan.arm("") for _ in users].count("b") - 2000) < 160
    again = replace(plan, id="shop-2")
    assert [again.arm(again.unit(user)) for user in users] != arms


def test_what_is_refused(home: Path, tmp_path: Path) -> None:
    def refused(words: str, *sides: str, **changes: Any) -> None:
        with pytest.raises(ExperimentError, match=words):
            start(tmp_path, home, *sides, **changes)

    refused("shop has no release 9.0.0; there is: 1.1.0, 1.2.0, champion, base", "9.0.0")
    refused("challenger is not released", "champion", "challenger")
    refused("no way rules; ways: base, context, adapter, both", "champion:rules")
    refused("leaves one side without answers", share=0.0)
    refused("leaves one side without answers", share=float("nan"))
    refused("--smallest is a share", smallest=1.5)
    refused("have to be above 0", most_answers=0)
    served = models(home)
    with pytest.raises(ExperimentError, match=r"no project shelf; projects: .*, shop"):
        rollout.start_experiment(tmp_path, served, "shelf", "base", "base", **USUAL)
    served["shop"] = replace(served["shop"], split=Split("shop", "docs.dir", {}, "now"))
    with pytest.raises(ExperimentError, match="shop has a canary"):
        rollout.start_experiment(tmp_path, served, "shop", "base", "base", **USUAL)
    with pytest.raises(ExperimentError, match="no experiment is under way on shop"):
        running.stop(tmp_path, "shop", "")
    assert not running.experiment_log(tmp_path).path.exists()
    plan = start(tmp_path, home, "champion:adapter", "1.1.0")
    assert (plan.a, plan.b) == ("1.2.0:adapter", "1.1.0"), "a promotion moves neither"
    refused("is under the experiment shop-.* already")
    running.stop_for_release(tmp_path, "docs", "promoted")
    assert running.experiment_log(tmp_path).running("shop") == plan
    running.stop_for_release(tmp_path, "shop", "1.3.0 is champion")
    (entry,) = running.experiment_log(tmp_path).entries()
    assert (entry.end.outcome, entry.end.reason) == ("stopped", "1.3.0 is champion")
    start(tmp_path, home)


def test_a_plan_whose_release_is_gone_waits(home: Path, tmp_path: Path, serve: Callable[..., Any]) -> None:
    append(running.experiment_log(tmp_path).path, vars(replace(PLAN, a="7.7.7")))
    with serve() as client:
        answer = ask(client, "anna")
        assert (answer.status_code, answer.headers["x-cortex-way"]) == (200, "adapter")
