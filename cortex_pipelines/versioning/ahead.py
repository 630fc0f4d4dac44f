"""Compute stages before their turn: those whose work is the workers', while the driver makes others.

A run makes one stage after another, and of most stages the driver does a part alone. An asset declared as ``ahead`` is
computed beside them, by a thread, from when its inputs are made. Its turn, at which it is checked, published and
committed, comes after those of all stages that do not read it.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.atomic import temporary_files
from cortex_pipelines.versioning.project import Stage
from cortex_pipelines.versioning.snapshot import Snapshot


@dataclass(frozen=True)
class Computed:
    """Tables of a stage, with what they were made from and the seconds that it took."""

    begin: Snapshot
    tables: Mapping[str, Any]
    observations: Mapping[str, float]
    seconds: float


Begin = Callable[[Stage], Callable[[], Computed] | None]
"""Looks at a stage's inputs; the computation to start, None if there is nothing to compute."""


class Ahead:
    """Stages of a run: those not made yet, and the computations that were started before their turn."""

    current: "Ahead | None" = None

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._unmade = {stage.address for stage in stages}
        self._waiting = {stage.address: stage for stage in stages if stage.asset.ahead}
        self._computing: dict[str, Future[Computed]] = {}

    def made(self, address: str, begin: Begin) -> None:
        """A stage is made: start those that waited for it last."""
        self._unmade.discard(address)
        for stage in list(self._waiting.values()):
            inputs = {stage.project.address(other, stage.partition) for other in stage.wiring.assets}
            if self._unmade.isdisjoint(inputs):
                del self._waiting[stage.address]
                if computation := begin(stage):
                    self._computing[stage.address] = _started(computation, stage.address)

    def take(self, stage: Stage, begin: Snapshot) -> Computed | None:
        """What was computed of a stage whose turn it is; None if nothing was from the inputs that it has now."""
        self._waiting.pop(stage.address, None)
        future = self._computing.pop(stage.address, None)
        computed = future.result() if future else None
        return computed if computed and not computed.begin.differences(begin) else None


@contextmanager
def computing_ahead(stages: Sequence[Stage]) -> Iterator[None]:
    """Compute stages ahead in the body, which makes all of these in the order of their dependencies."""
    with temporary_files():  # one folder for all threads
        Ahead.current = Ahead(stages)
        try:
            yield
        finally:
            Ahead.current = None


def _started(compute: Callable[[], Computed], address: str) -> "Future[Computed]":
    future: Future[Computed] = Future()

    def run() -> None:
        try:
            future.set_result(compute())
        except BaseException as error:  # noqa: BLE001 - raised when it is the stage's turn
            future.set_exception(error)

    # a daemon, which an executor's thread is not: Ctrl-C does not wait for it
    threading.Thread(target=run, name=address, daemon=True).start()
    return future
