"""Base class of the engines: one thread answers requests in turn.

Requests reach it through a queue, so no request can see the adapter of another.
"""

import json
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from cortex_pipelines.adapters.data.packing import divide_segments, start_token
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.serving.engines.engine import BusyError, EngineError, Event, Job, LoadedAdapter, Prompt, TextDelta
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.tokenization.text_encoder import Segments, as_segments, token_ids


@dataclass
class QueuedRequest:
    job: Job
    deliver: Callable[[Event], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Load:
    make: Callable[[], LoadedAdapter]
    future: "Future[LoadedAdapter]"


class QueuedEngine(ABC):
    """See ``engine.Engine``, whose ``load`` the engines add."""

    def __init__(self, tokenizer: Any, window: int, settings: ServingSettings) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self._settings = settings
        self._work: queue.Queue[QueuedRequest | _Load | None] = queue.Queue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._busy = False
        self._generated_tokens = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
        self._thread.start()

    @abstractmethod
    def _deltas(self, work: QueuedRequest) -> Iterator[TextDelta]: ...

    @abstractmethod
    def _reset_after_failure(self) -> None:
        """Discard state that a failed request may have left."""

    @abstractmethod
    def _resident(self) -> list[str]: ...

    def _thread_context(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        return prompt_of(self.tokenizer, self.window, text, room)

    def upstream_model(self, _ready: LoadedAdapter | None) -> str:
        return ""

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        with self._lock:
            if self._waiting >= self._settings.waiting:
                raise BusyError(f"{self._waiting} requests wait already; try again in a second")
            self._waiting += 1
        request = QueuedRequest(job, deliver)
        self._enter(request)
        return request.cancelled.set

    def state(self) -> Mapping[str, Any]:
        alive = self._thread.is_alive() and not self._closed
        return {
            "waiting": self._waiting,
            "busy": self._busy,
            "written": self._generated_tokens,
            "resident": self._resident(),
            "alive": alive,
            "down": "",
        }

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._work.put(None)
        self._thread.join()

    def _run_between_requests(self, make: Callable[[], LoadedAdapter]) -> LoadedAdapter:
        """Load an adapter in the engine's thread, between two requests."""
        future: Future[LoadedAdapter] = Future()
        self._enter(_Load(make, future))
        return future.result()

    def _enter(self, work: QueuedRequest | _Load) -> None:
        with self._lock:  # nothing may follow the end of the queue, where it would never be answered
            if self._closed:
                raise EngineError("the engine is closed")
            self._work.put(work)

    def _serve(self) -> None:
        with self._thread_context():
            while not self._closed and (work := self._work.get()) is not None:
                if isinstance(work, _Load):
                    try:
                        work.future.set_result(work.make())
                    except BaseException as error:  # noqa: BLE001 - raised in the caller
                        work.future.set_exception(error)
                else:
                    with self._lock:
                        self._waiting -= 1
                    self._busy = True
                    self._answer(work)
                    self._busy = False
        while not self._work.empty():
            abandoned = self._work.get()
            closed = EngineError("the engine was closed")
            if isinstance(abandoned, _Load):
                abandoned.future.set_exception(closed)
            elif abandoned is not None:
                abandoned.deliver(closed)

    def _answer(self, work: QueuedRequest) -> None:
        work.job.on_start()
        try:
            for delta in self._deltas(work):
                work.deliver(delta)
            work.deliver(None)
        except BaseException as error:  # noqa: BLE001 - delivered to the caller
            self._reset_after_failure()
            work.deliver(error)


def prompt_of(tokenizer: Any, max_tokens: int, text: str | Segments, room: int) -> Prompt:
    """See ``Engine.prompt``, with a window of ``max_tokens`` tokens."""
    context, space = divide_segments(as_segments(text))
    (ids,) = token_ids(tokenizer, [context])
    ids = ids or [start_token(tokenizer)]
    max_tokens = max(max_tokens - room, 1)
    return Prompt(tuple(ids[-max_tokens:]), space, max(len(ids) - max_tokens, 0))


def model_file(base: BaseModel, name: str) -> dict[str, Any]:
    path = base.folder / name
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def window(base_window: int | None, settings: ServingSettings) -> int:
    return min(settings.window, int(base_window)) if base_window else settings.window


def end_tokens(declared: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends an answer; ``declared`` is ``eos_token_id`` of the base's generation settings."""
    every = declared if isinstance(declared, list) else [declared]
    return frozenset(int(token) for token in (*every, tokenizer.eos_token_id) if token is not None)
