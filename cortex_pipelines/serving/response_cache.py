"""Response cache: repeated requests with the same prompt, release and parameters."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from dataclasses import fields
from functools import partial
from typing import Any, Generic, TypeVar

from cachetools import LRUCache

from cortex_pipelines.serving.engines.engine import Event, Job, Sampling, TextDelta
from cortex_pipelines.serving.security.access import context_value, current_principal

Value = TypeVar("Value")

_EACH = 200
"""Approximate bytes of a delta or token besides its text."""

ENABLED: ContextVar[bool] = ContextVar("cache enabled", default=True)


class LruCache(Generic[Value]):
    """Thread-safe LRU cache with a limit in bytes; 0 disables it."""

    def __init__(self, most: int) -> None:
        self._entries: LRUCache[bytes, tuple[Value, int]] = LRUCache(most, getsizeof=lambda entry: entry[1])
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Value | None:
        with self._lock:
            entry = self._entries.get(key)
        return entry[0] if entry else None

    def store(self, key: bytes, value: Value, size: int) -> None:
        with self._lock, suppress(ValueError):  # larger than the cache
            self._entries[key] = value, size + _EACH

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    @property
    def size(self) -> int:
        return int(self._entries.currsize)


def cache_disabled() -> AbstractContextManager[None]:
    return context_value(ENABLED, False)


def key_of(*parts: Any) -> bytes:
    """Hash of what determines an answer, and of the caller: others' requests must not be seen by timing."""
    return hashlib.sha256(repr((current_principal().name, *parts)).encode("utf-8", "surrogatepass")).digest()


def job_key(job: Job, release: str) -> bytes | None:
    """Cache key of a job; None if its answer is not deterministic."""
    sampling = job.sampling
    timed = sampling.finished is not None and not isinstance(sampling.finished, partial)  # depends on the clock
    if timed or (sampling.temperature and sampling.seed is None) or not (sampling.reuse and ENABLED.get()):
        return None
    adapter = job.adapter.version if job.adapter else None
    sampling_key = tuple(repr(getattr(sampling, field.name)) for field in fields(Sampling))
    return key_of(release, adapter, job.prompt.ids, job.prompt.start, sampling_key, job.count)


def storing_delivery(
    deliver: Callable[[Event], None], count: int, store: Callable[[tuple[TextDelta, ...], int], None]
) -> Callable[[Event], None]:
    """Wrap ``deliver`` to store all deltas and their size once the answers are complete."""
    deltas: list[TextDelta] = []

    def deliver_and_store(event: Event) -> None:
        if isinstance(event, TextDelta):
            deltas.append(event)
        elif event is None and sum(delta.finish in ("stop", "length") for delta in deltas) == count:
            token_count = sum(1 + len(token.top) for delta in deltas for token in delta.tokens)
            text_size = sum(len(delta.text.encode(errors="replace")) for delta in deltas)
            store(tuple(deltas), _EACH * (len(deltas) + token_count) + text_size)
        deliver(event)

    return deliver_and_store
