import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cortex_pipelines.monitoring.policy import RetrainingDecision, last_decisions
from cortex_pipelines.orchestration import nightly
from cortex_pipelines.orchestration.side_by_side import run_stale_at_once
from cortex_pipelines.release.ledger import ReleasedModel
from cortex_pipelines.versioning.dagster import dagster_assets
from cortex_pipelines.versioning.dagster.dagster_assets import Tracker
from cortex_pipelines.versioning.dagster.instance import TRAINING
from cortex_pipelines.versioning.dvc import stages
from cortex_pipelines_tests.orchestration.test_orchestration_runs import open_bench
from cortex_pipelines_tests.versioning import toy
from cortex_pipelines_tests.versioning.toy import NoTracker, Workbench

ALL = {
    "words[a]", "words[b]", "loud[a]", "loud[b]", "tally", "digest", "page[a]", "page[b]"
}  # fmt: skip
MORE = {name: {"title": name} for name in ("new-one", "new_one")}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    monkeypatch.setattr(nightly, "update_pins", lambda root: ["projects.a"])
    monkeypatch.setattr(dagster_assets, "DELAY_SECONDS", 0.0)
    return Workbench.create(tmp_path / "p")


def job(bench: Workbench, tracker: Tracker | None = None) -> dg.JobDefinition:
    return nightly.nightly_job(bench.project(), bench.project, tracker or NoTracker(), None)


def night(
    bench: Workbench,
    of: dg.JobDefinition | None = None,
    tags: dict[str, str] | None = None,
    config: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    return (of or job(bench)).execute_in_process(
        instance=bench.instance(),
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
    )


def steps(result: dg.ExecuteInProcessResult, event: str) -> set[str]:
    return {str(e.step_key) for e in result.all_events if e.event_type_value == event}


def materialised(result: dg.ExecuteInProcessResult) -> set[str]:
    return steps(result, "ASSET_MATERIALIZATION")


def test_each_asset_and_project_is_a_step_and_dagster_agrees_with_dvc(bench: Workbench) -> None:
    first = night(bench)
    assert first.success
    assert materialised(first) == ALL
    assert steps(first, "STEP_SUCCESS") == ALL | {"move_pins", "sources_read", "plan"}
    assert len(bench.lock()) == len(ALL)
    staleness = bench.staleness()
    assert ({staleness.status(*stage)[0] for stage in bench.all_stages()}, bench.sync()) == ({"FRESH"}, 0)
    instance = bench.instance()
    checks = dg.AssetCheckKey(dg.AssetKey("tally"), "tally_contract")
    (check,) = instance.event_log_storage.get_asset_check_execution_history(checks, limit=5)
    assert check.run_id == first.run_id


def test_the_runs_log_view_shows_progress(bench: Workbench) -> None:
    messages = [log.user_message for log in bench.instance().all_logs(night(bench).run_id)]
    assert [text.partition("  2 rows")[0] for text in messages if text.startswith("words ")] == ["words  a", "words  b"]


def test_data_of_all_projects_is_built_at_once_and_models_by_steps(bench: Workbench, monkeypatch) -> None:
    night(bench)
    lock = bench.lock()
    (bench.root / "dvc.lock").unlink()
    shutil.rmtree(bench.root / "data" / "words")
    monkeypatch.setattr(nightly, "models_of", lambda graph: ["digest"])
    project, build_data = bench.project(), partial(run_stale_at_once, open_again=open_bench)
    of = nightly.nightly_job(project, lambda: project, NoTracker(), None, None, build_data)
    result = night(bench, of, {}, {"ops": {nightly.DATA: {"config": {"jobs": 2}}}})
    assert result.success
    assert materialised(result) == {"digest", "page[a]", "page[b]"}
    assert bench.lock() == lock
    # in the order of one job, whichever ended first
    assert list(bench.lock()) == ["words@a", "loud@a", "words@b", "loud@b", "tally", "digest", "page@a", "page@b"]


def test_what_trains_waits_for_a_slot_of_its_pool(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly, "models_of", lambda graph: ["digest"])
    monkeypatch.setattr(nightly, "decide", lambda *_: RetrainingDecision(True, ("so it is told",)))
    project, store = bench.project(), bench.instance().event_log_storage
    store.initialize_concurrency_limit_to_default(TRAINING)
    store.claim_concurrency_slot(TRAINING, "another run", "its step")
    of = nightly.nightly_job(project, lambda: project, NoTracker(), None, TRAINING)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(night, bench, of)
        wait_until(lambda: "tally" in bench.lock())
        time.sleep(2)
        assert "digest" not in bench.lock()
        store.free_concurrency_slots_for_run("another run")
        assert running.result().success
    assert "digest" in bench.lock()


def test_a_quiet_night_says_nothing(bench: Workbench) -> None:
    night(bench)
    quiet = night(bench)
    assert quiet.success
    assert materialised(quiet) == set()
    assert steps(quiet, "STEP_SUCCESS") == {"move_pins", "sources_read", "plan", "tally", "digest"}


def test_what_comes_out_the_same_stops_the_night_there(bench: Workbench) -> None:
    night(bench)
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["two", "one"]))  # other order
    result = night(bench)
    assert result.success
    assert materialised(result) == {"words[a]"}
    assert bench.sync() == 0


