"""Run stages of independent projects at once (``--jobs``, the nightly run), each in a worker process of this machine.

A stage begins when all that it reads is made and it fits the cores and the memory. DVC's lock lets one process commit
at a time; ``dvc_store.ordered_lock`` leaves no trace of who did first.
"""

import logging
import os
import pickle  # nosec B403: only dumped here
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from cortex_pipelines.orchestration.planning import execution_of, past_of, stage_cost, stages_of
from cortex_pipelines.orchestration.runs import RunOutcome, run_assets, split_by_partitioning
from cortex_pipelines.parallel.backends import WorkerDiedError, result_of
from cortex_pipelines.parallel.ordered import WORKERS
from cortex_pipelines.parallel.processes import Processes
from cortex_pipelines.progress import Steps, report_step
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.dagster.instance import open_instance
from cortex_pipelines.versioning.dvc.dvc_store import ordered_lock
from cortex_pipelines.versioning.dvc.reconcile import dvc_views
from cortex_pipelines.versioning.lock_file import locked_stages, locked_version, stage_address
from cortex_pipelines.versioning.project import Project

_LOG = logging.getLogger("cortex_pipelines")
_MODEL_ROOMS = {"adapters": "adapters", "evaluation": "evaluation"}  # room to the section with its threads

Key = tuple[str, str | None]
Open = Callable[[Path], tuple[Project, dg.Definitions]]
Made = tuple[RunOutcome, str | None, list[tuple[str, int | None, float]]]
"""Outcome of a stage, its version now, and arguments of ``report_step``."""


def serial_order(project: Project, among: Iterable[str], only: str | None) -> list[Key]:
    """Stages in the order in which one job makes them."""
    selected = stages_of(project, only)
    return [
        (name, partition)
        for partitioned, names in split_by_partitioning(project, among)
        for partition in (project.partitions if partitioned else (None,))
        for name in names
        if (name, partition) in selected
    ]


@dataclass
class Schedule:
    """Which stage may begin next; ``needs``: of each stage those that it waits for, in the order of preference."""

    needs: Mapping[Key, Collection[Key]]
    jobs: int
    slots: Mapping[Key, int]
    memory: Mapping[Key, float]
    limit: float
    running: set[Key] = field(default_factory=set)
    ended: set[Key] = field(default_factory=set)

    def next(self) -> Key | None:
        """A stage that fits beside those that run; alone, each fits."""
        free = self.jobs - sum(self.slots[key] for key in self.running)
        memory = self.limit - sum(self.memory[key] for key in self.running)
        for key, needs in self.needs.items():
            if key in self.ended or key in self.running or not self.ended.issuperset(needs):
                continue
            if not self.running or (self.slots[key] <= free and self.memory[key] <= memory):
                self.running.add(key)
                return key
        return None

    def end(self, key: Key) -> None:
        self.running.discard(key)
        self.ended.add(key)


