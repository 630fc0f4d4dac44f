"""Which stages are made at once, and in which order: by what they read, and by the cores and memory that they take."""

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from cortex_pipelines.orchestration.planning import (
    PlannedStage,
    cores_of,
    execution_of,
    past_of,
    plan_stages,
    stage_cost,
    stages_of,
)
from cortex_pipelines.orchestration.runs import split_by_partitioning
from cortex_pipelines.parallel.backends import WORKER_MB
from cortex_pipelines.versioning import on_node
from cortex_pipelines.versioning.lock_file import split_address
from cortex_pipelines.versioning.project import Project

_MODEL_ROOMS = {"adapters": "adapters", "evaluation": "evaluation"}  # room to the section with its threads

Key = tuple[str, str | None]
"""An asset and its partition."""

_LEAST_SECONDS_OF_A_RUN, _MOST_SECONDS_OF_A_RUN = 5.0, 20.0
"""Of stages that share a Dagster run, which alone takes a tenth of a second or two."""
_JOBS_OF_A_PROJECT = 2  # of a project's stages rarely more than two can be made at once for long
_JOB_MB = 750
_WAITING_JOB_MB = 450  # of a process that has nothing to do for the moment
_STAGE_MB = 960  # that stages of data at once may take each, on average
LONG_RUN = 30.0
"""Seconds expected of a run from which on workers, or a second process, may be worth their start."""
_SECONDS_OF_A_START = 5.0
_MOST_SIMULATED = 200  # stages; the time for it grows with the square


