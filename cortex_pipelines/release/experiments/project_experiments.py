"""Start, stop and show the experiments of a project."""

import getpass
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from cortex_pipelines.release.experiments.analysis import ExperimentOutcome
from cortex_pipelines.release.experiments.plan import (
    ExperimentEnd,
    ExperimentError,
    ExperimentLog,
    ExperimentRecord,
    ExperimentSpec,
)
from cortex_pipelines.release.experiments.running import AnswerLog

_LOG = logging.getLogger("cortex_pipelines")
_STATE = Path(".cortex") / "serving"


def experiment_log(root: Path) -> ExperimentLog:
    return ExperimentLog(root / _STATE)


def stop(root: Path, project: str, reason: str) -> ExperimentRecord:
    """End the running experiment of a project and return its record. Raises ExperimentError: no experiment is
    running.
    """
    plan = experiment_log(root).running(project)
    if plan is None:
        raise ExperimentError(f"no experiment is under way on {project}; nothing to stop")
    end = finish(root, plan, ExperimentOutcome("stopped", reason), getpass.getuser())
    return ExperimentRecord(plan, end)


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
