"""The router behind a desk: tasks that come at the same time are decided together."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from cortex_pipelines.routing.serving.router import RULES, Decision, Router, RouterError
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.response_cache import Remembered, task_key

_AT_ONCE = 256


class NoRouterError(RuntimeError):
    """There is neither a champion nor a file of rules."""


@dataclass(frozen=True)
class LoadedRouter:
    """A router that can be asked.

    Args:
        router: The champion, or the rules alone.
        notice: Why it is not the champion, where there is one; empty otherwise.
    """

    router: Router
    notice: str = ""


@dataclass(frozen=True)
class Routed:
    """A task's decision.

    Args:
        decision: Where it goes.
        notice: As in ``Opened``.
        cached: Whether it was made before.
    """

    decision: Decision
    notice: str
    cached: bool = False

    @property
    def way(self) -> str:
        """``model`` for the champion, ``rules`` for the keyword rules."""
        return RULES if self.decision.model_version == RULES else "model"


@dataclass
class _Asked:
    """What was asked together and is answered together: nobody waits for a task alone."""

    routed: list[Routed | None]
    left: int
    done: "Future[list[Routed]]" = field(default_factory=Future)

    def keep(self, place: int, routed: Routed) -> None:
        """Take a decision; with the last one, all are answered."""
        self.routed[place] = routed
        self.left -= 1
        self.finish()

    def fail(self, error: BaseException) -> None:
        """Answer all of them with an error."""
        if not self.done.done():
            self.done.set_exception(error)

    def finish(self) -> None:
        """Answer if nothing is left."""
        if not self.left and not self.done.done():
            self.done.set_result([task for task in self.routed if task is not None])


@dataclass(frozen=True)
class _Task:
    text: str
    key: bytes | None
    asked: _Asked
    place: int


class RouterDesk:
    """Routes tasks on a thread of its own.

    While it decides, tasks gather, and the next pass takes all of them: a batch costs less than
    its tasks one by one, and nobody waits for a batch to fill.

    Args:
        load: Opens the router; called when the first task comes and when the stamp has changed.
        stamp: A value that is another one when the router has to be opened anew; cheap.
        cached: Bytes for decisions that were made already; 0 to make each anew.
    """

    def __init__(
        self, load: Callable[[], LoadedRouter], stamp: Callable[[], Any], cached: int = 0
    ) -> None:
        self._load = load
        self._stamp = stamp
        self._seen: Any = None
        self._open: LoadedRouter | None = None
        self._known: Remembered[Routed] = Remembered(cached)
        self._work: queue.Queue[_Task | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name="router", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str]) -> "Future[list[Routed]]":
        """Decisions to come, in order; NoRouterError where there is no router."""
        current = self._open is not None and self._stamp() == self._seen
        asked = _Asked([None] * len(texts), 0)
        new = []
        for place, text in enumerate(texts):
            key = task_key(text)
            known = self._known.get(key) if current and key is not None else None
            if known is None:
                new.append(_Task(text, key, asked, place))
            else:
                asked.routed[place] = replace(known, cached=True)
        asked.left = len(new)
        asked.done.set_running_or_notify_cancel()  # whoever leaves early stops nothing
        for task in new:
            self._work.put(task)
        if not new:
            asked.finish()
        return asked.done

    def close(self) -> None:
        """End it when what waits is decided."""
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        ended = False
        while not ended:
            batch = [self._work.get()]
            while len(batch) < _AT_ONCE and not self._work.empty():
                batch.append(self._work.get())
            ended = None in batch
            self._decide([task for task in batch if task is not None])

    def _decide(self, tasks: "Sequence[_Task]") -> None:
        if not tasks:
            return
        try:
            opened = self._current()
            decisions = opened.router.route([task.text for task in tasks])
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            for task in tasks:
                task.asked.fail(_named(error))
            return
        for task, decision in zip(tasks, decisions, strict=True):
            routed = Routed(decision, opened.notice)
            if task.key is not None and not opened.notice:
                self._known.put(task.key, routed, _size(decision))
            task.asked.keep(task.place, routed)

    def _current(self) -> LoadedRouter:
        now = self._stamp()
        if self._open is None or now != self._seen:
            self._known.clear()
            self._open = self._load()
            self._seen = now
        return self._open


def _size(decision: Decision) -> int:
    """Bytes that a decision takes, about; its evidence is the router's own."""
    return 2_000 + 100 * len(decision.probabilities)


def _named(error: BaseException) -> BaseException:
    if isinstance(error, RouterError):
        return NoRouterError(str(error))
    made = EngineError(f"the router failed: {type(error).__name__}: {error}")
    made.__cause__ = error
    return made
