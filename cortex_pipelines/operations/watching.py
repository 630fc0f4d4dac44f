"""Score new worker records with the project's fitted detectors."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.coordination.logs import CoordinationError, read_logs, take_coordination_pin
from cortex_pipelines.coordination.tables.metrics import metrics_with_counters
from cortex_pipelines.routing.anomalies.kept import DetectorError, load_detectors, score_records


@dataclass(frozen=True)
class Watched:
    """Detector scores of new records.

    Args:
        log: Log whose detectors were used.
        windows: Windows that were scored.
        alerts: ``schemas.ANOMALY_ALERTS``.
    """

    log: str
    windows: int
    alerts: pl.DataFrame


def watch_file(path: Path, log: str | None, detectors: Path, params: Parameters) -> Watched:
    """Score the records of a file.

    Args:
        path: New records of a log, in its form.
        log: Which log, as ``series.parquet`` of the detectors names it; None to go by the name of
            the file.
        detectors: Output of ``worker_anomalies``.
        params: Parameters; of them the sections coordination and privacy count.

    Raises:
        DetectorError: there are no detectors, or none for such a log.
        CoordinationError: the file is not there or is no log.
    """
    window, watchers = load_detectors(detectors)
    chosen = _log_of(path.name, log, sorted(watchers))
    folder = path.resolve().parent
    if not path.is_file():
        raise CoordinationError(f"no such file: {path}; expected a log in JSON lines")
    pin = take_coordination_pin(folder, folder, params.privacy)
    pin = {"files": [file for file in pin["files"] if file["path"] == path.name]}
    if not pin["files"]:
        raise CoordinationError(f"{path} is not a log; log files are named *.jsonl or *.ndjson")
    events = read_logs(folder, pin, params.coordination, params.privacy).events
    watcher = watchers[chosen]
    metrics = metrics_with_counters(events, watcher.counters)
    return Watched(chosen, *score_records(metrics, chosen, watcher, window))


def _log_of(name: str, log: str | None, known: list[str]) -> str:
    matching = [file for file in known if (file == log if log else Path(file).name == name)]
    if len(matching) != 1:
        raise DetectorError(
            f"{len(matching)} of the fitted logs match {log or name}; choose one of them with "
            f"--log: {', '.join(known) or 'none is fitted'}"
        )
    return matching[0]
