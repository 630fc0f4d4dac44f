"""Snapshots of a source's rows when it was pinned: files named by the hash of their content.

Lines are unique and sorted, one row each, so that the hash does not depend on the order of rows. A
snapshot may be the only copy of its rows, so it is not part of the cache.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.entries import Entries, File, SourceError, SourceLimits

SNAPSHOTS = Path(".cortex", "snapshots")
"""Folder of snapshots, below the project root and outside all outputs; private values are in it."""

Row = dict[str, Any]
"""The values of one row by their names in ``SHAPES``; what is null is left out."""


def write_snapshot(rows: Iterable[tuple[str, Row]], root: Path) -> tuple[str, int]:
    """Write a snapshot, readable by its owner alone; returns its SHA-256 and how many rows are in it."""
    records = ({"table": table, "row": row} for table, row in rows)
    lines = sorted(
        {json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n" for record in records}
    )
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
    return root / SNAPSHOTS / f"{sha256}.jsonl"


def snapshot_rows(source: DltSource, sha256: str, root: Path) -> Iterator[tuple[str, Row]]:
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


def prune_snapshots(root: Path, pinned_hashes: Iterable[str]) -> int:
    names = {snapshot_file(root, sha256).name for sha256 in pinned_hashes}
    stale = [path for path in (root / SNAPSHOTS).glob("*.jsonl") if path.name not in names]
    for path in stale:
        path.unlink()
    return len(stale)


_ISSUES = "issues/"
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_rows(source: DltSource, sha256: str, root: Path, limits: SourceLimits) -> Entries:
    for table, row in snapshot_rows(source, sha256, root):
        if limits.full:
            return
        if source.tables[table].rows == "issues":
            title = " ".join(str(row.get("title", "")).split())
            data = f"# {title}\n\n{str(row.get('text', '')).strip()}\n".encode()
            path = f"{_ISSUES}{_name(table)}/{_name(str(row['id']))}.md"
        else:
            body = row.get("body") or " "  # what has none is accounted for by the reader, if it sees it
            exported = {**row, "body": body}
            if "diff_hunk" not in row:
                suggestions = [{"from_content": row.get("before", ""), "to_content": row.get("after", "")}]
                exported = {"position": {"new_path": row["path"]}, "body": body, "suggestions": suggestions}
            document = json.dumps(exported, sort_keys=True, indent=1, ensure_ascii=False).encode()
            path = f"reviews/{_name(table)}/{hashlib.sha256(document).hexdigest()[:32]}.json"
            data = document + b"\n"
        yield limits.check(path, len(data)) or File(path, data)


def is_issue(source: str, path: str) -> bool:
    return source.startswith("dlt:") and path.startswith(_ISSUES)


def _name(name: str) -> str:
    if _HARMLESS.fullmatch(name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:32]
