"""Start, count, stop and show experiments; each answer is appended to a log, the only state."""

import getpass
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from cortex_pipelines.release.experiments.analysis import ExperimentCounts, ExperimentOutcome, RequestOutcome
from cortex_pipelines.release.experiments.plan import (
    Arm,
    ExperimentEnd,
    ExperimentError,
    ExperimentLog,
    ExperimentRecord,
    ExperimentSpec,
    append,
    decode_line,
)

_LOG = logging.getLogger("cortex_pipelines")

Vote = Literal["up", "down", "dismissed"]
Finish = Callable[[ExperimentSpec, ExperimentOutcome], object]  # records the end of an experiment


@dataclass(frozen=True)
class Assignment:
    plan: ExperimentSpec
    arm: Arm
    unit: str


class AnswerLog:
    """The log of a running experiment, read up to an offset; ``ending`` is the thread that records its end."""

    def __init__(self, plan: ExperimentSpec, path: Path) -> None:
        self.counts, self.lock = ExperimentCounts(plan), threading.Lock()
        self.ending: threading.Thread | None = None
        self.ended = False
        self._path, self._offset = path, 0

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


class Experiments:
    def __init__(self, experiments: ExperimentLog, finish: Finish) -> None:
        self._experiments = experiments
        self._finish = finish
        self._lock = threading.Lock()
        self._running: dict[str, AnswerLog] = {}

    def add(self, assignment: Assignment, answer: str, outcome: RequestOutcome, flagged: bool, seconds: float) -> None:
        """Count an answer; a failure to write is logged and does not affect the caller."""
        line = {"arm": assignment.arm, "unit": assignment.unit, "became": outcome, "flagged": flagged}
        self._append(assignment.plan, {"id": answer, **line, "seconds": round(seconds, 6)})

    def vote(self, plan: ExperimentSpec, answer: str, vote: Vote) -> Arm | None:
        counts = self._running_experiment(plan).counts
        if answer not in counts:
            return None
        self._append(plan, {"id": answer, "vote": vote})
        return counts.arm_of(answer)

    def metrics(self, plan: ExperimentSpec) -> dict[str, Any]:
        running = self._running_experiment(plan)
        with running.lock:
            return running.read().metrics()

    def close(self) -> None:
        for running in list(self._running.values()):
            if running.ending is not None:
                running.ending.join()

    def _running_experiment(self, plan: ExperimentSpec) -> AnswerLog:
        with self._lock:
            if plan.id not in self._running:
                running = AnswerLog(plan, self._experiments.answers(plan))
                running.read()
                self._running[plan.id] = running
            return self._running[plan.id]

    def _append(self, plan: ExperimentSpec, line: dict[str, Any]) -> None:
        running = self._running_experiment(plan)
        with running.lock:
            try:
                running.add(line)
            except OSError as error:
                _LOG.error("an answer of experiment %s was not counted (%s)", plan.id, error)
                return
            result = None if running.ended or running.ending else running.counts.result()
            if result is not None:
                running.ending = threading.Thread(target=self._end, args=(running, result), name="experiment")
                running.ending.start()

    def _end(self, running: AnswerLog, result: ExperimentOutcome) -> None:
        plan = running.counts.plan
        _LOG.warning("experiment %s: %s, %s", plan.id, result.outcome, result.reason)
        try:
            self._finish(plan, result)
            running.ended = True
        except Exception as error:  # noqa: BLE001 - must not affect the caller
            _LOG.error("the end of %s was not written (%s); tried again", plan.id, error)
        finally:
            running.ending = None


_STATE = Path(".cortex") / "serving"


def experiment_log(root: Path) -> ExperimentLog:
    return ExperimentLog(root / _STATE)


def stop(root: Path, project: str, reason: str) -> ExperimentRecord:
    """End the running experiment of a project and return its record; ``ExperimentError`` if none is running."""
    plan = experiment_log(root).running(project)
    if plan is None:
        raise ExperimentError(f"no experiment is under way on {project}; nothing to stop")
    return ExperimentRecord(plan, finish(root, plan, ExperimentOutcome("stopped", reason), getpass.getuser()))


def finish(root: Path, plan: ExperimentSpec, result: ExperimentOutcome, by: str = "gateway") -> ExperimentEnd:
    with experiments_lock(root):
        log = experiment_log(root)
        for entry in log.entries():
            if entry.plan.id == plan.id and entry.end is not None:
                return entry.end
        ended_at = datetime.now(UTC).isoformat(timespec="seconds")
        end = ExperimentEnd(plan.id, result.outcome, result.reason, ended_at, by, _metrics(log, plan))
        log.write(end)
    return end


def stop_for_release(root: Path, project: str | None, reason: str) -> None:
    plan = experiment_log(root).running(project) if project else None
    if plan is not None:
        finish(root, plan, ExperimentOutcome("stopped", reason), getpass.getuser())
        _LOG.info("experiment %s is stopped: %s", plan.id, reason)


def experiment_state(root: Path, entry: ExperimentRecord) -> dict[str, Any]:
    if entry.end is not None:
        outcome = {"state": entry.end.outcome, "reason": entry.end.reason, "at": entry.end.at}
        return {"plan": asdict(entry.plan), **outcome, "by": entry.end.by, **entry.end.figures}
    running = {"state": "running", "reason": None, "at": None, "by": None}
    return {"plan": asdict(entry.plan), **running, **_metrics(experiment_log(root), entry.plan)}


def _metrics(log: ExperimentLog, plan: ExperimentSpec) -> dict[str, Any]:
    return AnswerLog(plan, log.answers(plan)).read().metrics()


@contextmanager
def experiments_lock(root: Path) -> Iterator[None]:
    (root / _STATE).mkdir(parents=True, exist_ok=True)
    with FileLock(root / _STATE / "experiments.lock"):
        yield
