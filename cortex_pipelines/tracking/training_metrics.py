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


TRAINING_FILE = "training.json"
"""File with a training's curves in an output: lists of measurements with steps."""

_BATCH = 1000  # metrics that MLflow takes in one call


def record_curves(
    client: Any, run: str, timestamp: int, folder: Path, logged: Collection[tuple[str, int]] = ()
) -> None:
    """Log all measurements of an output's curves as ``<list>/<name>``, except those ``logged`` already while the run
    went.
    """
    from mlflow.entities import Metric

    metrics = [
        Metric(name, value, timestamp, step)
        for file in sorted(folder.glob(f"**/{TRAINING_FILE}"))
        for name, value, step in _measurements(file, file.parent.relative_to(folder).as_posix())
        if (name, step) not in logged
    ]
    for start in range(0, len(metrics), _BATCH):
        client.log_batch(run, metrics=metrics[start : start + _BATCH])


def _measurements(file: Path, part: str) -> Iterator[tuple[str, float, int]]:
    prefix = "" if part == "." else f"{part}/"
    for name, rows in json.loads(file.read_text(encoding="utf-8")).items():
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and "step" in row:
                for key, value in row.items():
                    if key != "step" and isinstance(value, int | float):
                        yield f"{prefix}{name}/{key}", float(value), int(row["step"])


_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


def record_trials(client: Any, experiment: str, parent: str, folder: Path) -> None:
    """Log each trial as a child of the output's run, if there was a search.

    Each has the trial's parameters, its ``value`` (with every step on the way), and the tags ``trial``, ``trial_state``
    and ``best``; the parent gets ``importance.png``.
    """
    file = folder / TRIALS_FILE
    if not file.exists():
        return
    search = json.loads(file.read_text(encoding="utf-8"))
    for trial in search["trials"]:
        _record(client, experiment, parent, trial, best=trial["number"] == search["best"])
    client.log_artifact(parent, str(file))
    if search["importance"]:
        client.log_figure(parent, _figure(search), "importance.png")


def _record(client: Any, experiment: str, parent: str, trial: dict[str, Any], *, best: bool) -> None:
    from mlflow.entities import Metric, Param

    run = client.create_run(
        experiment,
        run_name=f"trial {trial['number']}",
        tags={
            "mlflow.parentRunId": parent,
            "trial": str(trial["number"]),
            "trial_state": trial["state"],
            "best": str(best).lower(),
        },
    )
    start_time, run_id = run.info.start_time, run.info.run_id
    steps = [Metric("value", value, start_time, step) for step, value in trial["steps"]]
    last = [] if steps or trial["value"] is None else [Metric("value", trial["value"], start_time, 0)]
    client.log_batch(
        run_id, metrics=steps + last, params=[Param(name, str(value)) for name, value in trial["parameters"].items()]
    )
    client.set_terminated(run_id, _STATUS[trial["state"]])


def _figure(search: dict[str, Any]) -> Any:
    from matplotlib.figure import Figure

    shares = sorted(search["importance"].items(), key=lambda pair: (pair[1], pair[0]))
    figure = Figure(figsize=(6, 1 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shares], [share for _, share in shares])
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of the differences in {search['objective']} (fANOVA)")
    return figure
