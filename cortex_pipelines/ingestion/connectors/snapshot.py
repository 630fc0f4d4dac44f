"""Rows as they were when a pin was taken: a file named by the hash of its content.

One row a line, each once and sorted, so that the same rows have the same hash in whatever order
they came. A snapshot holds what no other place may hold any more, so it is no part of the cache.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.entries import SourceError

SNAPSHOTS = Path(".cortex", "snapshots")
"""Folder of snapshots, below the project root and outside all outputs; private values are in it."""

Row = dict[str, Any]
"""The values of one row by their names in ``SHAPES``; what is null is left out."""


def keep_rows(rows: Iterable[tuple[str, Row]], root: Path) -> tuple[str, int]:
    """Write a snapshot, readable by its owner alone.

    Args:
        rows: Rows, each with the name of its table.
        root: Project root.

    Returns:
        SHA-256 of the snapshot, and how many rows are in it.
    """
    lines = sorted({_line(table, row) for table, row in rows})
    data = "".join(lines).encode("ascii")
    sha256 = hashlib.sha256(data).hexdigest()
    path = snapshot_file(root, sha256)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(path) as scratch:
            scratch.chmod(0o600)
            scratch.write_bytes(data)
    return sha256, len(lines)


def snapshot_file(root: Path, sha256: str) -> Path:
    """Where a snapshot is."""
    return root / SNAPSHOTS / f"{sha256}.jsonl"


def snapshot_rows(source: DltSource, sha256: str, root: Path) -> Iterator[tuple[str, Row]]:
    """The rows of a pinned snapshot, each with the name of its table, in their order.

    Raises:
        SourceError: it is not there, or not what was pinned.
    """
    try:
        data = snapshot_file(root, sha256).read_bytes()
    except OSError as error:
        raise SourceError(
            f"{source.label}: the snapshot that sources.lock names is not on this machine "
            f"({SNAPSHOTS.as_posix()}/{sha256[:12]}….jsonl); copy it from where it was taken, or "
            "run `cortex update` to take the rows as they are now"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceError(
            f"{source.label}: the snapshot {SNAPSHOTS.as_posix()}/{sha256[:12]}….jsonl was "
            "changed; delete it and run `cortex update`, or copy it from where it was taken"
        )
    for line in data.decode("ascii").splitlines():
        entry = json.loads(line)
        yield entry["table"], entry["row"]


def drop_snapshots(root: Path, kept: Iterable[str]) -> int:
    """Delete all snapshots but some; gives how many."""
    names = {snapshot_file(root, sha256).name for sha256 in kept}
    gone = [path for path in (root / SNAPSHOTS).glob("*.jsonl") if path.name not in names]
    for path in gone:
        path.unlink()
    return len(gone)


def _line(table: str, row: Row) -> str:
    whole = {"table": table, "row": row}
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n"
