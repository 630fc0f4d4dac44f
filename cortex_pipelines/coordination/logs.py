"""Pin the agent system's logs and read the pinned bytes."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.coordination.formats import PACKED, LogRecords, is_log_name, is_native_name, read_records
from cortex_pipelines.coordination.incremental import TABLES, LogReader, join_frames
from cortex_pipelines.coordination.mapping import mapped_log
from cortex_pipelines.coordination.outcome_values import read_outcome
from cortex_pipelines.coordination.records import canonical
from cortex_pipelines.coordination.settings import CoordinationSettings, CoordinationSource, Fact
from cortex_pipelines.coordination.task_ids import join_by_id
from cortex_pipelines.ingestion.connectors.snapshot import snapshot_rows
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import logs_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.progress import track
from cortex_pipelines.rowcache import RowCache

RULES_FILE = "routing-patterns.json"
"""The keyword rules stand beside the logs; pinned and read with them, they have a version too."""


class CoordinationError(RuntimeError):
    """The logs are missing or differ from their pins; the message says what to do."""


def logs_folder(logs: str, root: Path) -> Path:
    folder = root / Path(logs).expanduser()
    if not folder.is_dir():
        raise CoordinationError(f"coordination logs: no folder {folder}; set coordination.logs in params.yaml")
    return folder


@dataclass(frozen=True)
class Logs:
    """Parsed logs, without private data, as the four tables of ``schemas``."""

    events: pl.DataFrame
    rejected: pl.DataFrame
    redacted: pl.DataFrame
    unread: pl.DataFrame


def take_coordination_pin(folder: Path, root: Path, privacy: PrivacySettings, mapped: bool = False) -> dict[str, Any]:
    """Pin every log in a folder by size and SHA-256, for ``sources.lock``; of all formats if they are ``mapped``."""
    logs_root = logs_folder(str(folder), root)
    redact_path = PathRedactor(privacy, logs_key(privacy))
    files = []
    for path in log_files(logs_root, mapped):
        name = path.relative_to(logs_root).as_posix()
        try:
            name.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CoordinationError(f"coordination logs: rename {redact_path(name)!r}, it is not UTF-8") from error
        try:
            data = path.read_bytes()
        except PermissionError as error:
            raise CoordinationError(
                f"coordination logs: cannot read {redact_path(name)!r}; grant access to it"
            ) from error
        files.append({"path": redact_path(name), "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    return {"files": files}


def log_files(folder: Path, mapped: bool = False) -> list[Path]:
    """JSON lines and keyword rules; where logs of another form are mapped, all that can be read as records."""
    paths = (path for path in folder.rglob("*") if is_native_name(path.name) or path.name == RULES_FILE)
    if mapped:
        paths = (path for path in folder.rglob("*") if is_log_name(path.name))
    return sorted((path for path in paths if path.is_file()), key=lambda path: os.fsencode(path.relative_to(folder)))


def log_lines(name: str, data: bytes, mapping: Mapping[Fact, str], read: LogRecords | None = None) -> bytes:
    """A log as the JSON lines of the agent system: as it is, unpacked, or by the mapping; ``read`` if it was read."""
    is_read = (mapping or name.lower().endswith(PACKED)) and Path(name).name != RULES_FILE
    return mapped_log(name, read or read_records(name, data), mapping) if is_read else data


def read_logs(
    folder: Path,
    pin: Mapping[str, Any],
    settings: CoordinationSettings,
    privacy: PrivacySettings,
    cache: RowCache | None = None,
    observe: Callable[[str, float], None] | None = None,
    connected: Sequence[tuple[str, bytes]] = (),
) -> Logs:
    """Read the pinned logs, not what was appended since; of repeated records the first counts. Same without a cache."""
    if not pin or "files" not in pin:
        raise CoordinationError("coordination logs: nothing is pinned yet; run `cortex update`")
    reader = LogReader(settings.aliases, settings.test_rows, privacy, cache)
    redact_path = PathRedactor(privacy, logs_key(privacy))
    names = [path.relative_to(folder).as_posix() for path in log_files(folder, bool(settings.map))]
    names_by_path = {redact_path(name): name for name in names}
    read = []
    for item in track(list(pin["files"]), "Reading coordination logs"):
        name = names_by_path.get(item["path"], str(item["path"]))
        try:
            with (folder / name).open("rb") as file:
                data = file.read(int(item["size"]))
        except OSError as error:
            raise CoordinationError(
                f"coordination log {item['path']} cannot be read in {folder} ({error.strerror}); "
                "run `cortex update` to pin the current logs"
            ) from error
        if len(data) != item["size"] or hashlib.sha256(data).hexdigest() != item["sha256"]:
            raise CoordinationError(
                f"coordination log {item['path']} changed in its first {item['size']} bytes since it "
                "was pinned (logs may only grow); run `cortex update` to pin its current content"
            )
        read.append(reader.read(name, log_lines(name, data, settings.map)))
    read += [reader.read(name, data) for name, data in connected]
    if observe is not None:
        observe("scanned_bytes", float(sum(rows.scanned for rows in read)))
    frames = join_frames(rows.frames for rows in read)
    frames = (join_by_id(frames[0]), *frames[1:])
    return Logs(*(table.conform(frame) for table, frame in zip(TABLES, frames, strict=True)))


def pinned_outcomes(source: CoordinationSource, root: Path) -> Iterator[tuple[str, bytes]]:
    """The outcomes that dlt read when the logs were pinned: each table as a log, one record a line, with its name."""
    pins = {item["dlt"]: item for item in source.pin.get("sources", ())}
    for dlt_source in source.settings.sources:
        pin = pins.get(dlt_source.dlt, {})
        if dlt_source.declaration != {key: pin.get(key) for key in dlt_source.declaration}:
            raise CoordinationError(
                f"coordination logs: sources.lock has no pin for {dlt_source.label} as in "
                "params.yaml; run `cortex update`"
            )
        lines: dict[str, list[str]] = {name: [] for name in sorted(dlt_source.tables)}
        for table, row in snapshot_rows(dlt_source, pin["sha256"], root):
            record: Mapping[str, Any] = row
            for value in (row.get("success"), row.get("outcome")):
                success = read_outcome(value).success
                if success is not None:
                    outcome = row.get("outcome") or (value if isinstance(value, str) else None)
                    read = {**row, "outcome": outcome, "success": success}
                    record = {name: field for name, field in read.items() if field is not None}
                    break
            lines[table].append(canonical(record) + "\n")
        for table, table_lines in lines.items():
            yield f"dlt/{dlt_source.dlt}/{table}.jsonl", "".join(table_lines).encode("ascii")
