"""The caller's principal: scopes, models and rate limit."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from cortex_pipelines.serving.security.roles import opens, remedy


class TokenBucket:
    """Token bucket that refills continuously, up to one minute's allowance.

    Args:
        each_minute: Allowance per minute.
        clock: Time in seconds.
    """

    def __init__(self, each_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(each_minute)
        self._level = self._most
        self._clock = clock
        self._at = clock()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until at least one unit is available; 0 if one is."""
        with self._lock:
            current_time = self._clock()
            self._level = min(self._most, self._level + (current_time - self._at) * self._most / 60)
            self._at = current_time
            return max(0.0, (1 - self._level) * 60 / self._most)

    def spend(self, amount: int) -> None:
        """Spend an amount; may overdraw, as an answer's length is known only afterwards."""
        with self._lock:
            self._level -= amount


@dataclass(frozen=True)
class Principal:
    """The authenticated caller.

    Args:
        name: Name of the key, or subject of the token; empty for anonymous.
        scopes: Granted scopes; None for all.
        projects: Projects whose models may be used; empty for all, if ``models`` is empty, too.
        models: Further served names that may be used; a name without @ includes its canary.
        tokens: Rate limit of tokens; None for no limit.
    """

    name: str = ""
    scopes: frozenset[str] | None = None
    projects: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tokens: TokenBucket | None = None

    @property
    def limited(self) -> bool:
        """Whether access is restricted to some models."""
        return bool(self.projects or self.models)

    def may(self, scope: str) -> bool:
        """Whether a scope is granted."""
        return self.scopes is None or opens(self.scopes, scope)

    def may_use(self, model: str) -> bool:
        """Whether a served name may be used; the base always may."""
        project, _, version = model.partition("@")
        if not self.limited or project == "base" or project in self.projects:
            return True
        return model in self.models or (version == "canary" and project in self.models)

    def refusal(self, scopes: Iterable[str]) -> str:
        """Reason for refusing a request that requires scopes; empty if all are granted."""
        missing = [scope for scope in scopes if not self.may(scope)]
        if not missing:
            return ""
        has = ", ".join(sorted(self.scopes or ())) or "none"
        return f"{self.name} lacks {remedy(missing)} (it has {has})"

    def spend(self, tokens: int) -> None:
        """Count prompt or answer tokens against the rate limit."""
        if self.tokens is not None:
            self.tokens.spend(tokens)


_ANONYMOUS = Principal()
_PRINCIPAL: ContextVar[Principal] = ContextVar("caller", default=_ANONYMOUS)


def current_principal() -> Principal:
    """Principal of the current request; anonymous without authentication."""
    return _PRINCIPAL.get()


@contextmanager
def acting_as(principal: Principal) -> Iterator[None]:
    """Set the principal of a request, also for thread pools that copy the context."""
    before = _PRINCIPAL.set(principal)
    try:
        yield
    finally:
        _PRINCIPAL.reset(before)
