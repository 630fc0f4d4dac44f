"""Who asks, as far as the gateway's core has to know: models it may use, tokens it has left."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from cortex_pipelines.serving.security.roles import opens, remedy


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
        name: Of the key, or of the token's subject; empty where nobody needs either.
        scopes: What may be asked for; None for everything.
        projects: Projects whose models may be used; empty for all, if ``models`` is empty, too.
        models: Served names that may be used besides; one without @ stands for its canary, too.
        tokens: Tokens left of this minute; None for no limit.
    """

    name: str = ""
    scopes: frozenset[str] | None = None
    projects: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tokens: Bucket | None = None

    @property
    def limited(self) -> bool:
        """Whether there are models that may not be used."""
        return bool(self.projects or self.models)

    def may(self, scope: str) -> bool:
        """Whether something of a scope may be asked for."""
        return self.scopes is None or opens(self.scopes, scope)

    def may_use(self, model: str) -> bool:
        """Whether a served name is among its own; the base belongs to everybody."""
        project, _, version = model.partition("@")
        if not self.limited or project == "base" or project in self.projects:
            return True
        return model in self.models or (version == "canary" and project in self.models)

    def refusal(self, scopes: Iterable[str]) -> str:
        """Why something may not be asked for that needs scopes; empty if it may."""
        missing = [scope for scope in scopes if not self.may(scope)]
        if not missing:
            return ""
        has = ", ".join(sorted(self.scopes or ())) or "none"
        return f"{self.name} lacks {remedy(missing)} (it has {has})"

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
