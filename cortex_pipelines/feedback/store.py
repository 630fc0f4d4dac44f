"""Append-only store of events: one file of JSON lines for each month, each event once.

The files are all that counts. Which events they hold is also kept in an index (SQLite), so that a
million imported events need no memory; it may be deleted, and what a killed import has written
without it is read again from the files.
"""

import hashlib
import json
import logging
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.feedback.events import FeedbackEvent, canonical
from cortex_pipelines.feedback.upgrading import FORM, upgraded

_LOG = logging.getLogger("cortex_pipelines")
_BROUGHT_UP = "feedback: %s was brought to today's form; `cortex update` pins it again"
_INDEX = "known.sqlite"
_TABLES = """
create table if not exists known (id blob primary key) without rowid;
create table if not exists read (file text primary key, size integer not null);
"""


class EventStore:
    """The events of a project; opened by ``open_store``.

    Args:
        folder: Where the files are.
        index: Connection to the index.
    """

    def __init__(self, folder: Path, index: sqlite3.Connection) -> None:
        self._folder = folder
        self._index = index
        self._upgrade()
        self._update_index()

    def add(self, events: Iterable[FeedbackEvent], received_at: datetime) -> int:
        """Append those events that are not there yet.

        Args:
            events: A batch that fits into memory.
            received_at: Files an event without a time stamp.

        Returns:
            How many were new.
        """
        new: defaultdict[str, list[bytes]] = defaultdict(list)
        with self._index:
            for event in events:
                line = event.line.encode()
                if self._is_new(line):
                    new[f"{_month(event.at or received_at)}.jsonl"].append(line + b"\n")
            for name, lines in sorted(new.items()):
                path = self._folder / name
                with path.open("ab") as file:
                    file.write(b"".join(lines))
                self._record_size(name, path.stat().st_size)
        return sum(map(len, new.values()))

    def forget_before(self, moment: datetime) -> list[str]:
        """Delete the files of months that ended before a moment; returns their names."""
        first_kept_month = _month(moment)
        expired = [path for path in self._files() if path.stem < first_kept_month]
        if expired:
            for path in expired:
                path.unlink()
            self._update_index()
        return [path.name for path in expired]

    def forget(self, covers: Callable[[Mapping[str, Any]], bool]) -> int:
        """Delete the events that are covered, with all others about the same completions.

        Args:
            covers: Whether an event's fields say that it is to go.

        Returns:
            How many.
        """
        ids = {
            event.get("completion_id")
            for path in self._files()
            for event in map(_fields, path.read_bytes().splitlines())
            if covers(event)
        }
        deleted = 0
        for path in self._files() if ids else ():
            lines = path.read_bytes().splitlines()
            remaining = [line for line in lines if _fields(line).get("completion_id") not in ids]
            if len(remaining) < len(lines):
                write_whole(path, b"".join(line + b"\n" for line in remaining))
                deleted += len(lines) - len(remaining)
        if deleted:
            self._clear_index()
            self._index.execute("vacuum")
            self._update_index()
        return deleted

    def _upgrade(self) -> None:
        """Bring events that an earlier version stored to today's form; a kill does no harm."""
        if self._index.execute("pragma user_version").fetchone()[0] >= FORM:
            return
        for path in self._files():
            lines = path.read_bytes().splitlines(keepends=True)
            today = list(dict.fromkeys(map(_upgraded, lines)))
            if today != lines:
                write_whole(path, b"".join(today))
                _LOG.warning(_BROUGHT_UP, path.name)
        self._clear_index()
        self._index.execute(f"pragma user_version = {FORM:d}")

    def _clear_index(self) -> None:
        """Empty the index, so that all files are read again."""
        with self._index:
            self._index.execute("delete from known")
            self._index.execute("delete from read")

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))

    def _is_new(self, line: bytes) -> bool:
        key = hashlib.sha256(line).digest()[:16]
        return self._index.execute("insert or ignore into known values (?)", (key,)).rowcount == 1

    def _record_size(self, name: str, size: int) -> None:
        self._index.execute("insert or replace into read values (?, ?)", (name, size))

    def _update_index(self) -> None:
        """Index what files hold beyond the index; cut off a line that a kill left unfinished."""
        sizes = dict(self._index.execute("select file, size from read"))
        current_sizes = {path.name: path.stat().st_size for path in self._files()}
        with self._index:
            if any(size > current_sizes.get(name, -1) for name, size in sizes.items()):
                sizes = {}  # a file was cut or deleted: what it held is known no longer
                self._index.execute("delete from known")
                self._index.execute("delete from read")
            for path in self._files():
                indexed_size = sizes.get(path.name, 0)
                if indexed_size == current_sizes[path.name] != 0:
                    continue
                with path.open("rb+") as file:
                    file.seek(indexed_size)
                    end = file.tell()
                    for line in file:
                        if not line.endswith(b"\n"):
                            file.truncate(end)
                            break
                        end += len(line)
                        self._is_new(line.rstrip(b"\n"))
                self._record_size(path.name, end)


def _upgraded(line: bytes) -> bytes:
    """A whole line in today's form; an invalid event stays, for its reader to reject."""
    fields = _fields(line)
    if not fields or not line.endswith(b"\n") or upgraded(fields) == fields:
        return line
    return canonical(upgraded(fields)).encode() + b"\n"


def _fields(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}  # what reads the events refuses it, and names it
    return value if isinstance(value, dict) else {}


def _month(moment: datetime) -> str:
    return f"{moment.year:04}-{moment.month:02}"  # %Y does not pad


@contextmanager
def open_store(folder: Path) -> Iterator[EventStore]:
    """The store in a folder, for one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"), closing(sqlite3.connect(folder / _INDEX)) as index:
        index.executescript(_TABLES)
        yield EventStore(folder, index)


def oldest_kept(moment: datetime, keep_days: int) -> datetime:
    """The moment from which on events are kept."""
    return moment - timedelta(days=keep_days) if keep_days < moment.toordinal() else _EVER


_EVER = datetime(1, 1, 1, tzinfo=UTC)
