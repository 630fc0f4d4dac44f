"""What stages take: seconds, memory and disk, from the past of this workspace or else from other projects' by size.

``stage_costs.json`` has linear models of each stage, fitted on real repositories by ``benchmarks/stage_costs.py``.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from cortex_pipelines.models.base_check import BaseFiles
from cortex_pipelines.tracking.recorded_versions import Run

FITTED = Path(__file__).parent / "stage_costs.json"
_SAME_STAGE = (0.6, 1.7)
"""Range around the last run, as a factor: a row cache may have made it shorter, other work on the machine longer."""
_COMPARED_PROJECTS = 8  # whose runs here say how quick this machine is


@dataclass(frozen=True)
class ProjectSize:
    """Bytes of code, commits of the history, and those of them that refactorings are mined from."""

    code: float
    commits: float
    mined: float

    def features(self) -> tuple[float, ...]:
        return (1.0, self.code / 1e6, self.commits / 1e3, self.mined / 1e3)


@dataclass(frozen=True)
class Estimate:
    """A value with the range that 80 % of stages are in."""

    expected: float
    low: float
    high: float

    def __mul__(self, factor: float) -> "Estimate":
        return Estimate(self.expected * factor, self.low * factor, self.high * factor)

    def as_json(self) -> dict[str, float]:
        return {"expected": round(self.expected, 2), "low": round(self.low, 2), "high": round(self.high, 2)}


def estimate(value: float, factors: Sequence[float]) -> Estimate:
    return Estimate(value, value * factors[0], value * factors[1])


def total(estimates: Iterable[Estimate]) -> Estimate:
    """The sum; stages are off independently of each other, so their deviations add as squares."""
    parts = list(estimates)
    expected = sum(part.expected for part in parts)
    below, above = (
        math.sqrt(sum((end - part.expected) ** 2 for part, end in ends))
        for ends in ([(part, part.low) for part in parts], [(part, part.high) for part in parts])
    )
    return Estimate(expected, max(expected - below, 0), expected + above)


@cache
def fitted() -> dict[str, Any]:
    """``projects``: how many were measured; ``overhead``: seconds around a stage; ``stages``: by asset, coefficients of
    ``ProjectSize.features`` for ``seconds`` on one core, ``memory`` in MB and ``disk`` in MB, each with its
    ``…_range``, and ``mapped``, the share of the seconds that workers divide among them.
    """
    return dict(json.loads(FITTED.read_text(encoding="utf-8")))


def modelled(asset: str, quantity: str, size: ProjectSize | None, workers: int = 1) -> Estimate | None:
    """What other projects' stages let expect of one of this size; None for an asset that was not measured."""
    model = fitted()["stages"].get(asset, {})
    if size is None or quantity not in model:
        return None
    value = sum(a * x for a, x in zip(model[quantity], size.features(), strict=True))
    if quantity == "seconds":
        parallel_share = model.get("mapped", 0.0)
        value *= 1 - parallel_share + parallel_share / workers
    return estimate(value, model[f"{quantity}_range"])


@dataclass(frozen=True)
class Cost:
    """Of a stage: seconds, MB of memory at the peak (that of the process included) and MB of its output; ``basis``:
    what the seconds are taken from.
    """

    seconds: Estimate | None
    memory: Estimate | None
    disk: Estimate | None
    basis: str

    def as_json(self) -> dict[str, Any]:
        values = {"seconds": self.seconds, "memory_mb": self.memory, "disk_mb": self.disk}
        return {**{name: value and value.as_json() for name, value in values.items()}, "basis": self.basis}


@dataclass(frozen=True)
class Past:
    """Runs of a workspace; ``size_of``: the size of a project, None if its sources cannot be listed; ``workers``: that
    stages have; ``base``: the base model, None if it is the shipped one or cannot be read yet.
    """

    runs: Mapping[tuple[str, str], Run]
    size_of: Callable[[str | None], ProjectSize | None]
    workers: int = 1
    base: Callable[[], BaseFiles | None] = lambda: None

    def cost(self, asset: str, partition: str | None) -> Cost:
        last_run = self.runs.get((asset, partition or ""))
        size = self._size(asset, partition)
        disk = modelled(asset, "disk", size)
        if last_run:
            memory = estimate(last_run.memory, _SAME_STAGE) if last_run.memory else modelled(asset, "memory", size)
            return Cost(
                estimate(last_run.seconds + fitted()["overhead"], _SAME_STAGE), memory, disk, "its last run here"
            )
        seconds, basis = self._seconds(asset, size)
        return Cost(seconds, modelled(asset, "memory", size), disk, basis)

    def _seconds(self, asset: str, size: ProjectSize | None) -> tuple[Estimate | None, str]:
        if expected := modelled(asset, "seconds", size, self.workers):
            basis = f"{fitted()['projects']} other projects"
            return expected * self._pace(asset), f"{basis} and runs here" if self.runs else basis
        seconds_of = {part: run.seconds for (name, part), run in self.runs.items() if name == asset}
        if seconds_of:
            slowest = max(seconds_of, key=seconds_of.__getitem__)
            return estimate(seconds_of[slowest] + fitted()["overhead"], _SAME_STAGE), f"the last run for {slowest}"
        return None, "no run here yet"

    def _size(self, asset: str, partition: str | None) -> ProjectSize | None:
        return self.size_of(partition) if asset in fitted()["stages"] else None

    def _pace(self, asset: str) -> float:
        """How much longer stages take here than modelled: of the same asset where it ran, or else of all."""
        compared = sorted({part for _, part in self.runs})[:_COMPARED_PROJECTS]
        ratios: dict[str, list[float]] = {}
        for (name, part), run in self.runs.items():
            expected = modelled(name, "seconds", self._size(name, part or None), self.workers)
            if part in compared and expected and expected.expected:  # 0 in a project without code
                ratios.setdefault(name, []).append((run.seconds + fitted()["overhead"]) / expected.expected)
        pace = ratios.get(asset) or [ratio for values in ratios.values() for ratio in values]
        return median(pace) if pace else 1.0
