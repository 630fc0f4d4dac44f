"""Answers that hold as long as what they rest on: a cache in the file of the memory.

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
from cortex_pipelines.retrieval.notes.note import MemoryUnusableError

_LOG = logging.getLogger("cortex_pipelines")

MOST = 500
"""Answers of a project; the one used longest ago leaves first."""
UNUSED_DAYS = 30
"""Days after which an answer leaves that nobody asked for."""
_LARGEST = 1 << 20
_A_MINUTE, _A_DAY = 60.0, 86_400.0


def rests_on(versions: Mapping[str, str | None]) -> str:
    """What an answer rests on, in a word.

    Args:
        versions: Name of each thing to its version; None for what is not there.
    """
    return hashlib.sha256(json.dumps(sorted(versions.items())).encode()).hexdigest()[:32]


class AnswerCache:
    """The answers of one project.

    Args:
        database: Where they are.
        clock: Seconds since the epoch.
        most: At most how many.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float] = time.time, most: int = MOST
    ) -> None:
        self._database = database
        self._clock = clock
        self._most = most

    def get(self, kind: str, question: Any, basis: str) -> Any | None:
        """The answer to a question; None if there is none that holds.

        Args:
            kind: What answers it; a word.
            question: Anything that JSON can hold; only a hash of it is kept.
            basis: ``rests_on`` of what an answer would rest on now.
        """
        with self._database.reading() as db:
            row = None if db is None else db.execute(
                "SELECT answer, used FROM answers WHERE key = ? AND rests_on = ?",
                (_key(kind, question), basis),
            ).fetchone()  # fmt: skip
        if row is None:
            return None
        answer, used = row
        if (now := self._clock()) - used > _A_MINUTE:  # a write costs more than the answer
            with self._database.writing(durable=False) as db:
                db.execute("UPDATE answers SET used = ? WHERE key = ?", (now, _key(kind, question)))
        return json.loads(answer)

    def put(self, kind: str, question: Any, basis: str, answer: Any) -> None:
        """Keep an answer; those of its kind that rest on something else are dropped."""
        text = json.dumps(answer)
        if len(text) > _LARGEST:
            return
        now = self._clock()
        with self._database.writing(durable=False) as db:
            db.execute("DELETE FROM answers WHERE kind = ? AND rests_on <> ?", (kind, basis))
            db.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                (_key(kind, question), kind, basis, text, now),
            )
            db.execute("DELETE FROM answers WHERE used < ?", (now - UNUSED_DAYS * _A_DAY,))
            db.execute(
                "DELETE FROM answers WHERE key NOT IN "
                "(SELECT key FROM answers ORDER BY used DESC, key LIMIT ?)",
                (self._most,),
            )

    def made(
        self, kind: str, question: Any, basis: str, make: Callable[[], tuple[Any, bool]]
    ) -> Any:
        """The answer that holds, else a new one; either as JSON gives it back.

        Args:
            kind: As of ``get``.
            question: As of ``get``.
            basis: As of ``get``.
            make: Gives an answer, and whether it is to be kept.
        """
        known = None
        with _only_a_cache():
            known = self.get(kind, question, basis)
        if known is not None:
            return known
        answer, lasting = make()
        with _only_a_cache():
            if lasting:
                self.put(kind, question, basis, answer)
        return json.loads(json.dumps(answer))

    def count(self) -> int:
        """How many there are."""
        with self._database.reading() as db:
            if db is None:
                return 0
            return int(db.execute("SELECT count(*) FROM answers").fetchone()[0])


@contextmanager
def _only_a_cache() -> Iterator[None]:
    """A file that cannot be used, as in a project mounted read-only, costs time and no answer."""
    try:
        yield
    except MemoryUnusableError as error:
        _LOG.warning("answers are not cached: %s", error)


def _key(kind: str, question: Any) -> str:
    return hashlib.sha256(json.dumps([kind, question], sort_keys=True).encode()).hexdigest()
