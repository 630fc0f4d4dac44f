"""Retry of transient failures: held locks and network errors."""

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

MAX_RETRIES = 3
DELAY_SECONDS = 10.0
"""Delay before the first retry, doubled for each further one."""

_TYPES = frozenset(
    {
        "ConnectionError",  # also the subclasses: reset, refused, broken pipe
        "TimeoutError",
        "Timeout",  # of requests and of filelock
        "TransportError",  # of httpx and its successors
        "LockError",  # of DVC
    }
)
_WORDS = (  # of git, of resolvers and of databases, which come as text only
    "could not resolve host",
    "temporary failure in name resolution",
    "connection timed out",
    "connection reset",
    "connection refused",
    "server closed the connection",
    "the database system is starting up",
    "early eof",
    "the remote end hung up",
    "returned error: 429",
    "returned error: 5",
)


def retry_policy() -> "dg.RetryPolicy":
    import dagster as dg

    return dg.RetryPolicy(
        max_retries=MAX_RETRIES, delay=DELAY_SECONDS, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
    )


def failure(error: BaseException) -> "dg.Failure":
    import dagster as dg

    return dg.Failure(f"{type(error).__name__}: {error}", allow_retries=is_transient(error))


def is_transient(error: BaseException) -> bool:
    return any(_passes(link) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    visited: list[BaseException] = []
    while error is not None and error not in visited:
        visited.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _passes(error: BaseException) -> bool:
    text = str(error).lower()
    if isinstance(error, sqlite3.OperationalError):
        return "locked" in text or "busy" in text
    if _TYPES & {cls.__name__ for cls in type(error).__mro__}:
        return True
    return _status(error) == 429 or _status(error) >= 500 or any(word in text for word in _WORDS)


def _status(error: BaseException) -> int:
    status = getattr(getattr(error, "response", None), "status_code", getattr(error, "code", 0))
    return status if isinstance(status, int) and 400 <= status < 600 else 0
