"""What is seen of a training while it runs, and when it has to wait: never part of the result."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.training.history import LossPoint, Validation

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True)
class DivergenceLimits:
    """When a training waits for the machine; None for never.

    Args:
        load: Load average of a minute over the number of processors.
        memory: Share of the memory in use, 0 to 1.
    """

    load: float | None = None
    memory: float | None = None

    def passed(self) -> str | None:
        """Which limit is passed now, in words; None for none."""
        import psutil

        load = psutil.getloadavg()[0] / (os.cpu_count() or 1)
        memory = psutil.virtual_memory().percent / 100
        if self.load is not None and load > self.load:
            return f"the load is {load:.1f} a processor, above {self.load:g}"
        if self.memory is not None and memory > self.memory:
            return f"{memory:.0%} of the memory is in use, above {self.memory:.0%}"
        return None


def limits_here() -> DivergenceLimits:
    """The limits of this machine: ``CORTEX_PAUSE_LOAD`` and ``CORTEX_PAUSE_MEMORY``.

    They belong to a machine and cannot change an output, so they stand in the environment and not
    in ``params.yaml``, where an edit would make every adapter stale.

    Raises:
        ValueError: one of them is no number.
    """
    thresholds: list[float | None] = []
    for name in ("CORTEX_PAUSE_LOAD", "CORTEX_PAUSE_MEMORY"):
        text = os.environ.get(name)
        try:
            thresholds.append(float(text) if text else None)
        except ValueError as error:
            raise ValueError(f"{name} is {text!r}; it has to be a number such as 0.9") from error
    return DivergenceLimits(*thresholds)


@dataclass
class TrainingMonitor:
    """Speed and memory of a training, shown while it runs.

    Args:
        limits: When to wait.
        writer: A TensorBoard ``SummaryWriter``, if there is one.
        sleep: Waits so many seconds.
    """

    limits: DivergenceLimits = field(default_factory=DivergenceLimits)
    writer: Any = None
    sleep: Callable[[float], None] = time.sleep
    _tokens: int = 0
    _began: float = field(default_factory=time.monotonic)

    def wait(self) -> None:
        """Return once the machine is within its limits."""
        reason = self.limits.passed() if self.limits != DivergenceLimits() else None
        if reason is None:
            return
        _LOG.info("Training waits: %s", reason)
        before = time.monotonic()
        while self.limits.passed() is not None:
            self.sleep(_SECONDS_BETWEEN_LOOKS)
        self._began += time.monotonic() - before
        _LOG.info("Training goes on")

    def stepped(self, step: LossPoint) -> None:
        """Take note of a step."""
        self._tokens += step.tokens
        self._write("train/loss", step.loss, step.step)
        self._write("train/gradient_norm", step.gradient_norm, step.step)
        self._write("train/learning_rate", step.learning_rate, step.step)
        self._write("speed/tokens_per_second", self.speed(), step.step)
        self._write("memory/mib", memory_mib(), step.step)

    def measured(self, validation: Validation) -> None:
        """Take note of a measurement."""
        self._write("validation/loss", validation.loss, validation.step)

    def speed(self) -> float:
        """Tokens a second so far, without what was waited."""
        return self._tokens / max(time.monotonic() - self._began, 1e-9)

    def words(self) -> str:
        """Speed and memory for a progress bar."""
        return f"{self.speed():.0f} tokens/s, {memory_mib():.0f} MiB"

    def close(self) -> None:
        """Write what is still held back."""
        if self.writer is not None:
            self.writer.close()

    def _write(self, name: str, value: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar(name, value, step)


def memory_mib() -> float:
    """Memory that this process has now; of the accelerator where there is one."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.memory_allocated()) / 2**20
    return float(psutil.Process().memory_info().rss) / 2**20


def tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's event files, if that package is installed; else None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
