"""Answers that hold as long as what they rest on: a cache in the file of the project's notes.

It is written through, so that several processes share it, nothing of it is held in memory while a
project is not asked for, and a forget reaches all of it.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cortex_pipelines.retrieval.notes.database import Database
from cortex_pipelines.retrieval.notes.note import NoteStoreUnavailableError

_LOG = logging.getLogger("cortex_pipelines")

MAX_ANSWERS = 500
"""Answers of a project; the least recently used is evicted first."""
UNUSED_DAYS = 30
"""Days after which an unused answer is evicted."""
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

        ``make`` gives an answer, and whether it is to be kept.
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
    """A file that cannot be used, as in a project mounted read-only, costs time and no answer."""
    try:
        yield
    except NoteStoreUnavailableError as error:
        _LOG.warning("answers are not cached: %s", error)


def _key(kind: str, question: Any) -> str:
    return hashlib.sha256(json.dumps([kind, question], sort_keys=True).encode()).hexdigest()
