"""Experiments that are under way: each answer is appended to a log, which is all that counts."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cortex_pipelines.release.experiments.analysis import Became, ExperimentOutcome, Tally
from cortex_pipelines.release.experiments.plan import Arm, Book, ExperimentSpec, append, decoded

_LOG = logging.getLogger("cortex_pipelines")

Vote = Literal["up", "down", "dismissed"]
Finish = Callable[[ExperimentSpec, ExperimentOutcome], object]
"""Writes down that an experiment has ended."""


@dataclass(frozen=True)
class Assigned:
    """A request's place in an experiment.

    Args:
        plan: The experiment.
        arm: Who answers.
        unit: Pseudonym of whoever asks; empty for nobody in particular.
    """

    plan: ExperimentSpec
    arm: Arm
    unit: str

    @classmethod
    def of(cls, plan: ExperimentSpec, user: str) -> "Assigned":
        """The place of a request of this user."""
        unit = plan.unit(user)
        return cls(plan, plan.arm(unit), unit)


class Log:
    """The answers of one experiment, from all processes that write them.

    Args:
        plan: The experiment.
        path: The file.
    """

    def __init__(self, plan: ExperimentSpec, path: Path) -> None:
        self.tally = Tally(plan)
        self._path = path
        self._offset = 0

    def add(self, line: dict[str, Any]) -> None:
        """Append a line, and count what is new."""
        append(self._path, line)
        self.read()

    def read(self) -> Tally:
        """Count what is new; a line that is not finished is left for the next time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return self.tally
        whole = new.rfind(b"\n") + 1
        self._offset += whole
        for line in new[:whole].splitlines():
            if (known := decoded(line)) is not None:
                self.tally.take(known)
        return self.tally


@dataclass
class _Running:
    log: Log
    lock: threading.Lock = field(default_factory=threading.Lock)
    ending: threading.Thread | None = None
    ended: bool = False


class Experiments:
    """Counts the answers of experiments, and ends them by their rule.

    Args:
        book: The plans.
        finish: Writes an end down.
    """

    def __init__(self, book: Book, finish: Finish) -> None:
        self._book = book
        self._finish = finish
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def add(self, at: Assigned, answer: str, became: Became, flagged: bool, seconds: float) -> None:
        """Count an answer; whoever is answered does not suffer where it cannot be written."""
        line = {"arm": at.arm, "unit": at.unit, "became": became, "flagged": flagged}
        self._note(at.plan, {"id": answer, **line, "seconds": round(seconds, 6)})

    def vote(self, plan: ExperimentSpec, answer: str, vote: Vote) -> Arm | None:
        """Count a vote on an answer; returns whose answer it was, None if it is of no arm."""
        tally = self._of(plan).log.tally
        if answer not in tally:
            return None
        self._note(plan, {"id": answer, "vote": vote})
        return tally.arm_of(answer)

    def figures(self, plan: ExperimentSpec) -> dict[str, Any]:
        """What was counted."""
        running = self._of(plan)
        with running.lock:
            return running.log.read().figures()

    def close(self) -> None:
        """Finish what was begun."""
        for running in list(self._running.values()):
            if running.ending is not None:
                running.ending.join()

    def _of(self, plan: ExperimentSpec) -> _Running:
        with self._lock:
            if plan.id not in self._running:
                running = _Running(Log(plan, self._book.answers(plan)))
                running.log.read()
                self._running[plan.id] = running
            return self._running[plan.id]

    def _note(self, plan: ExperimentSpec, line: dict[str, Any]) -> None:
        running = self._of(plan)
        with running.lock:
            try:
                running.log.add(line)
            except OSError as error:
                _LOG.error("an answer of experiment %s was not counted (%s)", plan.id, error)
                return
            result = None if running.ended or running.ending else running.log.tally.result()
            if result is not None:
                running.ending = threading.Thread(
                    target=self._end, args=(running, result), name="experiment"
                )
                running.ending.start()

    def _end(self, running: _Running, result: ExperimentOutcome) -> None:
        plan = running.log.tally.plan
        _LOG.warning("experiment %s: %s, %s", plan.id, result.outcome, result.reason)
        try:
            self._finish(plan, result)
            running.ended = True
        except Exception as error:  # noqa: BLE001 - whoever is answered must not suffer from it
            _LOG.error("the end of %s was not written (%s); tried again", plan.id, error)
        finally:
            running.ending = None
