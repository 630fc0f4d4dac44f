import os
import platform
import signal
import subprocess
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData

from cortex_pipelines.catalog import open_project
from cortex_pipelines.orchestration import location, planning, scheduling, side_by_side
from cortex_pipelines.orchestration.location import fingerprint
from cortex_pipelines.orchestration.runs import (
    RunOutcome,
    close_dead_runs,
    run_assets,
    run_stale,
    split_by_partitioning,
)
from cortex_pipelines.orchestration.scheduling import Key, Schedule, estimated_seconds, longest_first, serial_order
from cortex_pipelines.orchestration.side_by_side import Jobs, Made, run_at_once
from cortex_pipelines.orchestration.stage_costs import Cost, estimate
from cortex_pipelines.parallel.processes import Processes
from cortex_pipelines.parallel.settings import ExecutionSettings
from cortex_pipelines.versioning import materialise
from cortex_pipelines.versioning.dagster import dagster_assets
from cortex_pipelines.versioning.dagster.dagster_assets import build_assets
from cortex_pipelines.versioning.dagster.instance import TRAINING
from cortex_pipelines.versioning.dvc.dvc_store import ordered_lock
from cortex_pipelines.versioning.lock_file import stage_address
from cortex_pipelines.versioning.project import Project, ProjectError
from cortex_pipelines_tests.versioning.toy import NoTracker, Workbench


def stale(bench: Workbench, only: str | None = None) -> tuple[RunOutcome, list[str]]:
    messages: list[str] = []
    project = bench.project()
    return run_stale(project, bench.definitions(project), bench.instance(), only, messages.append), messages


def test_assets_are_cut_where_the_partitioning_changes(bench: Workbench) -> None:
    project = bench.project()
    assert split_by_partitioning(project, project.graph.assets) == [
        (True, ["words", "loud"]),
        (False, ["tally", "digest"]),
        (True, ["page"]),
    ]
    assert split_by_partitioning(project, ["page", "words"]) == [(True, ["words", "page"])]
    assert split_by_partitioning(project, []) == []


def test_all_that_is_stale_is_made_and_then_nothing_is(bench: Workbench) -> None:
    outcome, messages = stale(bench)
    assert (outcome.failed, set(outcome.made)) == ({}, set(bench.lock()))
    assert messages[0] == "a: words, loud"
    assert "all projects: tally, digest" in messages
    assert stale(bench) == (RunOutcome(), [])


def open_bench(root: Path) -> tuple[Project, dg.Definitions]:
    bench = Workbench(root)
    return bench.project(), bench.definitions(bench.project())


def test_jobs_side_by_side_leave_what_one_job_leaves(bench: Workbench) -> None:
    def run_all() -> RunOutcome:
        project = bench.project()
        keys = serial_order(project, project.graph.assets, None)
        addresses = [stage_address(*key) for key in keys]
        workspace = (project, bench.definitions(project), bench.instance())
        with ordered_lock(bench.root, addresses), closing(Processes(1)) as others:
            return run_at_once(Jobs(workspace, others, open_bench), keys, True)

    outcome = run_all()
    assert (outcome.failed, set(outcome.made)) == ({}, set(bench.lock()))
    assert run_all() == RunOutcome()
    lock = (bench.root / "dvc.lock").read_text()
    (bench.root / "dvc.lock").unlink()
    with ordered_lock(bench.root, list(outcome.made)):
        assert set(stale(bench)[0].made) == set(outcome.made)
    assert (bench.root / "dvc.lock").read_text() == lock
    # one project fails, and what reads it is left alone
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "ONE"]))
    outcome = run_all()
    assert (outcome.made, set(outcome.failed)) == (("words@a",), {"loud@a"})
    assert "nothing was published" in outcome.failed["loud@a"]


def test_what_reads_a_failed_stage_is_left_alone_where_stages_share_a_run(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "stage_cost", lambda *_: Cost(estimate(0.1, (1, 1)), None, None, ""))
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "ONE"]))
    project = bench.project()
    keys = serial_order(project, project.graph.assets, None)
    addresses = [stage_address(*key) for key in keys]
    workspace = (project, bench.definitions(project), bench.instance())
    with ordered_lock(bench.root, addresses), closing(Processes(1)) as others:
        outcome = run_at_once(Jobs(workspace, others, open_bench), keys, True)
    assert (set(outcome.made), set(outcome.failed)) == ({"words@a", "words@b", "loud@b"}, {"loud@a"})


