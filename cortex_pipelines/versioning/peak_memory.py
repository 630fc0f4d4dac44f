"""The most memory that this process and its children hold during a computation, and what each part of it costs."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import psutil

from cortex_pipelines.freed_memory import give_back
from cortex_pipelines.parallel.processes import JOB_OF

NAME = "memory_mb"
_SECONDS_BETWEEN_LOOKS = 1.0
_OWN = Path("/proc/self")
_highest = 0  # bytes, of the parts of a computation that have ended

Observe = Callable[[str, float], None]


@contextmanager
def observed_cost(observe: Observe, name: str) -> Iterator[None]:
    """Observe ``name/seconds``, and ``name/megabytes``: the process's peak meanwhile, whatever else it holds."""
    global _highest
    _highest = max(_highest, _own_peak())
    _forget_peak()
    began = monotonic()
    yield
    observe(f"{name}/seconds", monotonic() - began)
    observe(f"{name}/megabytes", (_own_peak() or psutil.Process().memory_info().rss) / 1e6)


def _own_peak() -> int:
    """Bytes, by the kernel; 0 where it does not say."""
    with suppress(OSError, KeyError):
        status = dict(line.split(":", 1) for line in (_OWN / "status").read_text().splitlines())
        return 1024 * int(status["VmHWM"].split()[0])
    return 0


def _forget_peak() -> None:
    with suppress(OSError):
        (_OWN / "clear_refs").write_text("5")


@contextmanager
def observed_memory(observe: Observe) -> Iterator[None]:
    """Observe the peak in MB as ``memory_mb``; pages that processes share count for each.

    The process's own peak is the kernel's (proc(5), clear_refs), where there is one; that of its children is looked at
    once a second.
    """
    global _highest
    stop, peak, _highest = threading.Event(), [0], 0

    def look() -> None:
        process = psutil.Process()
        while not stop.wait(_SECONDS_BETWEEN_LOOKS):
            used = process.memory_info().rss
            for child in process.children(recursive=True):
                with suppress(psutil.Error):
                    if child.environ().get(JOB_OF) != str(os.getpid()):
                        used += child.memory_info().rss
            peak[0] = max(peak[0], used)

    give_back()
    _forget_peak()
    watcher = threading.Thread(target=look, name="peak memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        peak[0] = max(peak[0], _own_peak(), _highest)
        observe(NAME, (peak[0] or psutil.Process().memory_info().rss) / 1e6)
