"""Run independent stages at once (``--jobs``, the nightly run), in this process and in others of this machine.

A stage begins when all that it reads is made and it fits the cores and the memory. DVC's lock lets one process commit
at a time; ``dvc_store.ordered_lock`` leaves no trace of who did first.
"""

import gc
import logging
import os
import pickle  # nosec B403: only dumped here
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import dagster as dg

from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.orchestration.planning import cores_of
from cortex_pipelines.orchestration.runs import RunOutcome, run_assets
from cortex_pipelines.orchestration.scheduling import (
    Key,
    Schedule,
    is_clustered,
    memory_limit,
    scheduled,
    serial_order,
    workers_of_a_job,
)
from cortex_pipelines.parallel.backends import WorkerDiedError, result_of
from cortex_pipelines.parallel.ordered import WORKERS, close_backends
from cortex_pipelines.parallel.processes import Processes, job_processes
from cortex_pipelines.progress import Steps, report_step
from cortex_pipelines.schemas.expectations import load_expectations
from cortex_pipelines.tracking.store import open_client
from cortex_pipelines.versioning.dagster.instance import open_instance
from cortex_pipelines.versioning.dvc.dvc_store import ordered_lock
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")
Open = Callable[[Path], tuple[Project, dg.Definitions]]
Workspace = tuple[Project, dg.Definitions, dg.DagsterInstance]
Made = tuple[RunOutcome, list[str | None], list[tuple[str, int | None, float]]]
"""Outcome of stages, their versions now, and arguments of ``report_step``."""


class Jobs:
    """This process and others beside it, which each make one run of stages after the other.

    The others open the workspace at once, which takes seconds. What they are given is left open.
    """

    def __init__(self, workspace: Workspace, processes: Processes, open_again: Open) -> None:
        self.count = processes.workers + 1
        self.project = workspace[0]
        self._workspace = workspace
        self._open = (open_again, self.project.root)
        self._others = processes
        self._here: SimpleQueue[tuple[Future[Any], Sequence[Key], int | None] | None] = SimpleQueue()
        self._is_free_here = True
        cores = cores_of(self.project)
        shared = workers_of_a_job(cores, self.count, memory_limit(self.project))
        has_cluster = is_clustered(self.project)  # whose workers are all jobs' alike
        self._all_workers = None if has_cluster else cores
        self._shared_workers = None if has_cluster else shared
        processes.submit_to_all(_prepare, self._open)

    def submit(self, run: Sequence[Key], is_alone: bool) -> Future[Any]:
        """The future ``Made`` of stages, made here if nothing else is, on all cores if nothing is made beside them."""
        workers = self._all_workers if is_alone else self._shared_workers
        if not self._is_free_here:
            steps = ExitStack()
            steps.enter_context(Steps.during(", ".join(stage_address(*key) for key in run)))
            submitted = self._others.submit(pickle.dumps(make), pickle.dumps((*self._open, run, workers)))
            submitted.add_done_callback(lambda _: steps.close())
            return submitted
        future: Future[Any] = Future()
        self._is_free_here = False
        self._here.put((future, run, workers))
        return future

    def let_others_go(self) -> None:
        """Give back the memory of the other processes, unless one of them makes the run that goes on."""
        if not self._is_free_here:
            self._others.close()

    def serve(self, coordinate: Callable[[], RunOutcome]) -> RunOutcome:
        """What ``coordinate`` returns: it submits from a thread, so that this one, which gets Ctrl-C, makes stages."""
        outcome: Future[RunOutcome] = Future()

        def coordinated() -> None:
            try:
                outcome.set_result(coordinate())
            except BaseException as error:  # noqa: BLE001 - raised below
                outcome.set_exception(error)
            self._here.put(None)

        threading.Thread(target=coordinated, daemon=True).start()
        while task := self._here.get():
            future, run, workers = task
            try:
                result = _run_stages(self._workspace, run, workers)
            except Exception as error:  # noqa: BLE001 - raised by ``coordinate``
                self._is_free_here = True
                future.set_exception(error)
            else:
                self._is_free_here = True
                future.set_result((*result, []))
        return outcome.result()


def run_at_once(jobs: Jobs, keys: Sequence[Key], only_stale: bool) -> RunOutcome:
    """Run stages, or only those of them that are stale and that depend on them, as many at a time as there are jobs.

    Stages that read a failed one are left alone, and those whose inputs came out as they were before.
    """
    project, stale = jobs.project, set(keys)
    if only_stale:
        stale &= {(view.asset.name, view.partition) for view in dvc_views(project) if view.changed}
    outdated: list[Key] = []
    for key in keys:
        if key in stale or not set(outdated).isdisjoint(project.inputs_of(*key)):
            outdated.append(key)
    schedule = scheduled(project, outdated, jobs.count)
    outcome = jobs.serve(lambda: _coordinate(jobs, schedule, stale))
    order = {stage_address(*key): number for number, key in enumerate(keys)}
    return RunOutcome(tuple(sorted(outcome.made, key=order.__getitem__)), outcome.failed)


