"""A measurement: what several runs cost, a target, and what it is compared with."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BenchmarkError(RuntimeError):
    """A measured command failed; the message has the end of its output."""


@dataclass(frozen=True)
class Spent:
    """What one run cost.

    Args:
        wall: Seconds that passed.
        cpu: Seconds of processor time, of all its processes; other work on the machine does not
            show in it.
        peak: Most memory that its processes held at a time, in MiB; 0 if that was not measured.
    """

    wall: float
    cpu: float
    peak: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        """One after the other."""
        return Spent(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


@dataclass(frozen=True)
class Timing:
    """What one way of doing something cost.

    Args:
        what: What was done, in a few words.
        runs: Each run.
        target: Most seconds wanted, if the project promises a figure.
        beside: ``what`` of the timing it is compared with, if any.
        peer: Whether this is what a user would pick instead, and not this program.
        note: What a reader has to know of it.
        amount: How much work a run did, for a rate and for comparison with another amount.
        unit: What the amount counts.
    """

    what: str
    runs: tuple[Spent, ...]
    target: float | None = None
    beside: str | None = None
    peer: bool = False
    note: str = ""
    amount: float | None = None
    unit: str = ""

    @property
    def median(self) -> float:
        """Median of the seconds that passed."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def median_cpu(self) -> float:
        """Median of the processor time."""
        return statistics.median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """Most memory of any run, in MiB; 0 if that was not measured."""
        return max(run.peak for run in self.runs)

    @property
    def rate(self) -> float | None:
        """Amount a second of processor time, which other work on the machine does not change."""
        return self.amount / max(self.median_cpu, 1e-9) if self.amount else None

    def as_json(self, timings: Sequence["Timing"]) -> dict[str, Any]:
        """Plain values, with the ratio to what it stands beside."""
        return {
            "what": self.what,
            "median_seconds": round(self.median, 4),
            "median_cpu_seconds": round(self.median_cpu, 4),
            "seconds": [round(run.wall, 4) for run in self.runs],
            "cpu_seconds": [round(run.cpu, 4) for run in self.runs],
            "target_seconds": self.target,
            "peak_mib": round(self.peak, 1) or None,
            "amount": self.amount,
            "unit": self.unit,
            "per_cpu_second": self.rate and round(self.rate, 3),
            "beside": self.beside,
            "ratio": self.ratio(timings),
            "peer": self.peer,
            "note": self.note,
        }

    def ratio(self, timings: Sequence["Timing"]) -> float | None:
        """Median against that of the timing it stands beside.

        Where both have an amount: processor time for one of what it counts, against the other's.
        """
        for other in timings:
            if other.what == self.beside:
                if self.rate and other.rate:
                    return round(other.rate / self.rate, 3)
                return round(self.median / other.median, 2)
        return None


def timed(act: Callable[[], Any]) -> Spent:
    """What a call in this process costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def repeat(times: int, act: Callable[[], Any]) -> tuple[Spent, ...]:
    """What each of several calls in this process costs."""
    return tuple(timed(act) for _ in range(times))


def command(words: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Spent:
    """What a process and those that it starts cost.

    Raises:
        BenchmarkError: it failed.
    """
    wall, before = time.perf_counter(), os.times()
    process = subprocess.run(list(words), cwd=cwd, env=dict(env), capture_output=True, text=True, check=False)
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of children that ended
    if process.returncode:
        output = (process.stdout + process.stderr)[-2000:]
        raise BenchmarkError(f"{' '.join(words)} left with {process.returncode}:\n{output}")
    return Spent(time.perf_counter() - wall, cpu)
