"""What the engines have in common: one thread answers requests in turn.

Requests come to it through a queue, so that no request can see the adapter of another one.
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

from cortex_pipelines.adapters.data.boundary import divide_segments
from cortex_pipelines.adapters.data.packing import start_token
from cortex_pipelines.adapters.model.base_model import BaseModel
from cortex_pipelines.serving.engines.engine import (
    BusyError,
    EngineError,
    Event,
    Job,
    Prompt,
    Ready,
    TextDelta,
)
from cortex_pipelines.serving.settings import ServingSettings
from cortex_pipelines.tokenization.segments import Segments, as_segments
from cortex_pipelines.tokenization.text_encoder import token_ids


@dataclass
class QueuedRequest:
    """A request and who waits for it."""

    job: Job
    deliver: Callable[[Event], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Load:
    make: Callable[[], Ready]
    done: "Future[Ready]"


class QueuedEngine(ABC):
    """See ``engine.Engine``, whose ``load`` the engines add.

    Args:
        tokenizer: The base's.
        window: Most tokens of a prompt with its answer.
        settings: Limits.
    """

    def __init__(self, tokenizer: Any, window: int, settings: ServingSettings) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self._settings = settings
        self._work: queue.Queue[QueuedRequest | _Load | None] = queue.Queue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._busy = False
        self._written = 0
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
        self._thread.start()

    @abstractmethod
    def _pieces(self, work: QueuedRequest) -> Iterator[TextDelta]:
        """The answers to a request."""

    @abstractmethod
    def _failed(self) -> None:
        """Forget what a request that failed may have left."""

    @abstractmethod
    def _resident(self) -> list[str]:
        """Versions of the adapters in memory."""

    def _around(self) -> AbstractContextManager[Any]:
        """What the thread runs within."""
        return nullcontext()

    def prompt(self, text: str | Segments, room: int = 0) -> Prompt:
        """See ``Engine.prompt``."""
        return prompt_of(self.tokenizer, self.window, text, room)

    def elsewhere(self, _ready: Ready | None) -> str:
        """See ``Engine.elsewhere``."""
        return ""

    def submit(self, job: Job, deliver: Callable[[Event], None]) -> Callable[[], None]:
        """See ``Engine.submit``."""
        with self._lock:
            if self._waiting >= self._settings.waiting:
                raise BusyError(f"{self._waiting} requests wait already; try again in a second")
            self._waiting += 1
        request = QueuedRequest(job, deliver)
        self._enter(request)
        return request.cancelled.set

    def state(self) -> Mapping[str, Any]:
        """See ``Engine.state``."""
        alive = self._thread.is_alive() and not self._closed
        return {
            "waiting": self._waiting,
            "busy": self._busy,
            "written": self._written,
            "resident": self._resident(),
            "alive": alive,
            "down": "",
        }

    def close(self) -> None:
        """See ``Engine.close``."""
        with self._lock:
            self._closed = True
            self._work.put(None)
        self._thread.join()

    def _between(self, make: Callable[[], Ready]) -> Ready:
        """Make an adapter ready between two requests."""
        done: Future[Ready] = Future()
        self._enter(_Load(make, done))
        return done.result()

    def _enter(self, work: QueuedRequest | _Load) -> None:
        with self._lock:  # nothing comes after the end of the queue, where nobody would answer it
            if self._closed:
                raise EngineError("the engine is closed")
            self._work.put(work)

    def _serve(self) -> None:
        with self._around():
            while not self._closed and (work := self._work.get()) is not None:
                if isinstance(work, _Load):
                    self._answer_load(work)
                else:
                    with self._lock:
                        self._waiting -= 1
                    self._busy = True
                    self._answer(work)
                    self._busy = False
        while not self._work.empty():
            left = self._work.get()
            error = EngineError("the engine was closed")
            if isinstance(left, _Load):
                left.done.set_exception(error)
            elif left is not None:
                left.deliver(error)

    def _answer_load(self, work: _Load) -> None:
        try:
            work.done.set_result(work.make())
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            work.done.set_exception(error)

    def _answer(self, work: QueuedRequest) -> None:
        work.job.begun()
        try:
            for piece in self._pieces(work):
                work.deliver(piece)
            work.deliver(None)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            self._failed()
            work.deliver(error)


def prompt_of(tokenizer: Any, most: int, text: str | Segments, room: int) -> Prompt:
    """See ``Engine.prompt``, with a window of ``most`` tokens."""
    context, space = divide_segments(as_segments(text))
    (ids,) = token_ids(tokenizer, [context])
    ids = ids or [start_token(tokenizer)]
    most = max(most - room, 1)
    return Prompt(tuple(ids[-most:]), space, max(len(ids) - most, 0))


def model_file(base: BaseModel, name: str) -> dict[str, Any]:
    """A JSON file of a base; empty if there is none."""
    path = base.folder / name
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def window(own: int | None, settings: ServingSettings) -> int:
    """Tokens of prompt and answer, with a base's own limit, if it has one."""
    return min(settings.window, int(own)) if own else settings.window


def end_tokens(named: Any, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a text.

    Args:
        named: What the base's generation settings name: one, several or None.
        tokenizer: The base's, which has one too.
    """
    every = named if isinstance(named, list) else [named]
    return frozenset(int(token) for token in (*every, tokenizer.eos_token_id) if token is not None)
