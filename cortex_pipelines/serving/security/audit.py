"""Append-only log of who asked for what, each line bound to the one before by its hash.

A line that is changed, taken out or put in between breaks the chain. What the chain cannot show is
that lines are missing at its end, or that all of it was written anew: for that, note the last hash
elsewhere from time to time and have it looked for.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cortex_pipelines.serving.lines import line_start

FILE = "audit.jsonl"
FIRST = "0" * 64
"""What stands for the hash before the first line."""

_LONGEST = 2048
"""Bytes of an entry, and more than any has."""

_TAIL = 1 << 16
"""Bytes; far more than the longest line and what a kill may have left behind it."""


class AuditLog:
    """The log of a gateway; several processes may write to one.

    Args:
        folder: Where the file is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._size = -1
        self._previous = FIRST

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; what a killed process left unfinished is named by its hash.

        Raises:
            OSError: it cannot be written.
        """
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, self._opened() as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
            size, torn, start = file.seek(0, os.SEEK_END), b"", b""
            if size != self._size:  # the first line of this process, or another one wrote
                self._previous, torn, start = _end(file, size)
            whole = {"at": at, **entry, "previous": self._previous}
            if torn:
                whole["torn"] = _hash(torn)
            line = json.dumps(whole, sort_keys=True).encode()
            self._size = -1  # should the next step fail, the file is looked at again
            file.write(start + line + b"\n")
            file.flush()
            self._size, self._previous = file.tell(), _hash(line)

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("ab+")
        except FileNotFoundError:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._path.open("ab+")


@dataclass(frozen=True)
class Verified:
    """What a look at the chain showed.

    Args:
        entries: How many there are, up to where it breaks.
        head: Hash of the last of them.
        problem: Where it breaks and how; empty if it is whole.
        unfinished: Whether a kill has cut off what stands at the end.
    """

    entries: int
    head: str
    problem: str = ""
    unfinished: bool = False


def verify(path: Path, head: str | None = None) -> Verified:
    """Whether the chain is whole.

    Args:
        path: The log.
        head: A hash that was the last one at an earlier time and has to be in it; None for any.

    Raises:
        OSError: it cannot be read.
    """
    previous, count, known, torn = FIRST, 0, head is None, b""
    for number, line in enumerate(_lines(path), 1):
        entry = _entry(line)
        if entry is None:
            torn = torn + b"\n" + line if torn else line
            continue
        if entry.get("torn") != (_hash(torn) if torn else None):
            return Verified(count, previous, f"line {number}: what stands before it is no entry")
        if entry["previous"] != previous:
            words = "the one before was changed, or lines between were taken out or put in"
            return Verified(count, previous, f"line {number} does not follow: {words}")
        previous, count, torn = _hash(line), count + 1, b""
        known = known or previous == head
    problem = "" if known else f"no line has the hash {head}: lines at the end were taken out"
    return Verified(count, previous, problem, bool(torn))


def last(path: Path, count: int) -> list[dict[str, Any]]:
    """The newest entries, oldest of them first; empty where there is no log.

    Args:
        path: The log.
        count: At most how many.
    """
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


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if stripped := line.rstrip(b"\n"):
                yield stripped


def _end(file: BinaryIO, size: int) -> tuple[str, bytes, bytes]:
    """Hash of the last whole line, what is unfinished behind it, and what the next begins with."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    start = line_start(file)
    lines = [line for line in tail.split(b"\n") if line]
    torn: list[bytes] = []
    while lines and _entry(lines[-1]) is None:
        torn.insert(0, lines.pop())
    return (_hash(lines[-1]) if lines else FIRST), b"\n".join(torn), start


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if it is none, as a part of one is."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("previous"), str) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
