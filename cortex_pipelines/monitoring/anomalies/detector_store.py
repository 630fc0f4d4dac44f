"""Save, load and apply fitted detectors, without pickle."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.monitoring.anomalies.detect import FittedDetectors, alert_rows
from cortex_pipelines.monitoring.anomalies.detectors import (
    AnomalyDetector,
    Autoencoder,
    DetectorEnsemble,
    IsolationForestDetector,
    PcaDetector,
)
from cortex_pipelines.monitoring.anomalies.series import series_of
from cortex_pipelines.monitoring.anomalies.windows import Scale, all_windows
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
    """Load window length and detectors by log, as saved by ``save_detectors``.

    Raises:
        DetectorError: a file is missing or is not what was written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = json.loads((folder / DETECTORS_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_FILE)
        detectors = {
            file: _restored(values, _log_tensors(tensors, number))
            for number, (file, values) in enumerate(sorted(stored["logs"].items()))
        }
        return int(stored["window"]), detectors
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise DetectorError(
            f"{folder}: no detectors ({type(error).__name__}: {error}); run `cortex run worker_anomalies` first"
        ) from error


def score_records(
    metrics: pl.DataFrame, file: str, fitted_log: FittedDetectors, window: int
) -> tuple[int, pl.DataFrame]:
    """Number of windows, and alerts for new records of a log (counters as the detectors have them)."""
    series = series_of(metrics, fitted_log.metrics)
    if not series:
        return 0, ANOMALY_ALERTS.empty()
    windows = all_windows(series, window)
    # a metric that never stands in the new records is as usual
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


def _log_tensors(tensors: Mapping[str, np.ndarray], number: int) -> dict[str, dict[str, np.ndarray]]:
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        log, part, tensor = name.split(".", 2)
        if log == str(number):
            parts.setdefault(part, {})[tensor] = array
    return parts


def _restored(values: Mapping[str, Any], arrays: Mapping[str, dict[str, np.ndarray]]) -> FittedDetectors:
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
