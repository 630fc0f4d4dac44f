"""The gateway's log, the append-only store of events, and its pins.

The store has a file of JSON lines for each month, each event once. The files are all that counts.
Which events they hold is also kept in an index (SQLite), so that a million imported events need no
memory; it may be deleted, and what a killed import has written without it is read again from the files.
"""

import hashlib
import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.coordination.logs import CoordinationError, read_logs, take_coordination_pin
from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.feedback.events import EventError, FeedbackEvent, parse_event
from cortex_pipelines.feedback.settings import FeedbackSettings, FeedbackSource
from cortex_pipelines.jsonl import line_start, open_for_append
from cortex_pipelines.privacy.pseudonyms import is_forgotten_event
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache

FILE = "events.jsonl"
"""Of the gateway's log."""

_INDEX = "known.sqlite"
_TABLES = """
create table if not exists known (id blob primary key) without rowid;
create table if not exists read (file text primary key, size integer not null);
"""


class FeedbackError(RuntimeError):
    """The stored events are missing or not as they were pinned; the message says what to do."""


class EventStore:
    def __init__(self, folder: Path, index: sqlite3.Connection) -> None:
        self._folder = folder
        self._index = index
        self._update_index()

    def add(self, events: Iterable[FeedbackEvent], received_at: datetime) -> int:
        """Append those events that are not there yet; returns their number.

        ``received_at`` files an event without a time stamp.
        """
        new: defaultdict[str, list[bytes]] = defaultdict(list)
        with self._index:
            for event in events:
                line = event.line.encode()
                if self._is_new(line):
                    new[f"{_month(event.at or received_at)}.jsonl"].append(line + b"\n")
            for name, lines in sorted(new.items()):
                with (self._folder / name).open("ab") as file:
                    file.write(b"".join(lines))
                    self._index.execute("insert or replace into read values (?, ?)", (name, file.tell()))
        return sum(map(len, new.values()))

    def forget_before(self, moment: datetime) -> list[str]:
        """Delete the files of months that ended before a moment; returns their names."""
        expired = [path for path in self._files() if path.stem < _month(moment)]
        for path in expired:
            path.unlink()
        if expired:
            self._update_index()
        return [path.name for path in expired]

    def forget(self, covers: Callable[[Mapping[str, Any]], bool]) -> int:
        """Delete the events that are covered, with all others about the same completions."""
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
            self._update_index()
            self._index.execute("vacuum")  # which removes their digests from the file
        return deleted

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))

    def _is_new(self, line: bytes) -> bool:
        key = hashlib.sha256(line).digest()[:16]
        return self._index.execute("insert or ignore into known values (?)", (key,)).rowcount == 1

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
                self._index.execute("insert or replace into read values (?, ?)", (path.name, end))


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
    return moment - timedelta(days=keep_days) if keep_days < moment.toordinal() else datetime(1, 1, 1, tzinfo=UTC)


class EventLog:
    """The editors' events; of texts only what people send as a correction. ``pseudonym`` None omits users."""

    def __init__(self, folder: Path, pseudonym: Callable[[str], str] | None = None) -> None:
        self._pseudonym = pseudonym
        self._path = folder / FILE
        self._lock = threading.Lock()

    def add(self, event: dict[str, Any], user: str = "") -> None:
        event = {name: value for name, value in event.items() if value is not None}
        if user and self._pseudonym is not None:
            event["unit"] = self._pseudonym(user)
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": timestamp, **event}, sort_keys=True) + "\n"
        with self._lock, open_for_append(self._path) as file:
            file.write(line_start(file) + line.encode("utf-8"))


def events_folder(settings: FeedbackSettings, root: Path) -> Path:
    return root / Path(settings.events).expanduser()


def take_feedback_pin(settings: FeedbackSettings, root: Path, privacy: PrivacySettings) -> dict[str, Any]:
    """Pin every file of stored events by size and SHA-256; an empty list without events."""
    folder = events_folder(settings, root)
    return take_coordination_pin(folder, root, privacy) if folder.is_dir() else {"files": []}


def pinned_events(
    source: FeedbackSource, privacy: PrivacySettings, root: Path, cache: RowCache | None = None
) -> Iterator[FeedbackEvent]:
    """The pinned events that are not forgotten, each once, without private values.

    Raises FeedbackError: nothing was pinned, a pinned part has changed, or a line is not an event.
    """
    if "files" not in source.pin:
        raise FeedbackError("feedback: nothing is pinned yet; run `cortex update`")
    if not source.pin["files"]:
        return
    folder = events_folder(source.settings, root)
    reading = CoordinationSettings(
        logs=source.settings.events, sample=False, map={}, aliases={}, test_rows=[], sources=()
    )
    try:
        logs = read_logs(folder, source.pin, reading, privacy, cache)
    except CoordinationError as error:
        raise FeedbackError(str(error).replace("coordination log", "feedback log")) from error
    for name, offset, payload in logs.events.select("file", "byte_offset", "payload").iter_rows():
        try:
            event = parse_event(json.loads(payload))
        except EventError as error:
            raise FeedbackError(
                f"feedback log {name}: the record at byte {offset} is not an event ({error}); remove it, import its "
                "source again by `cortex feedback import`, then `cortex update`"
            ) from error
        if not is_forgotten_event(privacy, event.project, event.path, event.unit):
            yield event
