"""Experiments of a project: their store, their state, and how they end."""

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
    Book,
    End,
    ExperimentError,
    ExperimentRecord,
    ExperimentSpec,
)
from cortex_pipelines.release.experiments.running import Log

_LOG = logging.getLogger("cortex_pipelines")
_STATE = Path(".cortex") / "serving"


def book_of(root: Path) -> Book:
    """The experiments of a project folder."""
    return Book(root / _STATE)


def stop(root: Path, project: str, why: str) -> ExperimentRecord:
    """End the experiment of a project, and give what it showed.

    Raises:
        ExperimentError: there is none.
    """
    plan = book_of(root).running(project)
    if plan is None:
        raise ExperimentError(f"no experiment is under way on {project}; nothing to stop")
    end = finish(root, plan, ExperimentOutcome("stopped", why), getpass.getuser())
    return ExperimentRecord(plan, end)


def finish(root: Path, plan: ExperimentSpec, result: ExperimentOutcome, by: str = "gateway") -> End:
    """Write down how an experiment ended; the first end counts, a second changes nothing."""
    with experiments_lock(root):
        book = book_of(root)
        for entry in book.entries():
            if entry.plan.id == plan.id and entry.end is not None:
                return entry.end
        at = datetime.now(UTC).isoformat(timespec="seconds")
        end = End(plan.id, result.outcome, result.reason, at, by, _figures(book, plan))
        book.write(end)
    return end


def stop_for_release(root: Path, project: str | None, words: str) -> None:
    """End the experiment of a project whose releases have moved."""
    plan = book_of(root).running(project) if project else None
    if plan is not None:
        finish(root, plan, ExperimentOutcome("stopped", words), getpass.getuser())
        _LOG.info("experiment %s is stopped: %s", plan.id, words)


def shown(root: Path, entry: ExperimentRecord) -> dict[str, Any]:
    """An experiment as plain values: ``plan``, ``state``, ``reason``, and its figures."""
    if entry.end is not None:
        ended = {"state": entry.end.outcome, "reason": entry.end.reason, "at": entry.end.at}
        return {"plan": asdict(entry.plan), **ended, "by": entry.end.by, **entry.end.figures}
    running = {"state": "running", "reason": None, "at": None, "by": None}
    return {"plan": asdict(entry.plan), **running, **_figures(book_of(root), entry.plan)}


def _figures(book: Book, plan: ExperimentSpec) -> dict[str, Any]:
    return Log(plan, book.answers(plan)).read().figures()


@contextmanager
def experiments_lock(root: Path) -> Iterator[None]:
    """Hold the lock under which experiments start and end."""
    (root / _STATE).mkdir(parents=True, exist_ok=True)
    with FileLock(root / _STATE / "experiments.lock"):
        yield
