"""The SQLite file of a project's notes and cached answers, written by concurrent processes."""

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import lock_file
from cortex_pipelines.retrieval.notes.note import NoteStoreUnavailableError

FORMAT = 2
_WAIT = 30.0  # seconds that one process waits for another; forgetting in a large store takes a few

_SCHEMA = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL, author TEXT NOT NULL,
    origin TEXT NOT NULL,
    at TEXT NOT NULL,
    text TEXT NOT NULL,
    answer TEXT NOT NULL,
    superseded_by TEXT,
    terms TEXT NOT NULL
);
CREATE VIEW shown AS
    SELECT number, id, kind, author, origin, at, text, answer, superseded_by FROM entries;
CREATE INDEX entries_of_author ON entries (author, kind, number);
CREATE TRIGGER entries_stay
    BEFORE UPDATE OF number, id, kind, author, origin, at, text, answer, terms ON entries
    BEGIN SELECT RAISE(ABORT, 'an entry is superseded or forgotten, never changed'); END;
CREATE TRIGGER entries_superseded_once
    BEFORE UPDATE OF superseded_by ON entries WHEN OLD.superseded_by IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'an entry is superseded once'); END;
CREATE VIRTUAL TABLE words USING fts5(terms, content='entries', content_rowid='number');
CREATE TRIGGER entries_searched AFTER INSERT ON entries
    BEGIN INSERT INTO words (rowid, terms) VALUES (NEW.number, NEW.terms); END;
CREATE TRIGGER entries_deleted AFTER DELETE ON entries BEGIN
    INSERT INTO words (words, rowid, terms) VALUES ('delete', OLD.number, OLD.terms);
    DELETE FROM vectors WHERE number = OLD.number;