def test_stages_begin_when_they_fit() -> None:
    a, b, c = keys = [("one", "x"), ("two", "x"), ("three", "x")]
    schedule = Schedule({a: [], b: [], c: [a]}, 2, {a: 1, b: 2, c: 1}, dict.fromkeys(keys, 600.0), 1000.0)
    assert [schedule.next(), schedule.next()] == [[a], []]  # two do not fit, by cores and by memory
    schedule.end(a)
    assert [schedule.next(), schedule.next(), schedule.is_last()] == [[b], [], False]
    schedule.end(b)
    assert [schedule.next(), schedule.next(), schedule.is_last()] == [[c], [], True]
    for trainings, at_once in ([], [[a], []]), ([b], [[a], [b]]):
        slots, memory = dict.fromkeys(keys, 1), dict.fromkeys(keys, 600.0)
        schedule = Schedule({a: [], b: []}, 2, slots, memory, 9000.0, trainings=trainings, data_limit=1000.0)
        assert [schedule.next(), schedule.next()] == at_once
    schedule = Schedule({a: [], b: [], c: [a]}, 2, dict.fromkeys(keys, 1), dict.fromkeys(keys, 0.0), 1.0)
    assert estimated_seconds(schedule, {a: 1.0, b: 5.0, c: 2.0}) == 5.0


def test_stages_are_made_side_by_side_where_that_pays(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bench.project()

    def jobs(seconds: float, *among: str, asked: int | None = None, each: float = 500.0, **settings: Any) -> int:
        execution = ExecutionSettings(**{"backend": "processes", "workers": None, "memory": None, **settings})
        cost = Cost(estimate(seconds, (1, 1)), estimate(each, (1, 1)), None, "")
        for module in (planning, scheduling):
            monkeypatch.setattr(module, "execution_of", lambda _: execution)
            monkeypatch.setattr(module, "stage_cost", lambda *_: cost)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
        return scheduling.plan_jobs(project, None, among or project.graph.assets, asked)[1]

    assert jobs(40.0) == 2
    assert jobs(40.0, workers=3) == 3
    assert jobs(1.0) == 1  # it takes seconds to start another process
    assert jobs(40.0, "tally", "digest") == 1  # one after the other
    assert jobs(40.0, memory=1000) == 1
    assert jobs(40.0, each=1700.0) == 1  # beside the largest a process that waits would take too much
    assert jobs(40.0, backend="serial") == 1
    assert jobs(1.0, asked=4) == 4


@pytest.mark.parametrize(("cores", "jobs", "limit", "workers"), [(2, 2, 9e9, 1), (16, 2, 9e9, 8), (16, 2, 3000.0, 3)])
def test_jobs_share_cores_and_memory(cores: int, jobs: int, limit: float, workers: int) -> None:
    assert scheduling.workers_of_a_job(cores, jobs, limit) == workers


def test_a_stage_that_is_made_alone_has_all_cores(bench: Workbench) -> None:
    project = bench.project()
    alone = dict[str, bool]()

    class Recorded:
        def __init__(self) -> None:
            self.project = project

        def submit(self, run: list[Key], is_alone: bool) -> Future[Made]:
            addresses = [stage_address(*key) for key in run]
            alone.update(dict.fromkeys(addresses, is_alone))
            done: Future[Made] = Future()
            done.set_result((RunOutcome(tuple(addresses)), ["a version"] * len(run), []))
            return done

        def let_others_go(self) -> None:
            raise AssertionError("the last two stages run side by side")

    keys = serial_order(project, project.graph.assets, None)
    side_by_side._coordinate(Recorded(), scheduling.scheduled(project, keys, 2), set(keys))  # type: ignore[arg-type]
    assert [address for address, is_alone in alone.items() if is_alone] == ["tally", "digest"]
    assert set(alone) == {stage_address(*key) for key in keys}


def test_processes_without_a_stage_to_come_are_ended(bench: Workbench) -> None:
    project = bench.project()
    workspace = (project, bench.definitions(project), bench.instance())
    with closing(Processes(1)) as others:
        jobs = Jobs(workspace, others, open_bench)
        jobs.let_others_go()  # one of them may make what goes on
        assert not others._closed
        jobs.submit([("words", "a")], True)
        jobs.let_others_go()
        assert others._closed


def test_short_stages_of_one_project_share_a_run() -> None:
    a, b, c, d = keys = [("one", "x"), ("one", "y"), ("two", "x"), ("three", "x")]
    seconds = {a: 1.0, b: 1.0, c: 1.0, d: 9.0}
    schedule = Schedule(
        {a: [], b: [], c: [a], d: [a]}, 2, dict.fromkeys(keys, 1), dict.fromkeys(keys, 0.0), 1.0, seconds
    )
    assert [schedule.next(keys), schedule.next(keys), schedule.next(keys)] == [[a, c], [b], []]
    schedule.end(a)
    assert [schedule.next(keys), schedule.next(keys)] == [[d], []]
    # unless fewer projects wait than there are jobs: then one project keeps them busy
    schedule = Schedule({a: [], c: [a]}, 2, dict.fromkeys(keys, 1), dict.fromkeys(keys, 0.0), 1.0, seconds)
    assert schedule.next(keys) == [a]
    # whether a stage is outdated that reads another one is known when that one is made
    schedule = Schedule({a: [], b: [], c: [a]}, 2, dict.fromkeys(keys, 1), dict.fromkeys(keys, 0.0), 1.0, seconds)
    assert schedule.next([a]) == [a]


def test_only_what_depends_on_a_moved_pin_is_made(bench: Workbench) -> None:
    stale(bench)
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "two", "three"]))
    outcome, _ = stale(bench)
    assert set(outcome.made) == {"words@a", "loud@a", "tally", "digest", "page@a", "page@b"}


