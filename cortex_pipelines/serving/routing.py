"""The router behind a desk: tasks that come at the same time are decided together."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from cortex_pipelines.routing.serving.router import RULES, Decision, Router, RouterError
from cortex_pipelines.serving.engines.engine import EngineError

_AT_ONCE = 256


class NoRouterError(RuntimeError):
    """There is neither a champion nor a file of rules."""


@dataclass(frozen=True)
class Opened:
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
    """

    decision: Decision
    notice: str

    @property
    def way(self) -> str:
        """``model`` for the champion, ``rules`` for the keyword rules."""
        return RULES if self.decision.model_version == RULES else "model"


class RouterDesk:
    """Routes tasks on a thread of its own.

    While it decides, tasks gather, and the next pass takes all of them: a batch costs less than
    its tasks one by one, and nobody waits for a batch to fill.

    Args:
        load: Opens the router; called when the first task comes and when the stamp has changed.
        stamp: A value that is another one when the router has to be opened anew; cheap.
    """

    def __init__(self, load: Callable[[], Opened], stamp: Callable[[], Any]) -> None:
        self._load = load
        self._stamp = stamp
        self._seen: Any = None
        self._open: Opened | None = None
        self._work: queue.Queue[tuple[str, Future[Routed]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name="router", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str]) -> "list[Future[Routed]]":
        """Decisions to come, one a task; NoRouterError where there is no router."""
        made: list[Future[Routed]] = [Future() for _ in texts]
        for pair in zip(texts, made, strict=True):
            self._work.put(pair)
        return made

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
            self._decide([pair for pair in batch if pair is not None])

    def _decide(self, pairs: "Sequence[tuple[str, Future[Routed]]]") -> None:
        if not pairs:
            return
        try:
            opened = self._current()
            decisions = opened.router.route([text for text, _ in pairs])
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            for _, done in pairs:
                done.set_exception(_named(error))
            return
        for (_, done), decision in zip(pairs, decisions, strict=True):
            done.set_result(Routed(decision, opened.notice))

    def _current(self) -> Opened:
        now = self._stamp()
        if self._open is None or now != self._seen:
            self._open = self._load()
            self._seen = now
        return self._open


def _named(error: BaseException) -> BaseException:
    if isinstance(error, RouterError):
        return NoRouterError(str(error))
    made = EngineError(f"the router failed: {type(error).__name__}: {error}")
    made.__cause__ = error
    return made
