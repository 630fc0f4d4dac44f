"""Scopes and roles, and the caller's principal: scopes, models and rate limit."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

SCOPES: Final[Mapping[str, str]] = {
    "complete": "completions, chats, gaps, embeddings, tokens, `/predict`, the playground",
    "route": "`/route`, `/outcomes/predict`, `/anomalies/score`",
    "feedback": "`/feedback`, `/v1/events`",
    "read": "models, overview, load, metrics, documentation, `/graphql`",
    "lineage": "what a model was made from: data sets, their versions, runs and commits",
    "data": "code of the projects: `/search`, `/context`, `/relations`, `context` of chats, agents' tools",
    "memory": "the projects' memories: `/memory` and everything below it, `remember`, `recall`",
    "audit": "`/audit`",
    "admin": "all of these, and every route that has no scope yet",
}
"""Scope to its description."""

Value = TypeVar("Value")

Role: TypeAlias = Literal["user", "maintainer", "auditor", "admin"]

_USER = ("complete", "route", "feedback", "read")
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "user": frozenset(_USER),
    "maintainer": frozenset({*_USER, "lineage", "data", "memory"}),
    "auditor": frozenset({"read", "lineage", "audit"}),
    "admin": frozenset({"admin"}),
}
"""Role to its scopes; the first is the default of new keys."""

DEFAULT_ROLE: Final = next(iter(ROLES))


def scopes_of(roles: Iterable[str], more: Iterable[str] = ()) -> frozenset[str]:
    return frozenset(more).union(*(ROLES[role] for role in roles))


def opens(has: frozenset[str], scope: str) -> bool:
    """Whether a set of scopes includes one; ``admin`` includes all."""
    return scope in has or "admin" in has


class TokenBucket:
    """Token bucket that refills continuously, up to one minute's allowance; ``clock`` is in seconds."""

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
        return bool(self.projects or self.models)

    def may(self, scope: str) -> bool:
        return self.scopes is None or opens(self.scopes, scope)

    def may_use(self, model: str) -> bool:
        project, _, version = model.partition("@")
        if not self.limited or project == "base" or project in self.projects:
            return True
        return model in self.models or (version == "canary" and project in self.models)

    def refusal(self, scopes: Iterable[str]) -> str:
        """Reason for refusing a request that requires scopes; empty if all are granted."""
        missing = sorted(scope for scope in scopes if not self.may(scope))
        if not missing:
            return ""
        roles = " or ".join(role for role, has in ROLES.items() if all(opens(has, scope) for scope in missing))
        lacks = f"the scope{'s' * (len(missing) > 1)} {', '.join(missing)}, which the role {roles} has"
        return f"{self.name} lacks {lacks} (it has {', '.join(sorted(self.scopes or ())) or 'none'})"

    def spend(self, tokens: int) -> None:
        if self.tokens is not None:
            self.tokens.spend(tokens)


_ANONYMOUS = Principal()
_PRINCIPAL: ContextVar[Principal] = ContextVar("principal", default=_ANONYMOUS)


def current_principal() -> Principal:
    """Principal of the current request; anonymous without authentication."""
    return _PRINCIPAL.get()


def acting_as(principal: Principal) -> AbstractContextManager[None]:
    """Set the principal of a request, also for thread pools that copy the context."""
    return context_value(_PRINCIPAL, principal)


@contextmanager
def context_value(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