def test_only_one_project_and_what_is_made_from_all(bench: Workbench) -> None:
    stale(bench)
    bench.edit("params.yaml", lambda v: v["pages"].update(width=2))
    outcome, _ = stale(bench, "b")
    assert outcome.made == ("page@b",)


def test_what_reads_a_failed_asset_is_left_alone_and_the_rest_goes_on(bench: Workbench) -> None:
    # two equal words break the contract of `loud` in one project
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "ONE"]))
    outcome, messages = stale(bench)
    assert (set(outcome.made), set(outcome.failed)) == ({"words@a", "words@b", "loud@b"}, {"loud@a"})
    assert "nothing was published" in outcome.failed["loud@a"]
    assert not [line for line in messages if line.startswith("all projects")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_everything(bench, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    project = bench.project()
    definitions, instance = bench.definitions(project), bench.instance()
    messages: list[str] = []

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(20)  # the signal ends this

    monkeypatch.setattr(materialise, "arguments", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_stale(project, definitions, instance, None, messages.append)
    assert messages == ["a: words, loud"]  # nothing else was begun


def test_an_error_that_nobody_expected_is_told_in_its_own_words(bench: Workbench) -> None:
    bench.edit("sources.lock", lambda v: v["projects"].update(a=[1]))  # no words
    project = bench.project()
    outcome = run_assets(project, bench.definitions(project), bench.instance(), ["words"], "a")
    assert outcome.made == ()
    assert "unsupported operand type" in outcome.failed["words@a"]


def test_a_sentence_is_told_and_not_what_it_was_raised_from(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unanswered(*_: object) -> None:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise ProjectError("the index does not answer") from error

    monkeypatch.setattr(materialise, "arguments", unanswered)
    monkeypatch.setattr(dagster_assets, "DELAY_SECONDS", 0.0)
    project = bench.project()
    outcome = run_assets(project, bench.definitions(project), bench.instance(), ["words"], "a")
    assert outcome.failed["words@a"].endswith("ProjectError: the index does not answer")


def test_a_failed_contract_is_a_failed_check_in_the_ui(bench: Workbench) -> None:
    bench.edit("sources.lock", lambda v: v["projects"].update(a=["one", "ONE"]))
    stale(bench)
    key = dg.AssetCheckKey(dg.AssetKey("loud"), "words_contract")
    records = bench.instance().event_log_storage.get_asset_check_execution_history(key, limit=10)
    passed = {
        record.event.dagster_event.event_specific_data.passed  # type: ignore[union-attr]
        for record in records
        if record.event
    }
    assert passed == {True, False}


def test_the_fingerprint_moves_with_locks_and_outputs_alone(bench: Workbench) -> None:
    names = [asset.name for asset in bench.project().graph.order]
    first = fingerprint(bench.root, names)
    assert fingerprint(bench.root, names) == first
    (bench.root / "notes.txt").touch()
    assert fingerprint(bench.root, names) == first
    time.sleep(0.02)  # file systems keep times in steps
    bench.make("words", "a")
    second = fingerprint(bench.root, names)
    assert second != first
    time.sleep(0.02)
    bench.edit("params.yaml", lambda v: v["pages"].update(width=2))
    assert fingerprint(bench.root, names) != second


REPOSITORY = Path(__file__).parents[2]


def test_policies_of_the_graph() -> None:
    project = open_project(REPOSITORY)
    policies = {
        asset.key.to_user_string(): asset
        for asset in build_assets(project, NoTracker(), pool=TRAINING)
        if isinstance(asset, dg.AssetsDefinition)
    }
    for asset in project.graph.order:
        node = policies[asset.name]
        assert node.op.retry_policy is None, "an interrupt would begin the step again"
        assert node.op.pool == (TRAINING if asset.name in ("code_adapter", "task_router") else None)
        assert node.backfill_policy == (dg.BackfillPolicy.multi_run(1) if asset.partitioned else None)
        fresh = node.get_asset_spec().freshness_policy
        assert (fresh is not None) == (asset.registers is not None)
        if isinstance(fresh, dg.FreshnessPolicy):
            assert fresh == dg.FreshnessPolicy.time_window(timedelta(days=30), timedelta(days=14))


def test_what_the_longest_chain_begins_with_comes_first() -> None:
    a, b, c, d = keys = [("one", "x"), ("two", "x"), ("three", "x"), ("four", "y")]
    seconds = dict(zip(keys, (1.0, 3.0, 5.0, 4.0), strict=True))
    # chains of 6 seconds, of 5, of 4 and of 3
    assert [*longest_first({a: [], b: [a], c: [a], d: []}, seconds)] == [a, c, d, b]


def test_one_process_syncs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)
    running: list[None] = []
    most: list[int] = []

    def enter(*_: Any) -> int:
        running.append(None)
        time.sleep(0.3)
        most.append(len(running))
        running.pop()
        return 0

    def begin(_: int) -> int:
        together.wait()
        return location.sync_project(mock.Mock(root=tmp_path), mock.Mock())

    monkeypatch.setattr(location, "_sync", enter)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(begin, range(2)))
    assert most == [1, 1]


def test_a_run_of_dagsters_launcher_ends_with_its_process(bench: Workbench) -> None:
    instance = bench.instance()
    run = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus.STARTED))
    assert close_dead_runs(instance, is_daemon=True) == 0, "its process has not begun"
    with subprocess.Popen(["sleep", "600"]) as worker:
        instance.report_engine_event("Started process for run", run, EngineEventData.in_process(worker.pid))
        assert close_dead_runs(instance, is_daemon=True) == 0
        worker.kill()
    assert close_dead_runs(instance) == 0, "a command may run outside of the daemon's container"
    assert close_dead_runs(instance, is_daemon=True) == 1
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("tags", [{}, {"cortex/process": str(os.getpid())}], ids=["launcher", "command"])
def test_a_run_ends_if_a_later_process_has_its_number(bench: Workbench, tags: dict[str, str]) -> None:
    instance = bench.instance()
    run = instance.add_run(dg.DagsterRun("nightly", status=dg.DagsterRunStatus.STARTED, tags=tags))
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(os.getpid()))
    with mock.patch.object(psutil.Process, "create_time", return_value=time.time() + 5):
        assert close_dead_runs(instance, is_daemon=True) == 0, "the clock was set"
    with mock.patch.object(psutil.Process, "create_time", return_value=time.time() + 600):
        assert close_dead_runs(instance, is_daemon=True) == 1


def test_a_run_of_another_machine_is_left_alone(bench: Workbench) -> None:
    instance, process = bench.instance(), {"cortex/process": str(2**22 + 1)}
    for number, machine in enumerate(("container", platform.node())):
        tags = process | {"cortex/machine": machine}
        instance.add_run(dg.DagsterRun("job", status=dg.DagsterRunStatus.STARTED, tags=tags))
        assert close_dead_runs(instance, is_daemon=True) == number
