"""Batched routing: concurrent tasks are decided together."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from cortex_pipelines.routing.serving.bundle import RouterError
from cortex_pipelines.routing.serving.explanation import Explanation, explain
from cortex_pipelines.routing.serving.router import RULES, Decision, Router
from cortex_pipelines.serving.engines.engine import EngineError
from cortex_pipelines.serving.response_cache import ENABLED, LruCache, key_of


class NoRouterError(RuntimeError):
    """Neither a champion nor keyword rules exist."""


@dataclass(frozen=True)
class LoadedRouter:
    """The champion, or the keyword rules; ``notice`` says why the rules, or that the champion's gate was overridden."""

    router: Router
    notice: str = ""


@dataclass(frozen=True)
class RoutedTask:
    decision: Decision
    notice: str
    cached: bool = False
    explanation: Explanation | None = None

    @property
    def way(self) -> str:
        return RULES if self.decision.model_version == RULES else "model"


@dataclass
class _Request:
    """Tasks of one request, routed together; ``routed`` has the cached decisions at first."""

    stamp: Any
    texts: Sequence[str]
    keys: Sequence[bytes | None]
    routed: dict[int, RoutedTask]
    explained: bool = False
    future: "Future[list[RoutedTask]]" = field(default_factory=Future)

    def answer(self) -> None:
        self.future.set_result([self.routed[index] for index in range(len(self.texts))])


class RouterBatcher:
    """Routes tasks in batches on its own thread, and explains decisions on another.

    Tasks that arrive during a batch form the next one: a batch costs less than its tasks one by
    one, and no task waits for a batch to fill. The router is loaded for the first task and when
    ``stamp``, a cheap value, has changed; ``cached`` is the size of the decision cache in bytes.
    """

    def __init__(self, load: Callable[[], LoadedRouter], stamp: Callable[[], Any], cached: int = 0) -> None:
        self._load, self._stamp = load, stamp
        self._last_stamp: Any = None
        self._loaded_router: LoadedRouter | None = None
        self._decision_cache: LruCache[RoutedTask] = LruCache(cached)
        self._work: queue.Queue[_Request | None] = queue.Queue()
        self._explainer = ThreadPoolExecutor(1, "explanations")  # each asks the models hundreds of times
        self._thread = threading.Thread(target=self._serve, name="router", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str], explained: bool = False) -> "Future[list[RoutedTask]]":
        """Future decisions in the order of the texts, with explanations or not; NoRouterError without a router."""
        is_cached = ENABLED.get() and not explained
        stamp = self._stamp()
        is_current = is_cached and self._loaded_router is not None and stamp == self._last_stamp
        request = _Request(stamp, texts, [key_of(text) if is_cached else None for text in texts], {}, explained)
        for index, key in enumerate(request.keys):
            cached_task = self._decision_cache.get(key) if is_current and key is not None else None
            if cached_task is not None:
                request.routed[index] = replace(cached_task, cached=True)
        request.future.set_running_or_notify_cancel()  # a caller that leaves early cancels nothing
        if len(request.routed) == len(texts):
            request.answer()
        else:
            self._work.put(request)
        return request.future

    def close(self) -> None:
        self._work.put(None)
        self._thread.join()
        self._explainer.shutdown(cancel_futures=True)

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._work.get()]
            while not self._work.empty():
                batch.append(self._work.get())
            stopping = None in batch
            if requests := [request for request in batch if request is not None]:
                self._answer(requests)

    def _answer(self, requests: Sequence[_Request]) -> None:
        tasks = [(each, index) for each in requests for index in range(len(each.texts)) if index not in each.routed]
        try:
            stamp = requests[-1].stamp
            if self._loaded_router is None or stamp != self._last_stamp:
                self._decision_cache.clear()
                self._loaded_router = self._load()
                self._last_stamp = stamp
            loaded = self._loaded_router
            decisions = loaded.router.route([request.texts[index] for request, index in tasks])
            for (request, index), decision in zip(tasks, decisions, strict=True):
                routed = request.routed[index] = RoutedTask(decision, loaded.notice)
                key = request.keys[index]
                if key is not None and not loaded.notice:
                    # approximate bytes, without the evidence, which the router owns
                    self._decision_cache.store(key, routed, 2_000 + 100 * len(decision.probabilities))
        except BaseException as error:  # noqa: BLE001 - raised in the callers
            _fail(requests, error)
            return
        for request in requests:
            if request.explained:
                explanation = self._explainer.submit(_explain, loaded.router, request)
                explanation.add_done_callback(partial(_fail_cancelled, request))
            else:
                request.answer()


def _explain(router: Router, request: _Request) -> None:
    try:
        for index, text in enumerate(request.texts):
            request.routed[index] = replace(request.routed[index], explanation=explain(router, text))
    except BaseException as error:  # noqa: BLE001 - raised in the caller
        _fail([request], error)
        return
    request.answer()


def _fail_cancelled(request: _Request, explanation: "Future[None]") -> None:
    if explanation.cancelled():
        request.future.set_exception(EngineError("the gateway was closed"))


def _fail(requests: Sequence[_Request], error: BaseException) -> None:
    failure: Exception = EngineError(f"the router failed: {type(error).__name__}: {error}")
    if isinstance(error, RouterError):
        failure = NoRouterError(str(error))
    failure.__cause__ = error
    for request in requests:
        request.future.set_exception(failure)