def test_a_failure_is_its_own_step_and_the_rest_goes_on(bench: Workbench) -> None:
    # two equal words break the contract of `loud` in one project
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "ONE"]))
    result = night(bench)
    assert not result.success
    assert (steps(result, "STEP_FAILURE"), steps(result, "STEP_UP_FOR_RETRY")) == ({"loud[a]"}, set())
    assert materialised(result) == {"words[a]", "words[b]", "loud[b]"}
    assert set(bench.lock()) == {"words@a", "words@b", "loud@b"}


def test_a_project_that_came_after_the_location_was_loaded_has_its_steps(bench: Workbench) -> None:
    old = job(bench)
    bench.edit("sources.lock", lambda v: v["projects"].update({"new-one": ["x"], "new_one": ["y"]}))
    bench.edit("params.yaml", lambda v: v["projects"].update(MORE))
    stages.check(bench.project())  # dvc.yaml lists no project, so it is up to date
    result = night(bench, old)
    assert result.success
    assert {"words[new_one]", "words[new_one_]"} <= materialised(result)
    assert {"words@new-one", "words@new_one", "page@new-one"} <= bench.lock().keys()
    assert bench.sync() == 0


class Locked(NoTracker):
    """Refuses the first records, as a database does that another process holds."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.calls = refusals, 0

    def record(self, *given: object) -> str:
        self.calls += 1
        if self.calls <= self.refusals:
            raise sqlite3.OperationalError("database is locked")
        return "0" * 32


def test_a_lock_that_another_holds_is_waited_for(bench: Workbench) -> None:
    result = night(bench, job(bench, Locked(1)))
    assert result.success
    assert len(steps(result, "STEP_UP_FOR_RETRY")) == 1
    assert materialised(result) == ALL


def test_a_lock_that_is_never_free_fails_after_some_retries(bench: Workbench) -> None:
    tracker = Locked(1000)
    assert steps(night(bench, job(bench, tracker)), "STEP_FAILURE") == {"words[a]", "words[b]"}
    assert tracker.calls == 2 * (1 + dagster_assets.MAX_RETRIES)


def test_a_source_that_cannot_be_read_fails_the_night_before_anything_is_made(bench, monkeypatch) -> None:
    def fail_to_update(root: Path) -> list[str]:
        raise ValueError("sources/a is gone")

    monkeypatch.setattr(nightly, "update_pins", fail_to_update)
    result = night(bench)
    assert steps(result, "STEP_FAILURE") == {"move_pins"}
    assert materialised(result) == set()


def test_steps_are_named_after_projects_and_never_after_the_same() -> None:
    assert nightly.step_names(("a-b", "a_b", "a-b_")) == {"a-b": "a_b", "a_b": "a_b_", "a-b_": "a_b__"}


def test_what_is_made_from_all_is_made_where_no_project_is_stale(bench: Workbench) -> None:
    night(bench)
    (bench.root / "toy" / "tally.py").write_text("x")
    assert {"tally", "digest", "page[a]", "page[b]"} == materialised(night(bench))


def test_what_reads_only_what_is_made_from_all_needs_no_project(bench: Workbench) -> None:
    bench.edit("params.yaml", lambda v: v["projects"].clear())
    bench.edit("sources.lock", lambda v: v["projects"].clear())
    (bench.root / "data" / "loud").mkdir()
    result = night(bench)
    assert result.success
    assert materialised(result) == {"tally", "digest"}


Decisions = list[tuple[str, str]]


@pytest.fixture
def decisions(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """``loud`` is a model that ``words`` watches; of its two projects only b's may train again."""
    real, decisions = toy.toy_assets, []
    roles: dict[str, Any] = {"words": {"watches": "loud"}}

    def assets(code: dict[str, str]) -> list[Any]:
        return [replace(asset, **roles.get(asset.name, {})) for asset in real(code)]

    def decide(project: Any, model: ReleasedModel, occasion: str) -> RetrainingDecision:
        decisions.append((model.name, occasion))
        trained = bool(model.partition and project.output("loud", model.partition).is_dir())
        return RetrainingDecision(model.partition == "b" or not trained, ("so it is told",))

    monkeypatch.setattr(toy, "toy_assets", assets)
    monkeypatch.setattr(nightly, "decide", decide)
    monkeypatch.setattr(nightly, "models_of", lambda graph: ["loud"])
    night(bench)
    decisions.clear()
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"], b=["newer"]))
    return decisions


