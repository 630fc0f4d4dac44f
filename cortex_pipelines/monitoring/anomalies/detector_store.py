"""Save, load and apply fitted detectors, without pickle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.atomic import atomic_file, temporary_folder
from cortex_pipelines.config import Parameters
from cortex_pipelines.coordination.logs import CoordinationError, read_logs, take_coordination_pin
from cortex_pipelines.coordination.tables.metrics import metrics_with_counters
from cortex_pipelines.monitoring.anomalies.detect import FittedDetectors, alert_rows
from cortex_pipelines.monitoring.anomalies.detectors import (
    AnomalyDetector,
    Autoencoder,
    DetectorEnsemble,
    IsolationForestDetector,
    PcaDetector,
)
from cortex_pipelines.monitoring.anomalies.windows import Scale, all_windows, series_of
from cortex_pipelines.schemas.monitoring import ANOMALY_ALERTS

DETECTORS_FILE = "detectors.json"
WEIGHTS_FILE = "detectors.safetensors"
_SINGLE = ("pca", "forest", "autoencoder")


class DetectorError(ValueError):
    """A folder holds no detectors, or none for a log."""


def save_detectors(folder: Path, fitted_logs: Mapping[str, FittedDetectors], window: int) -> None:
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    logs: dict[str, dict[str, Any]] = {}
    for number, (file, watcher) in enumerate(sorted(fitted_logs.items())):
        ensemble = watcher.detectors["mean"]
        assert isinstance(ensemble, DetectorEnsemble)  # nosec B101: what detect.py makes
        logs[file] = {
            "metrics": list(watcher.metrics),
            "counters": list(watcher.counters),
            "chosen": watcher.chosen,
            "criterion": watcher.criterion,
            "threshold": watcher.threshold,
            "mean": {name: list(getattr(ensemble, name)) for name in _SCALES},
        }
        parts = {"scale": _arrays(watcher.scale)} | {name: _arrays(watcher.detectors[name]) for name in _SINGLE}
        tensors |= {
            f"{number}.{part}.{name}": np.ascontiguousarray(array)
            for part, arrays in parts.items()
            for name, array in arrays.items()
        }
    text = json.dumps({"window": window, "logs": logs}, indent=1, sort_keys=True)
    (folder / DETECTORS_FILE).write_text(text + "\n", encoding="utf-8")
    with atomic_file(folder / WEIGHTS_FILE, durable=False) as scratch:
        save_file(tensors, scratch)


def load_detectors(folder: Path) -> tuple[int, dict[str, FittedDetectors]]:
    """Load window length and detectors by log, as saved by ``save_detectors``. Raises DetectorError: a file is missing
    or is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = json.loads((folder / DETECTORS_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_FILE)
        detectors = {
            file: _restored(values, number, tensors)
            for number, (file, values) in enumerate(sorted(stored["logs"].items()))
        }
        return int(stored["window"]), detectors
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise DetectorError(
            f"{folder}: no detectors ({type(error).__name__}: {error}); run `cortex run worker_anomalies --upstream`"
        ) from error


def score_records(
    metrics: pl.DataFrame, file: str, fitted_log: FittedDetectors, window: int
) -> tuple[int, pl.DataFrame]:
    """Number of windows, and alerts for new records of a log (counters as the detectors have them)."""
    series = series_of(metrics, fitted_log.metrics)
    if not series:
        return 0, ANOMALY_ALERTS.empty()
    windows = all_windows(series, window)
    # a metric missing from the new records counts as usual
    np.copyto(windows.values, fitted_log.scale.centre, where=np.isnan(windows.values))
    return len(windows), ANOMALY_ALERTS.frame(alert_rows(file, windows, fitted_log))


_SCALES = ("floors", "centres", "spreads")


def _arrays(part: Any) -> dict[str, np.ndarray]:
    if isinstance(part, Autoencoder):
        return {
            f"{index}.{name}": array
            for index, layer in enumerate(part.layers)
            for name, array in zip(("weight", "bias"), layer, strict=True)
        }
    return {field.name: getattr(part, field.name) for field in fields(part)}


def _restored(values: Mapping[str, Any], number: int, tensors: Mapping[str, np.ndarray]) -> FittedDetectors:
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        log, part, tensor = name.split(".", 2)
        if log == str(number):
            arrays.setdefault(part, {})[tensor] = array
    layers = arrays["autoencoder"]
    single: dict[str, AnomalyDetector] = {
        "pca": PcaDetector(**arrays["pca"]),
        "forest": IsolationForestDetector(**arrays["forest"]),
        "autoencoder": Autoencoder(
            tuple((layers[f"{index}.weight"], layers[f"{index}.bias"]) for index in range(len(layers) // 2))
        ),
    }
    scales = (tuple(values["mean"][name]) for name in _SCALES)
    return FittedDetectors(
        metrics=tuple(values["metrics"]),
        counters=tuple(values["counters"]),
        scale=Scale(**arrays["scale"]),
        detectors={"mean": DetectorEnsemble(tuple(single.values()), *scales), **single},
        chosen=values["chosen"],
        criterion=values["criterion"],
        threshold=values["threshold"],
    )


def score_file(path: Path, log: str | None, detectors: Path, params: Parameters) -> dict[str, Any]:
    """Score the records of a file by the detectors of a log; None goes by the name of the file. Returns ``log``,
    ``windows`` (how many there are) and ``alerts`` as JSON values. Raises DetectorError:
    no detectors are fitted, or none for the log. Raises CoordinationError: the file is missing or is not a log.
    """
    window, fitted_logs = load_detectors(detectors)
    log_name = _log_of(path.name, log, sorted(fitted_logs))
    folder = path.resolve().parent
    if not path.is_file():
        raise CoordinationError(f"no such file: {path}; expected a log in JSON lines")
    pin = take_coordination_pin(folder, folder, params.privacy, bool(params.coordination.map))
    pin = {"files": [file for file in pin["files"] if file["path"] == path.name]}
    if not pin["files"]:
        raise CoordinationError(f"{path} is not a log; log files are named *.jsonl or *.ndjson")
    events = read_logs(folder, pin, params.coordination, params.privacy).events
    fitted_log = fitted_logs[log_name]
    metrics = metrics_with_counters(events, fitted_log.counters)
    windows, frame = score_records(metrics, log_name, fitted_log, window)
    times = ("start", "end")
    alerts = [row | {name: row[name].isoformat() for name in times} for row in frame.iter_rows(named=True)]
    return {"log": log_name, "windows": windows, "alerts": alerts}


def score_new_records(
    records: Sequence[Mapping[str, Any]], log: str, detectors: Path, params: Parameters
) -> dict[str, Any]:
    """The same for records, the oldest first, that are in no file."""
    fitted_logs = sorted(load_detectors(detectors)[1])
    log_name = _log_of(log, log if log in fitted_logs else None, fitted_logs)
    with temporary_folder("records") as folder:
        path = folder / Path(log_name).name
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return score_file(path, log_name, detectors, params)


def _log_of(name: str, log: str | None, fitted_logs: list[str]) -> str:
    matching = [file for file in fitted_logs if (file == log if log else Path(file).name == name)]
    if len(matching) != 1:
        raise DetectorError(
            f"{len(matching)} of the fitted logs match {log or name}; choose one of them with "
            f"--log: {', '.join(fitted_logs) or 'none is fitted'}"
        )
    return matching[0]
