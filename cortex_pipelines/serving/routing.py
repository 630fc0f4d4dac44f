"""The router behind a desk: tasks that come at the same time are decided together."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from cortex_pipelines.routing.serving.router import RULES, Decision, Router

_AT_ONCE = 256


class NoRouterError(RuntimeError):
    """There is neither a champion nor a file of rules."""


class RouterDesk:
    """Routes tasks on a thread of its own.

    While it decides, tasks gather, and the next pass takes all of them: a batch costs less than
    its tasks one by one, and nobody waits for a batch to fill.

    Args:
        load: Opens the router; called when the first task comes and when the stamp has changed.
        stamp: A value that is another one when the router has to be opened anew; cheap.
    """

    def __init__(self, load: Callable[[], Router], stamp: Callable[[], Any]) -> None:
        self._load = load
        self._stamp = stamp
        self._seen: Any = None
        self._router: Router | None = None
        self._work: queue.Queue[tuple[str, Future[Decision]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve, name="router", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[str]) -> "list[Future[Decision]]":
        """Decisions to come, one a task."""
        made: list[Future[Decision]] = [Future() for _ in texts]
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

    def _decide(self, pairs: Sequence[tuple[str, "Future[Decision]"]]) -> None:
        try:
            decisions = self._opened().route([text for text, _ in pairs]) if pairs else []
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked
            for _, done in pairs:
                done.set_exception(error)
            return
        for (_, done), decision in zip(pairs, decisions, strict=True):
            done.set_result(decision)

    def _opened(self) -> Router:
        now = self._stamp()
        if self._router is None or now != self._seen:
            self._router = self._load()
            self._seen = now
        return self._router


def way_of(decision: Decision) -> str:
    """The header's word for what decided: a model is no adapter and no base, so its name."""
    return "rules" if decision.model_version == RULES else "model"