def test_a_model_rests_with_what_is_made_of_it_and_says_why(bench: Workbench, decisions: Decisions) -> None:
    result = night(bench)
    assert result.success
    assert sorted(decisions) == [("loud-a", "nightly"), ("loud-b", "nightly")]
    assert materialised(result) == {"words[a]", "words[b]", "loud[b]", "tally", "digest", "page[b]"}
    assert {
        event.step_key: event.asset_observation_data.asset_observation.metadata["retraining"].value
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
    } == dict.fromkeys(("loud[a]", "page[a]"), "rest: so it is told")
    assert bench.staleness().stale("loud", "a")  # it is not hidden that it is behind
    first, second = last_decisions(bench.root)
    assert first.startswith("loud-a: rest: so it is told (nightly, ")
    assert second.startswith("loud-b: train: so it is told (nightly, ")
    assert bench.sync() == 0


def test_a_pin_that_moved_is_seen_before_it_is_decided(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    night(bench)
    monkeypatch.setattr(nightly, "models_of", lambda graph: ["words"])
    monkeypatch.setattr(nightly, "decide", lambda *_: RetrainingDecision(False, ("so it is told",)))
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["new"]))
    result = night(bench)
    assert result.success
    assert materialised(result) == set()
    assert last_decisions(bench.root)[0].startswith("words-a: rest: so it is told")


def test_a_weekly_run_is_asked_as_such_and_a_person_may_overrule(bench: Workbench, decisions: Decisions) -> None:
    assert materialised(night(bench, tags=nightly.WEEKLY_TAG)) >= {"loud[b]"}
    assert set(decisions) == {("loud-a", "weekly"), ("loud-b", "weekly")}
    decisions.clear()
    assert {"loud[a]", "page[a]"} <= materialised(night(bench, tags=nightly.OVERRIDE_TAG))
    assert decisions == []
    assert last_decisions(bench.root)[0].startswith("loud-a: train: a person overruled the policy")


def test_a_model_that_was_trained_already_does_not_rest_when_the_run_goes_on(bench, decisions: Decisions) -> None:
    assert bench.run(["words"], "a")
    assert bench.run(["loud"], "a")
    result = night(bench)
    assert ("loud-a", "nightly") not in decisions
    assert "page[a]" in materialised(result)


LOCATION = """
import sys
import time
from pathlib import Path

import dagster as dg

from cortex_pipelines.orchestration import nightly
from cortex_pipelines.versioning import materialise

sys.path.insert(0, "CHECKOUT")  # the code server starts in the folder of the project
from cortex_pipelines_tests.orchestration.test_orchestration_nightly import job
from cortex_pipelines_tests.versioning.toy import Workbench

ROOT = Path(__file__).parent

def deaf(*_, **__):
    (ROOT / ".dagster" / "began").touch()
    try:
        time.sleep(60)
    except BaseException:  # as some libraries do
        pass
    try:
        time.sleep(60)
    except BaseException as error:
        raise TimeoutError("connection timed out") from error

materialise.arguments = deaf
nightly.update_pins = lambda root: []
defs = dg.Definitions(jobs=[job(Workbench(ROOT))])
"""
LAUNCH = """mutation($job: String!) { launchRun(executionParams: {mode: "default", selector: {jobName: $job,
    repositoryName: "__repository__", repositoryLocationName: "location.py"}}) {
    ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
TERMINATE = "mutation($run: String!) { terminateRun(runId: $run) { __typename } }"


def test_terminate_in_the_ui_cancels_the_night(bench: Workbench) -> None:
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import PythonFileTarget
    from dagster_graphql.test.utils import execute_dagster_graphql

    location, home = bench.root / "location.py", bench.root / ".dagster"
    location.write_text(LOCATION.replace("CHECKOUT", str(Path(__file__).parents[2])))
    home.mkdir()
    coordinator = "{module: dagster._core.run_coordinator, class: DefaultRunCoordinator}"
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\nrun_coordinator: {coordinator}\n")
    instance = bench.instance()
    target = PythonFileTarget(str(location), None, str(bench.root), "location.py")
    with WorkspaceProcessContext(instance, target) as server:
        context = server.create_request_context()
        launched = execute_dagster_graphql(context, LAUNCH, {"job": "nightly"}).data["launchRun"]
        run = launched["run"]["runId"]
        wait_until(lambda: (home / "began").exists())
        pressed = time.monotonic()
        execute_dagster_graphql(context, TERMINATE, {"run": run})
        wait_until(lambda: instance.get_run_by_id(run).is_finished)
        assert time.monotonic() - pressed < 10
    assert instance.get_run_by_id(run).status == dg.DagsterRunStatus.CANCELED
    events = {log.dagster_event.event_type_value for log in instance.all_logs(run) if log.dagster_event}
    assert "STEP_UP_FOR_RETRY" not in events
    (failure,) = instance.all_logs(run, dg.DagsterEventType.STEP_FAILURE)
    assert failure.dagster_event.step_failure_data.error.cls_name == "DagsterExecutionInterruptedError"
    assert not any((bench.root / "data").glob("words*"))
    assert bench.lock() == {}


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
