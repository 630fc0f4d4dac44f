"""A project as somebody works on it: what they left, and what is new when they come back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cortex_pipelines.retrieval.notes.answer_cache import AnswerCache
from cortex_pipelines.retrieval.notes.note import SUMMARY, Note
from cortex_pipelines.retrieval.notes.store import EXCHANGES, FOLDED, MemoryStore, NoteScope

_NOTES = 50
_SUMMARIES = 5


@dataclass(frozen=True)
class ProjectContext:
    """What somebody finds who comes to a project.

    Args:
        project: Its name.
        author: Pseudonym of who comes.
        history: Their latest exchanges, the oldest first, after summaries of earlier ones.
        notes: Latest notes, decisions and outcomes that hold, of everybody, the oldest first.
        metadata: What the project is.
        versions: Assets by version, now; None for what is not made.
        since: When they were here before, ISO 8601 in UTC; None for never.
        changed: Assets that have another version since then.
        added: Entries of others since then.
        answers: Cached answers.
    """

    project: str
    author: str
    history: tuple[Note, ...]
    notes: tuple[Note, ...]
    metadata: Mapping[str, Any]
    versions: Mapping[str, str | None]
    since: str | None
    changed: tuple[str, ...]
    added: int
    answers: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {**self.__dict__, "metadata": dict(self.metadata), "versions": dict(self.versions)}
        for name in ("history", "notes"):
            plain[name] = [entry.as_json() for entry in plain[name]]
        return {**plain, "changed": list(self.changed)}


def come_to(
    store: MemoryStore,
    project: str,
    author: str,
    versions: Mapping[str, str | None],
    metadata: Mapping[str, Any],
) -> ProjectContext:
    """Restore the context of somebody in a project, and note what they have seen of it.

    Nothing has to be saved when they leave: each part was written when it was made.

    Args:
        store: The project's memory.
        project: Its name.
        author: Pseudonym of who comes.
        versions: Its assets by version, now.
        metadata: What the project is.
    """
    since, number, before = _seen(store, author)
    changed = [name for name in sorted({*versions, *before})
               if before.get(name) != versions.get(name)]  # fmt: skip
    scope = NoteScope(author)
    summaries = store.entries(scope, _SUMMARIES, SUMMARY)
    exchanges = store.entries(scope, EXCHANGES + FOLDED, "exchange")
    notes = store.entries(scope, _NOTES, "note", "decision", "outcome")
    with store.database.writing(durable=False) as db:
        (added,) = db.execute(
            "SELECT count(*) FROM entries WHERE number > ? AND author <> ? "
            "AND kind IN ('note', 'decision', 'outcome')",
            (number, author),
        ).fetchone()
        last = db.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        db.execute(
            "INSERT OR REPLACE INTO snapshots (author, at, number, versions) VALUES (?, ?, ?, ?)",
            (author, now, last[0], json.dumps(dict(versions), sort_keys=True)),
        )
    return ProjectContext(
        project,
        author,
        (*summaries, *exchanges),
        tuple(notes),
        metadata,
        versions,
        since,
        tuple(changed) if since else (),
        added if since else 0,
        AnswerCache(store.database).count(),
    )


def _seen(store: MemoryStore, author: str) -> tuple[str | None, int, dict[str, str | None]]:
    with store.database.reading() as db:
        row = None if db is None else db.execute(
            "SELECT at, number, versions FROM snapshots WHERE author = ?", (author,)
        ).fetchone()  # fmt: skip
    return (row[0], row[1], json.loads(row[2])) if row else (None, 0, {})