def plan_jobs(
    project: Project, only: str | None, among: Collection[str], jobs: int | None
) -> tuple[list[PlannedStage], int]:
    """The stages that a run would make, and how many at once; None: as many as pay and as fit cores and memory."""
    settings = execution_of(project)
    count = jobs or 1
    if jobs is None and settings and settings.backend == "processes":
        projects = 1 if only else max(len(project.partitions), 1)
        count = max(1, min(cores_of(project), _JOBS_OF_A_PROJECT * projects, int(memory_limit(project) // _JOB_MB)))
    planned = [step for step in plan_stages(project, only, count, among) if split_address(step.address)[0] in among]
    if jobs is None and count > 1 and not (_leave_room(project, planned, count) and _pay(project, planned, count)):
        count = 1
    return planned, count


def _leave_room(project: Project, planned: Sequence[PlannedStage], jobs: int) -> bool:
    """Whether the stages leave memory for processes that wait while the largest is made, or train a model, which takes
    more than any data.
    """
    if any(project.graph.assets[split_address(step.address)[0]].room in _MODEL_ROOMS for step in planned):
        return True
    largest = max((step.cost.memory.expected for step in planned if step.cost.memory), default=0.0)
    return largest + (jobs - 1) * _WAITING_JOB_MB <= _data_limit(project, jobs)


def _pay(project: Project, planned: Sequence[PlannedStage], jobs: int) -> bool:
    """Whether a run is long enough for a second process, and not just one stage after the other."""
    expected = {split_address(step.address): step.seconds or 0.0 for step in planned}
    seconds = sum(expected.values())
    if seconds < LONG_RUN:
        return False
    if len(planned) > _MOST_SIMULATED:
        return True
    at_once = estimated_seconds(scheduled(project, list(expected), jobs), expected)
    return seconds - at_once > _SECONDS_OF_A_START


def memory_limit(project: Project) -> float:
    """MB that a run may use."""
    settings = execution_of(project)
    return settings.memory if settings and settings.memory else psutil.virtual_memory().available / 1e6


def _data_limit(project: Project, jobs: int) -> float:
    """MB that stages of data at once may take together."""
    settings, limit = execution_of(project), memory_limit(project)
    return limit if settings and settings.memory else min(limit, _STAGE_MB * jobs)


def workers_of_a_job(cores: int, jobs: int, limit: float) -> int:
    """Workers of each of some jobs that share the cores, and a limit in MB."""
    return max(1, min(cores // jobs, int((limit / jobs - _JOB_MB) // WORKER_MB)))


def serial_order(project: Project, among: Collection[str], only: str | None) -> list[Key]:
    """Stages in the order in which one job makes them."""
    selected = stages_of(project, only, among)
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
    seconds: Mapping[Key, float] = field(default_factory=dict)
    running: dict[Key, list[Key]] = field(default_factory=dict)
    """By the first stage of each run all of its stages."""
    ended: set[Key] = field(default_factory=set)
    trainings: Collection[Key] = ()
    data_limit: float = math.inf
    """Memory of all stages at once but trainings: a second one that takes much would gain little, since the
    first has workers for the other cores when it is alone.
    """

    def next(self, joinable: Collection[Key] = ()) -> list[Key]:
        """A stage that fits beside those that run; alone, each fits. If it is short and ``joinable``, others of its
        project that are so and can follow it at once come along, as long as there are projects for all jobs.
        """
        begun = self.ended.union(*self.running.values())
        waiting = {partition for name, partition in self.needs if (name, partition) not in begun}
        for key, needs in self.needs.items():
            if key not in begun and self.ended.issuperset(needs) and self._fits(key):
                joins = key in joinable and len(waiting) >= self.jobs
                self.running[key] = [key, *(self._following(key, begun, joinable) if joins else ())]
                return self.running[key]
        return []

    def _fits(self, key: Key) -> bool:
        if not self.running:
            return True
        together = (*self.running, key)
        of_data = [other for other in together if other not in self.trainings]
        return (
            sum(self.slots[other] for other in together) <= self.jobs
            and sum(self.memory[other] for other in together) <= self.limit
            and (len(of_data) < 2 or sum(self.memory[other] for other in of_data) <= self.data_limit)
        )

    def _following(self, first: Key, begun: Collection[Key], joinable: Collection[Key]) -> Iterator[Key]:
        complete = {*self.ended, first}
        # less and less, so that all jobs end together
        remaining = sum(seconds for key, seconds in self.seconds.items() if key not in begun and math.isfinite(seconds))
        share = max(_LEAST_SECONDS_OF_A_RUN, min(remaining / (2 * self.jobs), _MOST_SECONDS_OF_A_RUN))
        room = share - self.seconds.get(first, math.inf)
        for key, needs in self.needs.items():
            is_free = key[1] == first[1] and key in joinable and key not in begun and key not in complete
            is_smaller = self.slots[key] <= self.slots[first] and self.memory[key] <= self.memory[first]
            seconds = self.seconds.get(key, math.inf)
            if is_free and is_smaller and complete.issuperset(needs) and seconds <= room:
                complete.add(key)
                room -= seconds
                yield key

    def is_last(self) -> bool:
        """Whether all stages that have not ended run, and in one run."""
        return len(self.running) == 1 and len(self.needs) == len(self.ended) + len(next(iter(self.running.values())))

    def end(self, first: Key) -> None:
        self.ended.update(self.running.pop(first))


def scheduled(project: Project, keys: Sequence[Key], jobs: int) -> Schedule:
    """A schedule by the cores that trainings use, and by the memory that the plan estimates."""
    among, past = set(keys), past_of(project, jobs)
    cores = len(os.sched_getaffinity(0))
    remote_rooms = on_node.ROOMS if is_clustered(project) else ()
    slots, memory, seconds, trainings = {}, {}, {}, set[Key]()
    for name, partition in keys:
        section: Any = None
        room = project.graph.assets[name].room
        if room in _MODEL_ROOMS and room not in remote_rooms:
            section = project.effective.section(_MODEL_ROOMS[room], partition)
            trainings.add((name, partition))
        slots[name, partition] = min(jobs, -(-section.threads * jobs // cores)) if section else 1
        cost = stage_cost(project, past, name, partition)
        memory[name, partition] = cost.memory.expected if cost.memory else 0.0
        seconds[name, partition] = cost.seconds.expected if cost.seconds else math.inf
    needs = longest_first({key: among.intersection(project.inputs_of(*key)) for key in keys}, seconds)
    limit, data_limit = memory_limit(project), _data_limit(project, jobs)
    return Schedule(needs, jobs, slots, memory, limit, seconds, trainings=trainings, data_limit=data_limit)


def longest_first(needs: Mapping[Key, Collection[Key]], seconds: Mapping[Key, float]) -> dict[Key, Collection[Key]]:
    """Stages by the seconds from their begin to the end of the last one that depends on them, most first."""
    after = dict.fromkeys(needs, 0.0)  # by the longest way
    for key in reversed(list(needs)):
        duration = seconds[key] if math.isfinite(seconds[key]) else 0.0
        for need in needs[key]:
            after[need] = max(after[need], after[key] + duration)
    return dict(sorted(needs.items(), key=lambda entry: -(after[entry[0]] + seconds[entry[0]])))


def is_clustered(project: Project) -> bool:
    execution = execution_of(project)
    return execution is not None and execution.backend == "ray"


def estimated_seconds(schedule: Schedule, seconds: Mapping[Key, float]) -> float:
    """When the last stage of a schedule ends, if each takes so long and all are made."""
    clock, ends = 0.0, list[tuple[float, Key]]()
    while True:
        while run := schedule.next():
            ends.append((clock + seconds[run[0]], run[0]))
        if not ends:
            return clock
        clock, key = first = min(ends, key=lambda end: end[0])
        ends.remove(first)
        schedule.end(key)
