"""Running experiments: each answer is appended to a log, the only state."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.release.experiments.analysis import ExperimentCounts, ExperimentOutcome, RequestOutcome
from cortex_pipelines.release.experiments.plan import Arm, ExperimentLog, ExperimentSpec, append, decode_line

_LOG = logging.getLogger("cortex_pipelines")

Vote = Literal["up", "down", "dismissed"]
Finish = Callable[[ExperimentSpec, ExperimentOutcome], object]
"""Records the end of an experiment."""


@dataclass(frozen=True)
class Assignment:
    plan: ExperimentSpec
    arm: Arm
    unit: str

    @classmethod
    def for_user(cls, plan: ExperimentSpec, user: str) -> "Assignment":
        unit = plan.unit(user)
        return cls(plan, plan.arm(unit), unit)


class AnswerLog:
    def __init__(self, plan: ExperimentSpec, path: Path) -> None:
        self.counts = ExperimentCounts(plan)
        self._path = path
        self._offset = 0

    def add(self, line: dict[str, Any]) -> None:
        append(self._path, line)
        self.read()

    def read(self) -> ExperimentCounts:
        """Count new lines; an unfinished line is left for the next call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return self.counts
        complete = new.rfind(b"\n") + 1
        self._offset += complete
        for line in new[:complete].splitlines():
            if (entry := decode_line(line)) is not None:
                self.counts.add(entry)
        return self.counts


@dataclass
class _Running:
    log: AnswerLog
    lock: threading.Lock = field(default_factory=threading.Lock)
    ending: threading.Thread | None = None
    ended: bool = False


class Experiments:
    def __init__(self, experiments: ExperimentLog, finish: Finish) -> None:
        self._experiments = experiments
        self._finish = finish
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def add(self, assignment: Assignment, answer: str, outcome: RequestOutcome, flagged: bool, seconds: float) -> None:
        """Count an answer; a failure to write is logged and does not affect the caller."""
        line = {"arm": assignment.arm, "unit": assignment.unit, "became": outcome, "flagged": flagged}
        self._append(assignment.plan, {"id": answer, **line, "seconds": round(seconds, 6)})

    def vote(self, plan: ExperimentSpec, answer: str, vote: Vote) -> Arm | None:
        counts = self._running_experiment(plan).log.counts
        if answer not in counts:
            return None
        self._append(plan, {"id": answer, "vote": vote})
        return counts.arm_of(answer)

    def metrics(self, plan: ExperimentSpec) -> dict[str, Any]:
        running = self._running_experiment(plan)
        with running.lock:
            return running.log.read().metrics()

    def close(self) -> None:
        for running in list(self._running.values()):
            if running.ending is not None:
                running.ending.join()

    def _running_experiment(self, plan: ExperimentSpec) -> _Running:
        with self._lock:
            if plan.id not in self._running:
                running = _Running(AnswerLog(plan, self._experiments.answers(plan)))
                running.log.read()
                self._running[plan.id] = running
            return self._running[plan.id]

    def _append(self, plan: ExperimentSpec, line: dict[str, Any]) -> None:
        running = self._running_experiment(plan)
        with running.lock:
            try:
                running.log.add(line)
            except OSError as error:
                _LOG.error("an answer of experiment %s was not counted (%s)", plan.id, error)
                return
            result = None if running.ended or running.ending else running.log.counts.result()
            if result is not None:
                running.ending = threading.Thread(target=self._end, args=(running, result), name="experiment")
                running.ending.start()

    def _end(self, running: _Running, result: ExperimentOutcome) -> None:
        plan = running.log.counts.plan
        _LOG.warning("experiment %s: %s, %s", plan.id, result.outcome, result.reason)
        try:
            self._finish(plan, result)
            running.ended = True
        except Exception as error:  # noqa: BLE001 - must not affect the caller
            _LOG.error("the end of %s was not written (%s); tried again", plan.id, error)
        finally:
            running.ending = None
