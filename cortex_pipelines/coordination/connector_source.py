"""Outcomes of tasks that dlt read, as logs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cortex_pipelines.coordination.outcome_values import read_outcome
from cortex_pipelines.coordination.records import canonical
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.snapshot import snapshot_rows


def connector_logs(source: DltSource, sha256: str, root: Path) -> Iterator[tuple[str, bytes]]:
    """Each table of a pinned snapshot as a log, one record a line, with its name."""
    lines: dict[str, list[str]] = {name: [] for name in sorted(source.tables)}
    for table, row in snapshot_rows(source, sha256, root):
        lines[table].append(canonical(_record(row)) + "\n")
    for table, table_lines in lines.items():
        yield f"dlt/{source.dlt}/{table}.jsonl", "".join(table_lines).encode("ascii")


def _record(row: Mapping[str, Any]) -> Mapping[str, Any]:
    success, outcome = row.get("success"), row.get("outcome")
    for value in (success, outcome):
        reading = read_outcome(value)
        if reading.success is not None:
            word = value if isinstance(value, str) else None
            normalised = {"outcome": outcome or word, "success": reading.success}
            return {name: value for name, value in {**row, **normalised}.items() if value is not None}
    return row
