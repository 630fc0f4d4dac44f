"""Monitor a running training, and pause it while the machine is busy."""

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
class MachineLimits:
    """Load average of a minute per processor, and share of memory in use, above which a training pauses."""

    load: float | None = None
    memory: float | None = None

    def exceeded(self) -> str | None:
        import psutil

        load = psutil.getloadavg()[0] / (os.cpu_count() or 1)
        memory = psutil.virtual_memory().percent / 100
        if self.load is not None and load > self.load:
            return f"the load is {load:.1f} a processor, above {self.load:g}"
        if self.memory is not None and memory > self.memory:
            return f"{memory:.0%} of the memory is in use, above {self.memory:.0%}"
        return None


def machine_limits() -> MachineLimits:
    """Limits of this machine: ``CORTEX_PAUSE_LOAD`` and ``CORTEX_PAUSE_MEMORY``.

    They belong to a machine and do not affect outputs, so they are environment variables: an edit of ``params.yaml``
    would make every adapter stale.
    """
    thresholds: list[float | None] = []
    for name in ("CORTEX_PAUSE_LOAD", "CORTEX_PAUSE_MEMORY"):
        text = os.environ.get(name)
        try:
            thresholds.append(float(text) if text else None)
        except ValueError as error:
            raise ValueError(f"{name} is {text!r}; it must be a number such as 0.9") from error
    return MachineLimits(*thresholds)


@dataclass
class TrainingMonitor:
    limits: MachineLimits = field(default_factory=MachineLimits)
    writer: Any = None
    sleep: Callable[[float], None] = time.sleep
    _tokens: int = 0
    _started: float = field(default_factory=time.monotonic)

    def wait(self) -> None:
        reason = self.limits.exceeded() if self.limits != MachineLimits() else None
        if reason is None:
            return
        _LOG.info("Training is paused: %s", reason)
        before = time.monotonic()
        while self.limits.exceeded() is not None:
            self.sleep(_SECONDS_BETWEEN_LOOKS)
        self._started += time.monotonic() - before
        _LOG.info("Training resumes")

    def record_step(self, step: LossPoint) -> None:
        self._tokens += step.tokens
        self._write("train/loss", step.loss, step.step)
        self._write("train/gradient_norm", step.gradient_norm, step.step)
        self._write("train/learning_rate", step.learning_rate, step.step)
        self._write("speed/tokens_per_second", self.tokens_per_second(), step.step)
        self._write("memory/mib", memory_mib(), step.step)

    def record_validation(self, validation: Validation) -> None:
        self._write("validation/loss", validation.loss, validation.step)

    def tokens_per_second(self) -> float:
        """Excludes pauses."""
        return self._tokens / max(time.monotonic() - self._started, 1e-9)

    def summary(self) -> str:
        return f"{self.tokens_per_second():.0f} tokens/s, {memory_mib():.0f} MiB"

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _write(self, name: str, value: float, step: int) -> None:
        if self.writer is not None:
            self.writer.add_scalar(name, value, step)


def memory_mib() -> float:
    """Memory in use by this process in MiB; the accelerator's where there is one."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.memory_allocated()) / 2**20
    return float(psutil.Process().memory_info().rss) / 2**20


def tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
