"""The most memory that this process and its children hold during a computation."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

NAME = "memory_mb"
_SECONDS_BETWEEN_LOOKS = 1.0
_OWN = Path("/proc/self")


@contextmanager
def observed_memory(observe: Callable[[str, float], None]) -> Iterator[None]:
    """Observe the peak in MB as ``memory_mb``; pages that processes share count for each.

    The process's own peak is the kernel's (proc(5), clear_refs), where there is one; that of its children is looked at
    once a second.
    """
    ended, peak = threading.Event(), [0]

    def look() -> None:
        process = psutil.Process()
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            used = process.memory_info().rss
            for child in process.children(recursive=True):
                with suppress(psutil.Error):
                    used += child.memory_info().rss
            peak[0] = max(peak[0], used)

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what earlier computations freed
    with suppress(OSError):
        (_OWN / "clear_refs").write_text("5")
    watcher = threading.Thread(target=look, name="peak memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        with suppress(OSError):
            status = dict(line.split(":", 1) for line in (_OWN / "status").read_text().splitlines())
            peak[0] = max(peak[0], 1024 * int(status["VmHWM"].split()[0]))
        observe(NAME, (peak[0] or psutil.Process().memory_info().rss) / 1e6)
