"""Response cache: repeated requests with the same prompt, release and parameters."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

from cortex_pipelines.serving.engines.engine import Event, Job, Sampling, TextDelta
from cortex_pipelines.serving.security.access import current_principal

Value = TypeVar("Value")

_EACH = 200
"""Approximate bytes of a delta or token besides its text."""

_ENABLED: ContextVar[bool] = ContextVar("remembered answers", default=True)


class LruCache(Generic[Value]):
    """Thread-safe LRU cache with a limit in bytes.

    Args:
        most: Limit in bytes; 0 disables the cache.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._entries: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Value | None:
        """The value of a key; None if missing."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def store(self, key: bytes, value: Value, size: int) -> None:
        """Store a value of about ``size`` bytes, unless it exceeds the limit."""
        size += _EACH
        with self._lock:
            if key in self._entries or size > self._most:
                return
            self._entries[key] = value, size
            self._size += size
            while self._size > self._most:
                _, (_, evicted_size) = self._entries.popitem(last=False)
                self._size -= evicted_size

    def clear(self) -> None:
        """Remove all values."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        return self._size


@contextmanager
def cache_disabled() -> Iterator[None]:
    """Bypass the cache for reads and writes."""
    token = _ENABLED.set(False)
    try:
        yield
    finally:
        _ENABLED.reset(token)


def key_of(*parts: Any) -> bytes:
    """Hash of everything that determines an answer, and of the caller.

    Including the caller prevents timing attacks on other callers' requests.
    """
    return hashlib.sha256(repr((current_principal().name, *parts)).encode("utf-8", "surrogatepass")).digest()


def job_key(job: Job, release: str) -> bytes | None:
    """Cache key of a job; None if its answer is not deterministic.

    Args:
        job: The job.
        release: Version of the release that answers.
    """
    sampling = job.sampling
    timed = sampling.finished is not None and not is_dataclass(sampling.finished)  # depends on the clock
    if timed or (sampling.temperature and sampling.seed is None) or not (sampling.reuse and _ENABLED.get()):
        return None
    adapter = job.adapter.version if job.adapter else None
    sampling_key = tuple(repr(getattr(sampling, field.name)) for field in fields(Sampling))
    return key_of(release, adapter, job.prompt.ids, job.prompt.start, sampling_key, job.count)


def task_key(text: str) -> bytes | None:
    """Cache key of a routing decision; None if the cache is bypassed."""
    return key_of(text) if _ENABLED.get() else None


def storing_delivery(
    deliver: Callable[[Event], None], count: int, store: Callable[[tuple[TextDelta, ...], int], None]
) -> Callable[[Event], None]:
    """Wrap ``deliver`` to store the answers once they are complete.

    Args:
        deliver: Receives deltas, then None.
        count: Number of answers.
        store: Receives all deltas and their size in bytes; not called after failure or
            cancellation.
    """
    deltas: list[TextDelta] = []

    def deliver_and_store(event: Event) -> None:
        if isinstance(event, TextDelta):
            deltas.append(event)
        elif event is None and _finished(deltas) == count:
            store(tuple(deltas), sum(map(_size, deltas)))
        deliver(event)

    return deliver_and_store


def _finished(deltas: Sequence[TextDelta]) -> int:
    return sum(delta.finish in ("stop", "length") for delta in deltas)


def _size(delta: TextDelta) -> int:
    scored_count = sum(1 + len(token.top) for token in delta.tokens)
    return _EACH * (1 + scored_count) + len(delta.text.encode(errors="replace"))
