"""Batched routing: concurrent tasks are decided together."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.routing.serving.router import RULES, Decision, Router
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.response_cache import LruCache, task_key

_AT_ONCE = 256


class NoRouterError(RuntimeError):
    """Neither a champion nor keyword rules exist."""


@dataclass(frozen=True)
class LoadedRouter:
    """The champion, or the keyword rules with a notice why the champion is not used."""

    router: Router
    notice: str = ""


@dataclass(frozen=True)
class RoutedTask:
    decision: Decision
    notice: str
    cached: bool = False

    @property
    def way(self) -> str:
        return RULES if self.decision.model_version == RULES else "model"


@dataclass
class _PendingDecisions:
    """Decisions of one request, delivered together once all are made."""

    routed: list[RoutedTask | None]
    remaining: int
    future: "Future[list[RoutedTask]]" = field(default_factory=Future)

    def add(self, index: int, routed: RoutedTask) -> None:
        self.routed[index] = routed
        self.remaining -= 1
        self.finish()

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def finish(self) -> None:
        if not self.remaining and not self.future.done():
            self.future.set_result([task for task in self.routed if task is not None])


@dataclass(frozen=True)
class _Task:
    text: str
    key: bytes | None
    pending: _PendingDecisions
    index: int


class RouterBatcher:
    """Routes tasks in batches on its own thread.

    Tasks that arrive during a batch form the next one: a batch costs less than its tasks one by
    one, and no task waits for a batch to fill. The router is loaded for the first task and when
    ``stamp``, a cheap value, has changed; ``cached`` is the size of the decision cache in bytes.
    """

    def __init__(self, load: Callable[[], LoadedRouter], stamp: Callable[[], Any], cached: int = 0) -> None:
        self._load = load
        self._stamp = stamp
        self._last_stamp: Any = None
        self._loaded_router: LoadedRouter | None = None
        self._decision_cache: LruCache[RoutedTask] = LruCache(cached)
        self._work: queue.Queue[_Task | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name="router", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str]) -> "Future[list[RoutedTask]]":
        """Future decisions in the order of the texts; NoRouterError without a router."""
        current = self._loaded_router is not None and self._stamp() == self._last_stamp
        pending = _PendingDecisions([None] * len(texts), 0)
        new_tasks = []
        for index, text in enumerate(texts):
            key = task_key(text)
            cached_task = self._decision_cache.get(key) if current and key is not None else None
            if cached_task is None:
                new_tasks.append(_Task(text, key, pending, index))
            else:
                pending.routed[index] = replace(cached_task, cached=True)
        pending.remaining = len(new_tasks)
        pending.future.set_running_or_notify_cancel()  # a caller that leaves early cancels nothing
        for task in new_tasks:
            self._work.put(task)
        if not new_tasks:
            pending.finish()
        return pending.future

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._work.get()]
            while len(batch) < _AT_ONCE and not self._work.empty():
                batch.append(self._work.get())
            stopping = None in batch
            self._decide([task for task in batch if task is not None])

    def _decide(self, tasks: "Sequence[_Task]") -> None:
        if not tasks:
            return
        try:
            opened = self._current()
            decisions = opened.router.route([task.text for task in tasks])
        except BaseException as error:  # noqa: BLE001 - raised in the callers
            for task in tasks:
                task.pending.fail(_as_serving_error(error))
            return
        for task, decision in zip(tasks, decisions, strict=True):
            routed = RoutedTask(decision, opened.notice)
            if task.key is not None and not opened.notice:
                self._decision_cache.store(task.key, routed, _size(decision))
            task.pending.add(task.index, routed)

    def _current(self) -> LoadedRouter:
        stamp = self._stamp()
        if self._loaded_router is None or stamp != self._last_stamp:
            self._decision_cache.clear()
            self._loaded_router = self._load()
            self._last_stamp = stamp
        return self._loaded_router


def _size(decision: Decision) -> int:
    """Approximate bytes of a decision, without its evidence, which the router owns."""
    return 2_000 + 100 * len(decision.probabilities)


def _as_serving_error(error: BaseException) -> BaseException:
    if isinstance(error, RouterError):
        return NoRouterError(str(error))
    wrapped = EngineError(f"the router failed: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
