"""Training curves as MLflow metrics over steps."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

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
