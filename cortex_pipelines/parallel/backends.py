"""What a backend of parallel work offers: bytes to a function and its result, wherever that runs."""

import hashlib
import pickle  # nosec B403: between this process and workers that it started
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

WORKER_MB = 250
"""Memory of a worker with the grammars and the tables of a batch."""

_PACKAGE = Path(__file__).parents[1]
_LARGE = 1 << 16


class Backend(Protocol):
    """Runs calls elsewhere, as many at once as there are ``workers``."""

    @property
    def workers(self) -> int: ...

    def is_ready(self) -> bool:
        """Whether calls would be answered now; raises BackendError if they never will."""
        ...

    def submit(self, function: bytes, batch: bytes) -> "Future[bytes]":
        """Start ``answer(function, batch)``; the future raises WorkerDiedError where no answer came."""
        ...

    def close(self) -> None:
        """End all workers, whatever they do."""
        ...


class BackendError(RuntimeError):
    """A backend cannot be used; the message says what to do."""


class WorkerDiedError(RuntimeError):
    """A worker ended, or its machine, before its answer came."""


def answer(function: bytes, batch: bytes) -> bytes:
    """The pickled result of a pickled function for a pickled batch, or the pickled exception it raised.

    The first byte tells which: ``=`` or ``!``.
    """
    return answer_of(_large(function) if len(function) > _LARGE else _small(function), batch)


def load(function: bytes) -> Callable[[Any], Any]:
    """A pickled function; where it cannot be loaded, one that raises why."""
    try:
        loaded: Callable[[Any], Any] = pickle.loads(function)  # nosec B301
    except Exception as error:  # noqa: BLE001 - raised in the driver
        return partial(_fail, error)
    return loaded


def answer_of(function: Callable[[Any], Any], batch: bytes) -> bytes:
    """``answer`` of a function that is loaded."""
    try:
        items = pickle.loads(batch)  # nosec B301
        return b"=" + pickle.dumps(function(items), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - raised in the driver
        return b"!" + _pickled(error)


def result_of(answered: bytes) -> Any:
    """The value in what ``answer`` returned; raises the exception in it."""
    value = pickle.loads(memoryview(answered)[1:])  # nosec B301
    if answered[:1] == b"!":
        raise value
    return value


# A large one may hold the texts of a whole project: only the last is kept.
_small: Callable[[bytes], Callable[[Any], Any]] = lru_cache(maxsize=8)(load)
_large: Callable[[bytes], Callable[[Any], Any]] = lru_cache(maxsize=1)(load)


def _fail(error: Exception, _: object) -> None:
    raise error


def _pickled(error: Exception) -> bytes:
    try:
        data = pickle.dumps(error)
        # an exception with arguments of its own may not be made again
        pickle.loads(data)  # nosec B301
    except Exception:  # noqa: BLE001 - said in words instead
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data


@cache
def code_digest() -> str:
    """Hash of this installation's code; a worker with another one would give other rows."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in (".py", ".scm", ".txt", ".yaml", ".json") and path.is_file():
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
