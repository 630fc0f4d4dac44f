"""Append-only audit log of requests, each entry chained to the previous one by its hash.

A changed, removed or inserted line breaks the chain. The chain cannot reveal that lines are missing at its end, or that
the whole file was rewritten: for that, note the last hash elsewhere from time to time and pass it to the check.

Forgetting a person removes the personal fields of their entries, which are then marked and keep their original hash
(``was``), so the chain and all noted hashes stay valid. A tombstone in the chain binds the redacted entries. A nonce in
each entry, removed with the name, prevents testing guesses of the name against that hash.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cortex_pipelines.jsonl import line_start, open_for_append, rewrite, stripped_lines

FILE = "audit.jsonl"
FIRST = "0" * 64
"""Previous hash of the first entry."""

_PERSONAL = frozenset({"key", "trace", "nonce", "torn"})
"""Fields that identify the caller, or could be traced to them."""

_LONGEST = 2048
"""Upper bound of an entry in bytes."""

_TAIL = 1 << 16
"""Bytes read at the end; far more than the longest line and a torn one after it."""


class AuditLog:
    """The log of a gateway; several processes may write to one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._last_state = (-1, -1)
        self._previous = FIRST

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; a torn line of a killed process is recorded by its hash."""
        with self._lock, open_for_append(self._path) as file:
            size, torn, start = file.seek(0, os.SEEK_END), b"", b""
            inode = os.fstat(file.fileno()).st_ino
            if (inode, size) != self._last_state:  # first entry of this process, or another process wrote
                self._previous, torn, start = _end(file, size)
            full_entry = {**entry, "nonce": secrets.token_hex(16)}
            if torn:
                full_entry["torn"] = _hash(torn)
            line = _line(full_entry, self._previous)
            self._last_state = (-1, -1)  # reread the file if the next step fails
            file.write(start + line + b"\n")
            file.flush()
            self._last_state, self._previous = (inode, file.tell()), _hash(line)

    def forget(self, is_subject: Callable[[str], bool]) -> int:
        """Redact a person in all entries, bound by a tombstone at the end; torn lines go, too. Returns how many."""
        if not self._path.exists():
            return 0
        count, torn = 0, False
        with self._path.open("rb") as file:
            for entry in map(_entry, stripped_lines(file)):
                torn = torn or entry is None
                count += entry is not None and is_subject(entry.get("key", ""))
        if count or torn:
            rewrite(self._path, lambda lines: _redact_lines(lines, is_subject))
        return count


@dataclass(frozen=True)
class ChainCheck:
    """Number of entries up to the first break, and the last one's hash."""

    entries: int
    head: str
    problem: str = ""
    unfinished: bool = False
    redacted: int = 0


def verify(path: Path, head: str | None = None) -> ChainCheck:
    """Check the chain; ``head`` is an earlier last hash that it must contain."""
    previous, count, head_found, torn = FIRST, 0, head is None, b""
    redacted: dict[str, list[str]] = {}
    bound: dict[str, str] = {}
    with path.open("rb") as file:
        for number, line in enumerate(stripped_lines(file), 1):
            entry = _entry(line)
            if entry is None:
                torn = torn + b"\n" + line if torn else line
                continue
            problem = ""
            if entry.get("torn") != (_hash(torn) if torn else None):
                problem = ": the text before it is not a torn entry"
            elif entry["previous"] != previous:
                problem = " does not follow: the one before was changed, or lines between were taken out or put in"
            if problem:
                return ChainCheck(count, previous, f"line {number}{problem}")
            if "was" in entry:
                redacted.setdefault(str(entry.get("redacted")), []).append(_hash(line))
            if "tombstone" in entry:
                bound[str(entry["tombstone"])] = str(entry.get("digest"))
            previous, count, torn = _link(entry, line), count + 1, b""
            head_found = head_found or previous == head
    problem = "" if head_found else f"no line has the hash {head}: lines at the end were taken out"
    if {name: _hash("".join(hashes).encode()) for name, hashes in redacted.items()} != bound:
        problem = "redacted entries do not match their tombstone"
    return ChainCheck(count, previous, problem, bool(torn), sum(map(len, redacted.values())))


def latest_entries(path: Path, count: int) -> list[dict[str, Any]]:
    """The latest entries, oldest first; empty without a log."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - count * _LONGEST)
            file.seek(start)
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    entries = [_entry(line) for line in (lines[1:] if start else lines)]
    return [entry for entry in entries if entry is not None][-count:]


def _end(file: BinaryIO, size: int) -> tuple[str, bytes, bytes]:
    """Hash of the last complete entry, the torn bytes after it, and the prefix of the next line."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    start = line_start(file)
    lines = [line for line in tail.split(b"\n") if line]
    torn: list[bytes] = []
    while lines and _entry(lines[-1]) is None:
        torn.insert(0, lines.pop())
    entry = _entry(lines[-1]) if lines else None
    return (_link(entry, lines[-1]) if entry else FIRST), b"\n".join(torn), start


def _redact_lines(lines: Iterator[bytes], is_subject: Callable[[str], bool]) -> Iterator[bytes]:
    name, previous, torn = secrets.token_hex(8), FIRST, False
    hashes = []
    for line in lines:
        entry = _entry(line)
        if entry is None:
            torn = True
            continue
        previous = _link(entry, line)
        if torn or is_subject(entry.get("key", "")):
            remaining_fields = {key: value for key, value in entry.items() if key not in _PERSONAL}
            line = json.dumps({**remaining_fields, "redacted": name, "was": previous}, sort_keys=True).encode()
            hashes.append(_hash(line))
        torn = False
        yield line
    if hashes:
        bound = {"tombstone": name, "redacted": len(hashes), "digest": _hash("".join(hashes).encode())}
        yield _line(bound, previous)


def _line(entry: Mapping[str, Any], previous: str) -> bytes:
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": timestamp, **entry, "previous": previous}, sort_keys=True).encode()


def _link(entry: Mapping[str, Any], line: bytes) -> str:
    """Hash that the next entry refers to: of the line before redaction."""
    return str(entry["was"]) if "was" in entry else _hash(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None if it is torn or not an entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("previous"), str) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
