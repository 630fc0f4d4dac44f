"""Append-only log of who asked for what, each line bound to the one before by its hash.

A line that is changed, taken out or put in between breaks the chain. What the chain cannot show is
that lines are missing at its end, or that all of it was written anew: for that, note the last hash
elsewhere from time to time and have it looked for.

Who is forgotten leaves the lines, which then say so and keep the hash that they had (``was``), so
that the chain and all hashes that were noted stay good. A tombstone in the chain binds the lines as
they are from then on. A random number in each line, which goes with the name, keeps guesses of the
name from being tried on that hash.
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
"""What stands for the hash before the first line."""

_PERSONAL = frozenset({"key", "trace", "nonce", "torn"})
"""What of an entry says who asked, or could be traced to them."""

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
        self._seen = (-1, -1)
        self._previous = FIRST

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; what a killed process left unfinished is named by its hash.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock, open_for_append(self._path) as file:
            size, torn, start = file.seek(0, os.SEEK_END), b"", b""
            place = os.fstat(file.fileno()).st_ino
            if (place, size) != self._seen:  # the first line of this process, or another one wrote
                self._previous, torn, start = _end(file, size)
            whole = {**entry, "nonce": secrets.token_hex(16)}
            if torn:
                whole["torn"] = _hash(torn)
            line = _line(whole, self._previous)
            self._seen = (-1, -1)  # should the next step fail, the file is looked at again
            file.write(start + line + b"\n")
            file.flush()
            self._seen, self._previous = (place, file.tell()), _hash(line)

    def forget(self, whose: Callable[[str], bool]) -> int:
        """Take somebody out of all entries, and bind these anew by a tombstone at the end.

        What killed processes left unfinished may hold half a name, and goes with it.

        Args:
            whose: Whether a name of a key or of a token's subject is theirs.

        Returns:
            How many entries were of them.
        """
        if not self._path.exists():
            return 0
        count, torn = 0, False
        with self._path.open("rb") as file:
            for entry in map(_entry, stripped_lines(file)):
                torn = torn or entry is None
                count += entry is not None and whose(entry.get("key", ""))
        if count or torn:
            rewrite(self._path, lambda lines: _without(lines, whose))
        return count


@dataclass(frozen=True)
class Verified:
    """What a look at the chain showed.

    Args:
        entries: How many there are, up to where it breaks.
        head: Hash of the last of them.
        problem: Where it breaks and how; empty if it is whole.
        unfinished: Whether a kill has cut off what stands at the end.
        redacted: How many entries somebody was taken out of.
    """

    entries: int
    head: str
    problem: str = ""
    unfinished: bool = False
    redacted: int = 0


def verify(path: Path, head: str | None = None) -> Verified:
    """Whether the chain is whole.

    Args:
        path: The log.
        head: A hash that was the last one at an earlier time and has to be in it; None for any.

    Raises:
        OSError: it cannot be read.
    """
    previous, count, known, torn = FIRST, 0, head is None, b""
    redacted: dict[str, list[str]] = {}
    bound: dict[str, str] = {}
    with path.open("rb") as file:
        for number, line in enumerate(stripped_lines(file), 1):
            entry = _entry(line)
            if entry is None:
                torn = torn + b"\n" + line if torn else line
                continue
            if entry.get("torn") != (_hash(torn) if torn else None):
                words = f"line {number}: what stands before it is no entry"
                return Verified(count, previous, words)
            if entry["previous"] != previous:
                words = "the one before was changed, or lines between were taken out or put in"
                return Verified(count, previous, f"line {number} does not follow: {words}")
            if "was" in entry:
                redacted.setdefault(str(entry.get("redacted")), []).append(_hash(line))
            if "tombstone" in entry:
                bound[str(entry["tombstone"])] = str(entry.get("digest"))
            previous, count, torn = _link(entry, line), count + 1, b""
            known = known or previous == head
    problem = "" if known else f"no line has the hash {head}: lines at the end were taken out"
    if {name: _digest(hashes) for name, hashes in redacted.items()} != bound:
        problem = "entries that somebody was taken out of are not as their tombstone says"
    return Verified(count, previous, problem, bool(torn), sum(map(len, redacted.values())))


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


def _end(file: BinaryIO, size: int) -> tuple[str, bytes, bytes]:
    """Hash of the last whole line, what is unfinished behind it, and what the next begins with."""
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    start = line_start(file)
    lines = [line for line in tail.split(b"\n") if line]
    torn: list[bytes] = []
    while lines and _entry(lines[-1]) is None:
        torn.insert(0, lines.pop())
    entry = _entry(lines[-1]) if lines else None
    return (_link(entry, lines[-1]) if entry else FIRST), b"\n".join(torn), start


def _without(lines: Iterator[bytes], whose: Callable[[str], bool]) -> Iterator[bytes]:
    """The lines without somebody, and behind them the tombstone that binds those that changed."""
    name, previous, torn = secrets.token_hex(8), FIRST, False
    hashes = []
    for line in lines:
        entry = _entry(line)
        if entry is None:
            torn = True
            continue
        previous = _link(entry, line)
        if torn or whose(entry.get("key", "")):
            kept = {key: value for key, value in entry.items() if key not in _PERSONAL}
            line = _encoded({**kept, "redacted": name, "was": previous})
            hashes.append(_hash(line))
        torn = False
        yield line
    if hashes:
        bound = {"tombstone": name, "redacted": len(hashes), "digest": _digest(hashes)}
        yield _line(bound, previous)


def _line(entry: Mapping[str, Any], previous: str) -> bytes:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return _encoded({"at": at, **entry, "previous": previous})


def _encoded(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True).encode()


def _link(entry: Mapping[str, Any], line: bytes) -> str:
    """What the next line has to name: the hash of a line, as it first was."""
    return str(entry["was"]) if "was" in entry else _hash(line)


def _digest(hashes: list[str]) -> str:
    return _hash("".join(hashes).encode())


def _entry(line: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if it is none, as a part of one is."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("previous"), str) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()
