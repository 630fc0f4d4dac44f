"""Outcomes of tasks that dlt read, as logs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.coordination.records import canonical, said_success
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import snapshot_rows

_TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
"""Truth values of tables whose columns are all text."""


def connected_logs(source: DltSource, sha256: str, root: Path) -> Iterator[tuple[str, bytes]]:
    """Each table of a pinned snapshot as a log, one record a line, with its name.

    Raises:
        SourceError: the snapshot is not there, or not what was pinned.
    """
    lines: dict[str, list[str]] = {name: [] for name in sorted(source.tables)}
    for table, row in snapshot_rows(source, sha256, root):
        lines[table].append(canonical(_record(row)) + "\n")
    for table, written in lines.items():
        yield f"dlt/{source.dlt}/{table}.jsonl", "".join(written).encode("ascii")


def _record(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with its success as a truth value: databases have 0 and 1, or a word."""
    success, outcome = row.get("success"), row.get("outcome")
    if isinstance(success, str):
        success = _TRUTH.get(success.strip().lower(), success)
    if isinstance(success, str):
        outcome = outcome or success
    elif success in (0, 1):
        success = bool(success)
    if not isinstance(success, bool):
        success = said_success(str(success or outcome or ""))
    known = {"outcome": outcome, "success": success}
    return {name: value for name, value in {**row, **known}.items() if value is not None}