def scheduled(project: Project, keys: Sequence[Key], jobs: int) -> Schedule:
    """A schedule by the cores that trainings use, and by the memory that the plan estimates."""
    among, past = set(keys), past_of(project)
    cores = len(os.sched_getaffinity(0))
    elsewhere = on_node.ROOMS if _is_clustered(project) else ()
    slots, memory = {}, {}
    for name, partition in keys:
        section: Any = None
        room = project.graph.assets[name].room
        if room in _MODEL_ROOMS and room not in elsewhere:
            section = project.effective.section(_MODEL_ROOMS[room], partition)
        slots[name, partition] = min(jobs, -(-section.threads * jobs // cores)) if section else 1
        estimate = stage_cost(project, past, name, partition).memory
        memory[name, partition] = estimate.expected if estimate else 0.0
    execution = execution_of(project)
    limit = execution.memory if execution and execution.memory else psutil.virtual_memory().available / 1e6
    needs = {key: among.intersection(project.inputs_of(*key)) for key in keys}
    return Schedule(needs, jobs, slots, memory, limit)


def _is_clustered(project: Project) -> bool:
    execution = execution_of(project)
    return execution is not None and execution.backend == "ray"


def estimated_seconds(schedule: Schedule, seconds: Mapping[Key, float]) -> float:
    """When the last stage of a schedule ends, if each takes so long and all are made."""
    now, ends = 0.0, list[tuple[float, Key]]()
    while True:
        while (key := schedule.next()) is not None:
            ends.append((now + seconds[key], key))
        if not ends:
            return now
        now, key = first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        schedule.end(key)


def run_at_once(project: Project, keys: Sequence[Key], only_stale: bool, jobs: int, open_again: Open) -> RunOutcome:
    """Run stages, or only those of them that are stale and that depend on them, ``jobs`` at a time.

    Stages that read a failed one are left alone, and those whose inputs came out as they were before.
    """
    stale = set(keys)
    if only_stale:
        stale &= {(view.asset.name, view.partition) for view in dvc_views(project) if view.changed}
    outdated: list[Key] = []
    for key in keys:
        if key in stale or not set(outdated).isdisjoint(project.inputs_of(*key)):
            outdated.append(key)
    schedule = scheduled(project, outdated, jobs)
    before = locked_stages(project.root)
    environment = {WORKERS: str(max(1, len(os.sched_getaffinity(0)) // jobs))}
    if WORKERS in os.environ or _is_clustered(project):
        environment = {}  # those that are set, or a cluster's
    pool, futures = Processes(jobs, environment), dict[Future[bytes], tuple[Key, ExitStack]]()
    outcome, missing, moved = RunOutcome(), set[Key](), set[Key]()
    try:
        while True:
            while (next_key := schedule.next()) is not None:
                inputs = set(project.inputs_of(*next_key))
                if inputs & missing:
                    missing.add(next_key)
                elif next_key in stale or inputs & moved:
                    shown = ExitStack()
                    shown.enter_context(Steps.during(stage_address(*next_key)))
                    task = pickle.dumps((open_again, project.root, *next_key))
                    futures[pool.submit(pickle.dumps(make), task)] = (next_key, shown)
                    continue
                schedule.end(next_key)
            if not futures:
                break
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                key, shown = futures.pop(future)
                shown.close()
                schedule.end(key)
                address = stage_address(*key)
                result, version, reports = _result(future, address)
                for report in reports:
                    report_step(*report)
                outcome += result
                if address not in result.made:
                    missing.add(key)
                if version != locked_version(before, address):
                    moved.add(key)
    finally:
        pool.close()
    order = {stage_address(*key): number for number, key in enumerate(keys)}
    return RunOutcome(tuple(sorted(outcome.made, key=order.__getitem__)), outcome.failed)


def run_stale_at_once(
    project: Project, only: str | None, among: Collection[str], jobs: int, open_again: Open
) -> RunOutcome:
    """``runs.run_stale`` with ``jobs`` stages at a time; the order of ``dvc.lock`` does not tell."""
    keys = serial_order(project, among, only)
    with ordered_lock(project.root, [stage_address(*key) for key in keys]):
        return run_at_once(project, keys, True, jobs, open_again)


def _result(future: Future[bytes], address: str) -> Made:
    try:
        made: Made = result_of(future.result())
    except WorkerDiedError as error:
        sentence = f"its process ended ({error}); if it ran out of memory, --jobs 1 leaves it more"
        return RunOutcome(failed={address: sentence}), None, []
    return made


def make(task: tuple[Open, Path, str, str | None]) -> Made:
    """Run one stage in a worker: its outcome, the version that it has now, and the arguments of ``report_step``."""
    open_again, root, name, partition = task
    project, definitions, instance = _workspace(open_again, root)
    reports: list[tuple[str, int | None, float]] = []
    Steps.forward = lambda *report: reports.append(report)
    outcome = run_assets(project, definitions, instance, [name], partition)
    return outcome, locked_version(locked_stages(root), stage_address(name, partition)), reports


@cache
def _workspace(open_again: Open, root: Path) -> tuple[Project, dg.Definitions, dg.DagsterInstance]:
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    _LOG.setLevel(logging.INFO)
    return *open_again(root), open_instance(root)
