"""Score new worker records with the project's fitted detectors."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.atomic import temporary_folder
from cortex_pipelines.config import Parameters
from cortex_pipelines.coordination.logs import CoordinationError, read_logs, take_coordination_pin
from cortex_pipelines.coordination.tables.metrics import metrics_with_counters
from cortex_pipelines.monitoring.anomalies.detector_store import DetectorError, load_detectors, score_records


@dataclass(frozen=True)
class DetectorScores:
    log: str
    windows: int
    alerts: pl.DataFrame

    def as_json(self) -> dict[str, Any]:
        alerts = [
            row | {name: row[name].isoformat() for name in ("start", "end")}
            for row in self.alerts.iter_rows(named=True)
        ]
        return {"log": self.log, "windows": self.windows, "alerts": alerts}


def score_file(path: Path, log: str | None, detectors: Path, params: Parameters) -> DetectorScores:
    """Score the records of a file by the detectors of a log; None goes by the name of the file.

    Raises:
        DetectorError: no detectors are fitted, or none for the log.
        CoordinationError: the file is missing or is not a log.
    """
    window, fitted_logs = load_detectors(detectors)
    log_name = _log_of(path.name, log, sorted(fitted_logs))
    folder = path.resolve().parent
    if not path.is_file():
        raise CoordinationError(f"no such file: {path}; expected a log in JSON lines")
    pin = take_coordination_pin(folder, folder, params.privacy)
    pin = {"files": [file for file in pin["files"] if file["path"] == path.name]}
    if not pin["files"]:
        raise CoordinationError(f"{path} is not a log; log files are named *.jsonl or *.ndjson")
    events = read_logs(folder, pin, params.coordination, params.privacy).events
    fitted_log = fitted_logs[log_name]
    metrics = metrics_with_counters(events, fitted_log.counters)
    return DetectorScores(log_name, *score_records(metrics, log_name, fitted_log, window))


def score_new_records(
    records: Sequence[Mapping[str, Any]], log: str, detectors: Path, params: Parameters
) -> DetectorScores:
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
