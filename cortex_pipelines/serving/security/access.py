"""Who asks, as far as the gateway's core has to know: models it may use, tokens it has left."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class Bucket:
    """An allowance a minute that fills up evenly, at most to one minute's worth.

    Args:
        each_minute: How much.
        clock: Seconds.
    """

    def __init__(self, each_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(each_minute)
        self._level = self._most
        self._clock = clock
        self._at = clock()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until something is left; 0 if something is."""
        with self._lock:
            now = self._clock()
            self._level = min(self._most, self._level + (now - self._at) * self._most / 60)
            self._at = now
            return max(0.0, (1 - self._level) * 60 / self._most)

    def spend(self, amount: int) -> None:
        """Take away; may go below nothing, as the length of an answer is known only afterwards."""
        with self._lock:
            self._level -= amount


@dataclass(frozen=True)
class Caller:
    """Whoever asks.

    Args:
        name: Of the key; empty where none is needed.
        projects: Projects whose models may be used; empty for all.
        tokens: Tokens left of this minute; None for no limit.
    """

    name: str = ""
    projects: tuple[str, ...] = ()
    tokens: Bucket | None = None

    def may_use(self, model: str) -> bool:
        """Whether a served name is of one of its projects; the base belongs to everybody."""
        project = model.partition("@")[0]
        return not self.projects or project == "base" or project in self.projects

    def spend(self, tokens: int) -> None:
        """Count tokens that were read or written."""
        if self.tokens is not None:
            self.tokens.spend(tokens)


_ANYBODY = Caller()
_CALLER: ContextVar[Caller] = ContextVar("caller", default=_ANYBODY)


def caller() -> Caller:
    """Who asks now; anybody where nobody has looked."""
    return _CALLER.get()


@contextmanager
def acting_for(who: Caller) -> Iterator[None]:
    """Answer for somebody; threads that are handed work from here know it, too."""
    before = _CALLER.set(who)
    try:
        yield
    finally:
        _CALLER.reset(before)
