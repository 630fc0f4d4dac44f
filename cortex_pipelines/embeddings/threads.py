"""Control processor threads of numeric libraries."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import local
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

_MOST = 8  # most threads; with more, the interpreter lock dominates


@contextmanager
def pinned_threads(threads: int) -> Iterator[None]:
    """Run torch and numpy on a number of threads, then restore.

    How many there are decides in which order numbers are added up, and so the last digits.
    """
    from threadpoolctl import threadpool_limits

    with torch_threads(threads), threadpool_limits(threads, user_api="blas"):
        yield


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """As ``pinned_threads`` for torch alone: locating numpy's libraries is slow."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def serving_threads(threads: int) -> Iterator[None]:
    """As ``pinned_threads``, tuned for one decision, whose products are small.

    Numpy's libraries are those that were loaded at the first call.
    """
    with torch_threads(threads), _libraries().limit(limits=threads, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


_OF_WORKER = local()


def cores() -> int:
    """Cores of this process; in a thread of ``side_by_side``, which has the others for company, one."""
    return 1 if getattr(_OF_WORKER, "shared", False) else len(os.sched_getaffinity(0))


def _share() -> None:
    _OF_WORKER.shared = True


class _IdleCores:
    """Cores that other processes have left idle since a call at least ``_INTERVAL`` ago, less one for the caller."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._idle = 0

    def __call__(self) -> int:
        """0 at first, and where the system does not say.

        Threads that share a product wait for each other: beside two busy processes on two cores, one text took 12 to
        22 ms on two threads, up to 246 ms, and 4 ms on one. So do threads that are one and two in turn.
        """
        now = monotonic()
        if self._last is None or now - self._last[0] >= _INTERVAL:
            try:
                spent = _seconds_of_others()
            except OSError:
                return 0
            if self._last is not None:
                busy = (spent - self._last[1]) / (now - self._last[0])
                self._idle = max(0, round(cores() - busy) - 1)
            self._last = now, spent
        return self._idle


_INTERVAL = 0.25  # seconds: processor time is counted in hundredths


def _seconds_of_others() -> float:
    """Processor time of all other processes since the machine started."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text("ascii").split(None, 9)[1:9])
    own = os.times()
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK") - own.user - own.system


idle_cores = _IdleCores()


@contextmanager
def side_by_side(work: Callable[[T], R], parts: Sequence[T], threads: int) -> "Iterator[list[Future[R]]]":
    """Apply ``work``, which spends its time outside of the interpreter's lock, to each part on all cores.

    Which part is done first changes no result, so neither does the number of cores.
    """
    workers = max(1, min(cores() // threads, _MOST, len(parts)))
    with ThreadPoolExecutor(workers, initializer=_share) as pool:
        futures = [pool.submit(work, part) for part in parts]
        try:
            yield futures
        finally:
            pool.shutdown(cancel_futures=True)
