"""Metrics of a run in MLflow: live steps and system load, curves, trials of a search.

A training knows nothing of MLflow: it writes its course to a TensorBoard writer. For the time of a run that writer is
joined by one that writes to the run.
"""

import json
import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from cortex_pipelines.hyperparameter_search import TRIALS_FILE

_LOG = logging.getLogger("cortex_pipelines")
_SECONDS_BETWEEN_WRITES = 5.0
_SYSTEM_METRICS = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
Point = tuple[str, int]  # A metric's name and step


def batched(metrics: list[Any]) -> Iterator[list[Any]]:
    """Parts of as many metrics as MLflow takes in one call."""
    for start in range(0, len(metrics), 1000):
        yield metrics[start : start + 1000]


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

    def add(self, name: str, value: float, step: int) -> None:
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, float(value), int(time.time() * 1000), step))
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_WRITES:
            self.flush()

    def flush(self) -> None:
        from mlflow.exceptions import MlflowException

        waiting, self._waiting, self._last = self._waiting, [], time.monotonic()
        for part in batched(waiting):
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
    """Log system load and steps of trainings in this process to a run while it lasts."""
    from cortex_pipelines.adapters.training import launch

    name = "tensorboard"  # what the training calls to make its writer
    make_tensorboard_writer = getattr(launch, name)

    def writer(folder: Path) -> LiveWriter:
        task = folder.name.removeprefix(metrics.label).strip("-")
        return LiveWriter(metrics, f"{task}/" if task else "", make_tensorboard_writer(folder))

    with ExitStack() as stack:
        stack.callback(metrics.flush)
        stack.enter_context(mock.patch.object(launch, name, writer))
        if os.environ.get(_SYSTEM_METRICS, "true").strip().lower() not in ("false", "0"):
            # it logs its start and end, which is noise on a terminal
            logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            untyped: Any = SystemMetricsMonitor
            monitor = untyped(metrics.run_id, tracking_uri=uri)
            monitor.start()
            stack.callback(monitor.finish)
        yield


TRAINING_FILE = "training.json"  # file with a training's curves in an output: lists of measurements with steps


def record_curves(
    client: Any, run: str, timestamp: int, folder: Path, logged: Collection[tuple[str, int]] = ()
) -> None:
    """Log an output's curves as ``<list>/<name>``, except those ``logged`` already while the run went."""
    from mlflow.entities import Metric

    metrics = []
    for file in sorted(folder.glob(f"**/{TRAINING_FILE}")):
        for name, rows in json.loads(file.read_text(encoding="utf-8")).items():
            prefix = (file.parent.relative_to(folder) / name).as_posix()
            for row in rows if isinstance(rows, list) else ():
                if not isinstance(row, dict) or "step" not in row:
                    continue
                step = int(row["step"])
                metrics += [
                    Metric(f"{prefix}/{key}", float(value), timestamp, step)
                    for key, value in row.items()
                    if key != "step" and isinstance(value, int | float) and (f"{prefix}/{key}", step) not in logged
                ]
    for part in batched(metrics):
        client.log_batch(run, metrics=part)


_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


def record_trials(client: Any, experiment: str, parent: str, folder: Path) -> None:
    """Log each trial as a child of the output's run, if there was a search.

    Each has the trial's parameters, its ``value`` (with every step on the way), and the tags ``trial``, ``trial_state``
    and ``best``; the parent gets ``importance.png``.
    """
    from mlflow.entities import Metric, Param

    file = folder / TRIALS_FILE
    if not file.exists():
        return
    search = json.loads(file.read_text(encoding="utf-8"))
    for trial in search["trials"]:
        run = client.create_run(
            experiment,
            run_name=f"trial {trial['number']}",
            tags={
                "mlflow.parentRunId": parent,
                "trial": str(trial["number"]),
                "trial_state": trial["state"],
                "best": str(trial["number"] == search["best"]).lower(),
            },
        )
        start_time, run_id = run.info.start_time, run.info.run_id
        steps = [Metric("value", value, start_time, step) for step, value in trial["steps"]]
        last = [] if steps or trial["value"] is None else [Metric("value", trial["value"], start_time, 0)]
        client.log_batch(
            run_id,
            metrics=steps + last,
            params=[Param(name, str(value)) for name, value in trial["parameters"].items()],
        )
        client.set_terminated(run_id, _STATUS[trial["state"]])
    client.log_artifact(parent, str(file))
    if search["importance"]:
        from matplotlib.figure import Figure

        shares = sorted(search["importance"].items(), key=lambda pair: (pair[1], pair[0]))
        figure = Figure(figsize=(6, 1 + 0.4 * len(shares)), layout="constrained")
        axes = figure.subplots()
        axes.barh([name for name, _ in shares], [share for _, share in shares])
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"share of the differences in {search['objective']} (fANOVA)")
        client.log_figure(parent, figure, "importance.png")
