"""Answers that were given already: the same prompt, release and parameters need no model."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

from cortex_pipelines.serving.engines.engine import Event, Job, Sampling, TextDelta
from cortex_pipelines.serving.security.access import caller

Value = TypeVar("Value")

_EACH = 200
"""Bytes of a piece or a token beside its text, about."""

_WANTED: ContextVar[bool] = ContextVar("remembered answers", default=True)


class Remembered(Generic[Value]):
    """Values by key, the one used longest ago leaving first.

    Args:
        most: Bytes that are kept at most; 0 to keep nothing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Value | None:
        """The value of a key; None if it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: bytes, value: Value, size: int) -> None:
        """Keep a value of about ``size`` bytes, if there is room for it at all."""
        size += _EACH
        with self._lock:
            if key in self._kept or size > self._most:
                return
            self._kept[key] = value, size
            self._size += size
            while self._size > self._most:
                _, (_, left) = self._kept.popitem(last=False)
                self._size -= left

    def clear(self) -> None:
        """Keep nothing of what was."""
        with self._lock:
            self._kept.clear()
            self._size = 0

    @property
    def size(self) -> int:
        """Bytes, about."""
        return self._size


@contextmanager
def answered_anew() -> Iterator[None]:
    """Answer without what is remembered, and remember nothing."""
    before = _WANTED.set(False)
    try:
        yield
    finally:
        _WANTED.reset(before)


def key_of(*parts: Any) -> bytes:
    """Hash of all that decides an answer, and of who asks.

    Nobody learns from a quick answer what the holder of another key has asked.
    """
    return hashlib.sha256(repr((caller().name, *parts)).encode("utf-8", "surrogatepass")).digest()


def job_key(job: Job, release: str) -> bytes | None:
    """The key of a request to an engine; None if it may be answered differently each time.

    Args:
        job: The request.
        release: Version of the release that answers.
    """
    how = job.sampling
    timed = how.finished is not None and not is_dataclass(how.finished)  # it looks at the clock
    if timed or (how.temperature and how.seed is None) or not (how.reuse and _WANTED.get()):
        return None
    adapter = job.adapter.version if job.adapter else None
    chosen = tuple(repr(getattr(how, field.name)) for field in fields(Sampling))
    return key_of(release, adapter, job.prompt.ids, job.prompt.start, chosen, job.count)


def task_key(text: str) -> bytes | None:
    """The key of a task to be routed; None if it is to be decided anew."""
    return key_of(text) if _WANTED.get() else None


def keeping(
    deliver: Callable[[Event], None], count: int, keep: Callable[[tuple[TextDelta, ...], int], None]
) -> Callable[[Event], None]:
    """Delivers, and has kept what was delivered once all of it is there.

    Args:
        deliver: Takes pieces, then None.
        count: Number of answers.
        keep: Takes all pieces and their size in bytes; not called for what failed or was cancelled.
    """
    pieces: list[TextDelta] = []

    def deliver_and_keep(event: Event) -> None:
        if isinstance(event, TextDelta):
            pieces.append(event)
        elif event is None and _finished(pieces) == count:
            keep(tuple(pieces), sum(map(_size, pieces)))
        deliver(event)

    return deliver_and_keep


def _finished(pieces: Sequence[TextDelta]) -> int:
    return sum(piece.finish in ("stop", "length") for piece in pieces)


def _size(piece: TextDelta) -> int:
    shown = sum(1 + len(token.top) for token in piece.tokens)
    return _EACH * (1 + shown) + len(piece.text.encode(errors="replace"))