END;
CREATE TABLE vectors (
    number INTEGER NOT NULL, encoder TEXT NOT NULL, vector BLOB NOT NULL,
    PRIMARY KEY (number, encoder)
) WITHOUT ROWID;
CREATE TABLE answers (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, rests_on TEXT NOT NULL, answer TEXT NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE snapshots (
    at TEXT NOT NULL, number INTEGER NOT NULL, versions TEXT NOT NULL, author TEXT PRIMARY KEY
) WITHOUT ROWID;
"""


class Database:
    """A file that many processes and threads read and write; each opens it for one thing only.

    So nobody holds a view of what was deleted, and a wipe does not have to wait for an idle reader.

    Args:
        path: The file; made with the first that is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection; None if the file does not exist."""
        if not self.path.exists():
            yield None
            return
        with self._connection() as connection:
            yield connection

    @contextmanager
    def writing(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction, alone among the writers; all of it is kept, or nothing.

        Args:
            durable: Whether what was written has to survive a power failure, too.
        """
        with self._connection() as connection:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def wipe(self) -> None:
        """Rewrite the file without deleted rows, and empty its write-ahead log.

        Raises:
            NoteStoreUnavailableError: another process keeps reading it.
        """
        with self._connection() as connection:
            # the index keeps words of deleted rows until it is made again
            connection.execute("INSERT INTO words (words) VALUES ('rebuild')")
            connection.execute("VACUUM")
            (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise NoteStoreUnavailableError(
                f"{self.path}: deleted, but another process still reads an earlier state, so its "
                "bytes are in the file; run the same command again"
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(self._connect_current()) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise NoteStoreUnavailableError(
                    f"{self.path}: another process has been writing for {_WAIT:.0f} s; try again"
                ) from error
            raise NoteStoreUnavailableError(f"{self.path} cannot be used: {error}") from error
        except OSError as error:
            raise NoteStoreUnavailableError(f"{self.path} cannot be used: {error.strerror}") from error
        except sqlite3.DatabaseError as error:
            raise NoteStoreUnavailableError(
                f"{self.path} is damaged ({error}); bring it back from a backup, or move it away to begin a new one"
            ) from error

    def _connect_current(self) -> sqlite3.Connection:
        if not self.path.exists():
            self._make()
        connection = _connect(self.path)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == FORMAT:
                return connection
        except sqlite3.Error:
            connection.close()
            raise
        connection.close()
        if version == 0:  # a process was killed before it made the tables
            self._make()
            return _connect(self.path)
        raise NoteStoreUnavailableError(
            f"{self.path} has format {version}, and this version reads {FORMAT}: another version of "
            "cortex-pipelines made it; use that one"
        )

    def _make(self) -> None:
        """Create the tables; one process at a time, since two would fail to change the mode."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.path.parent / ".lock").open("w") as lock:
            lock_file(lock)
            with closing(_connect(self.path)) as connection:
                if connection.execute("PRAGMA user_version").fetchone() != (0,):
                    return
                self.path.chmod(0o600)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {FORMAT};COMMIT;")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
    # zeros over what is deleted, and no copy of it in temporary files
    for pragma in ("secure_delete = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


_LOG = logging.getLogger("cortex_pipelines")

MAX_ANSWERS = 500  # answers of a project; the least recently used is evicted first
UNUSED_DAYS = 30  # days after which an unused answer is evicted
_LARGEST = 1 << 20
_A_MINUTE, _A_DAY = 60.0, 86_400.0


def version_digest(versions: Mapping[str, str | None]) -> str:
    return hashlib.sha256(json.dumps(sorted(versions.items())).encode()).hexdigest()[:32]


class AnswerCache:
    def __init__(self, database: Database, clock: Callable[[], float] = time.time, most: int = MAX_ANSWERS) -> None:
        self._database = database
        self._clock = clock
        self._most = most

    def get(self, kind: str, question: Any, basis: str) -> Any | None:
        """The answer to a question; None if not cached or stale.

        Of the question, anything that JSON can hold, only a hash is kept; ``basis`` is the
        ``version_digest`` of what an answer would depend on now.
        """
        with self._database.reading() as db:
            row = None if db is None else db.execute(
                "SELECT answer, used FROM answers WHERE key = ? AND rests_on = ?",
                (_key(kind, question), basis),
            ).fetchone()  # fmt: skip
        if row is None:
            return None
        answer, used = row
        if (timestamp := self._clock()) - used > _A_MINUTE:  # a write costs more than the answer
            with self._database.writing(durable=False) as db:
                db.execute("UPDATE answers SET used = ? WHERE key = ?", (timestamp, _key(kind, question)))
        return json.loads(answer)

    def store(self, kind: str, question: Any, basis: str, answer: Any) -> None:
        """Store an answer; those of its kind with another basis are dropped."""
        text = json.dumps(answer)
        if len(text) > _LARGEST:
            return
        timestamp = self._clock()
        with self._database.writing(durable=False) as db:
            db.execute("DELETE FROM answers WHERE kind = ? AND rests_on <> ?", (kind, basis))
            db.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (_key(kind, question), kind, basis, text, timestamp),
            )
            db.execute("DELETE FROM answers WHERE used < ?", (timestamp - UNUSED_DAYS * _A_DAY,))
            db.execute(
                "DELETE FROM answers WHERE key NOT IN (SELECT key FROM answers ORDER BY used DESC, key LIMIT ?)",
                (self._most,),
            )

    def get_or_make(self, kind: str, question: Any, basis: str, make: Callable[[], tuple[Any, bool]]) -> Any:
        """The answer that holds, else a new one; either as JSON gives it back.

        ``make`` returns an answer and whether to cache it.
        """
        cached = None
        with _ignore_unavailable():
            cached = self.get(kind, question, basis)
        if cached is not None:
            return cached
        answer, lasting = make()
        with _ignore_unavailable():
            if lasting:
                self.store(kind, question, basis, answer)
        return json.loads(json.dumps(answer))

    def count(self) -> int:
        with self._database.reading() as db:
            if db is None:
                return 0
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])


@contextmanager
def _ignore_unavailable() -> Iterator[None]:
    """Ignore an unusable cache file, such as of a project mounted read-only."""
    try:
        yield
    except NoteStoreUnavailableError as error:
        _LOG.warning("answers are not cached: %s", error)


def _key(kind: str, question: Any) -> str:
    return hashlib.sha256(json.dumps([kind, question], sort_keys=True).encode()).hexdigest()
