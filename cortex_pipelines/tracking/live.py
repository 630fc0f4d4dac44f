"""Live metrics of a run in MLflow: system load and training steps.

A training knows nothing of MLflow: it writes its course to a TensorBoard writer. For the time of a run that writer is
joined by one that writes to the run.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_WRITES = 5.0
_SYSTEM_METRICS = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"

Point = tuple[str, int]
"""A metric's name and step."""


@dataclass
class LiveMetrics:
    """Writes a training's metrics to a run with a few seconds' delay.

    A server that cannot be reached must not end a training of hours: what it does not take now is written when the run
    ends.
    """

    client: Any
    run_id: str
    label: str
    written: set[Point] = field(default_factory=set)
    _waiting: list[Any] = field(default_factory=list)
    _rejected: bool = False
    _last: float = field(default_factory=time.monotonic)

    def writer(self, folder: Path, tensorboard_writer: Any) -> "LiveWriter":
        task = folder.name.removeprefix(self.label).strip("-")
        return LiveWriter(self, f"{task}/" if task else "", tensorboard_writer)

    def add(self, name: str, value: float, step: int) -> None:
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, float(value), int(time.time() * 1000), step))
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_WRITES:
            self.flush()

    def flush(self) -> None:
        from mlflow.exceptions import MlflowException

        waiting, self._waiting, self._last = self._waiting, [], time.monotonic()
        for start in range(0, len(waiting), 1000):  # as many as MLflow takes in one call
            part = waiting[start : start + 1000]
            try:
                self.client.log_batch(self.run_id, metrics=part)
            except MlflowException as error:
                if not self._rejected:
                    _LOG.warning(
                        "MLflow takes no metrics of run %s now (%s); they are entered when it ends",
                        self.run_id,
                        str(error).partition("\n")[0],
                    )
                self._rejected = True
                continue
            self.written |= {(metric.key, metric.step) for metric in part}


@dataclass
class LiveWriter:
    """The part of a TensorBoard writer that a training uses."""

    metrics: LiveMetrics
    prefix: str
    tensorboard_writer: Any

    def add_scalar(self, name: str, value: float, step: int) -> None:
        mlflow_name = name.replace("train/", "steps/", 1) if name.startswith("train/") else name
        self.metrics.add(f"{self.prefix}{mlflow_name}", value, step)
        if self.tensorboard_writer is not None:
            self.tensorboard_writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.metrics.flush()
        if self.tensorboard_writer is not None:
            self.tensorboard_writer.close()


@contextmanager
def live_metrics(metrics: LiveMetrics, uri: str) -> Iterator[None]:
    """Log system load and training steps to a run while it lasts.

    Trainings in several processes are not seen before they end.
    """
    from cortex_pipelines.adapters.training import launch

    name = "tensorboard"  # what the training calls to make its writer
    make_tensorboard_writer = getattr(launch, name)

    def writer(folder: Path) -> LiveWriter:
        return metrics.writer(folder, make_tensorboard_writer(folder))

    with ExitStack() as stack:
        stack.callback(metrics.flush)
        stack.enter_context(mock.patch.object(launch, name, writer))
        if os.environ.get(_SYSTEM_METRICS, "true").strip().lower() not in ("false", "0"):
            stack.callback(_system_metrics(metrics.run_id, uri).finish)
        yield


def _system_metrics(run_id: str, uri: str) -> Any:
    # it logs its start and end, which is noise on a terminal
    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    untyped: Any = SystemMetricsMonitor
    monitor = untyped(run_id, tracking_uri=uri)
    monitor.start()
    return monitor
