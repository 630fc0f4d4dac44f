"""Run one function in its own process and measure time, processor time and memory.

As a program: ``python -m benchmarks.measured MODULE:FUNCTION ARGUMENT…``. The function prepares the
work, untimed, and gives a function that does it and returns how much that was.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.timing import BenchmarkError, Spent
from benchmarks.workspace import Workspace

Act = Callable[[], float]
"""The timed function; returns its amount of work, in the caller's unit."""

_BETWEEN_LOOKS = 0.1


def measure_function(work: Workspace, target: str, *arguments: object) -> tuple[Spent, float]:
    """Cost of a function without imports and preparation, and its amount of work.

    Memory is that of the whole process and those it starts, looked at ten times a second; what
    they share counts for each.

    Args:
        work: Project in whose folder, and with whose code, the process runs.
        place: ``MODULE:FUNCTION`` that prepares the work.
        arguments: Its arguments; the function receives them as text.

    Raises:
        BenchmarkError: it failed.
    """
    words = (sys.executable, "-m", "benchmarks.measured", target, *map(str, arguments))
    peers = os.environ.get("PYTHONPATH", "")  # a peer need not be part of the environment
    paths = os.pathsep.join(filter(None, [str(work.root), peers]))
    with tempfile.TemporaryFile("w+") as errors, tempfile.TemporaryFile("w+") as result:
        process = subprocess.Popen(
            words, cwd=work.root, env=work.environment | {"PYTHONPATH": paths}, stdout=result, stderr=errors
        )
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            time.sleep(_BETWEEN_LOOKS)
        if process.returncode:
            errors.seek(0)
            end = errors.read()[-2000:]
            raise BenchmarkError(f"{' '.join(words)} left with {process.returncode}:\n{end}")
        result.seek(0)
        record = json.loads(result.read().splitlines()[-1])
    spent = Spent(record["wall"], record["cpu"], max(peak, record["peak"]))
    return spent, float(record["amount"])


def _resident(pid: int) -> float:
    """Current memory of a process and its children, in MiB."""
    memory = 0
    try:
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            memory += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # it ended while it was looked at
    return memory / 2**20


def own_peak() -> float:
    """Peak memory of this process, in MiB; 0 if the system does not report it.

    Not ``getrusage``: on Linux its figure begins with the memory of the process that started this.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return 0.0


def _cpu() -> float:
    """Processor time of this process and its finished children."""
    return sum(os.times()[:4])


def main(target: str, *arguments: str) -> None:
    """Prepare, then measure; the result is the last line of the output."""
    module, _, name = target.partition(":")
    act: Act = getattr(importlib.import_module(module), name)(*arguments)
    wall, cpu = time.perf_counter(), _cpu()
    amount = act()
    spent = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu}
    print(json.dumps(spent | {"peak": own_peak(), "amount": amount}))


if __name__ == "__main__":
    main(*sys.argv[1:])