def _coordinate(jobs: Jobs, schedule: Schedule, stale: set[Key]) -> RunOutcome:
    project = jobs.project
    before = locked_stages(project.root)
    futures = dict[Future[Any], list[Key]]()
    outcome, missing, changed = RunOutcome(), set[Key](), set[Key]()
    joinable = set(stale)

    def leave_out(key: Key) -> None:
        missing.add(key)
        joinable.difference_update(reader for reader, needs in schedule.needs.items() if key in needs)

    while True:
        runs = list[list[Key]]()
        while run := schedule.next(joinable):
            inputs = set(project.inputs_of(*run[0]))
            if inputs & missing:
                leave_out(run[0])
            elif run[0] in stale or inputs & changed:
                runs.append(run)
                continue
            schedule.end(run[0])
        is_alone = len(runs) + len(futures) == 1
        futures |= {jobs.submit(run, is_alone): run for run in runs}
        if schedule.is_last():
            jobs.let_others_go()
        if not futures:
            return outcome
        for future in wait(futures, return_when=FIRST_COMPLETED).done:
            run = futures.pop(future)
            schedule.end(run[0])
            result, versions, reports = _result(future, run)
            for report in reports:
                report_step(*report)
            outcome += result
            for key, version in zip(run, versions, strict=True):
                if stage_address(*key) not in result.made:
                    leave_out(key)
                if version != locked_version(before, stage_address(*key)):
                    changed.add(key)


def run_stale_at_once(
    project: Project, only: str | None, among: Collection[str], jobs: int, open_again: Open
) -> RunOutcome:
    """``runs.run_stale`` with ``jobs`` stages at a time; the order of ``dvc.lock`` does not tell."""
    keys = serial_order(project, among, only)
    addresses = [stage_address(*key) for key in keys]
    workspace = *open_again(project.root), open_instance(project.root)
    with ordered_lock(project.root, addresses), closing(job_processes(jobs - 1)) as processes:
        return run_at_once(Jobs(workspace, processes, open_again), keys, True)


def _result(future: Future[Any], run: Sequence[Key]) -> Made:
    try:
        result = future.result()
        value: Made = result_of(result) if isinstance(result, bytes) else result
    except WorkerDiedError as error:
        sentence = f"its process ended ({error}); if it ran out of memory, --jobs 1 leaves it more"
        return RunOutcome(failed={stage_address(*key): sentence for key in run}), [None] * len(run), []
    return value


def make(task: tuple[Open, Path, Sequence[Key], int | None]) -> Made:
    """Run stages of one project in a process beside the driver's: ``Made``."""
    open_again, root, run, workers = task
    reports: list[tuple[str, int | None, float]] = []
    Steps.forward = lambda *report: reports.append(report)
    return *_run_stages(_workspace(open_again, root), run, workers), reports


def _run_stages(workspace: Workspace, run: Sequence[Key], workers: int | None) -> tuple[RunOutcome, list[str | None]]:
    gc.freeze()  # what is loaded stays, and what a run leaves in cycles is found quickly
    with _workers(workers):
        outcome = run_assets(*workspace, [name for name, _ in run], run[0][1])
    gc.collect()
    give_back()
    locked = locked_stages(workspace[0].root)
    return outcome, [locked_version(locked, stage_address(*key)) for key in run]


@contextmanager
def _workers(workers: int | None) -> Iterator[None]:
    """Let maps in the body use so many workers, if that is said."""
    if workers is None:
        yield
        return
    close_backends(but=workers)
    before = os.environ.get(WORKERS)
    os.environ[WORKERS] = str(workers)
    try:
        yield
    finally:
        os.environ.pop(WORKERS)
        if before is not None:
            os.environ[WORKERS] = before


def _prepare(task: tuple[Open, Path]) -> None:
    """Load what the stages of a job need."""
    project, definitions, _ = _workspace(*task)
    definitions.resolve_implicit_global_asset_job_def()
    load_expectations()
    open_client(project.root)


@cache
def _workspace(open_again: Open, root: Path) -> Workspace:
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    _LOG.setLevel(logging.INFO)
    return *open_again(root), open_instance(root)
