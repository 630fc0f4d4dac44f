"""A project as somebody works on it: what they left, and what is new when they come back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cortex_pipelines.retrieval.notes.answer_cache import AnswerCache
from cortex_pipelines.retrieval.notes.note import SUMMARY, Note
from cortex_pipelines.retrieval.notes.store import EXCHANGES, FOLDED, NoteScope, NoteStore

_NOTES = 50
_SUMMARIES = 5


@dataclass(frozen=True)
class ProjectContext:
    """An author's context in a project.

    Their latest exchanges after summaries of earlier ones and everybody's notes, the oldest first; what
    changed and was added since they were here before.
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
        plain = {**self.__dict__, "metadata": dict(self.metadata), "versions": dict(self.versions)}
        for name in ("history", "notes"):
            plain[name] = [note.as_json() for note in plain[name]]
        return {**plain, "changed": list(self.changed)}


def restore_context(
    store: NoteStore, project: str, author: str, versions: Mapping[str, str | None], metadata: Mapping[str, Any]
) -> ProjectContext:
    """Restore an author's context in a project, and record what they have seen of it.

    Nothing has to be saved when they leave: each part was written when it was made.
    """
    since, number, seen_versions = _last_visit(store, author)
    changed = [name for name in sorted({*versions, *seen_versions})
               if seen_versions.get(name) != versions.get(name)]  # fmt: skip
    scope = NoteScope(author)
    summaries = store.list_notes(scope, _SUMMARIES, SUMMARY)
    exchanges = store.list_notes(scope, EXCHANGES + FOLDED, "exchange")
    notes = store.list_notes(scope, _NOTES, "note", "decision", "outcome")
    with store.database.writing(durable=False) as db:
        (added,) = db.execute(
            "SELECT count(*) FROM entries WHERE number > ? AND author <> ? AND kind IN ('note', 'decision', 'outcome')",
            (number, author),
        ).fetchone()
        last = db.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()
        timestamp = datetime.now(UTC).isoformat(timespec="seconds")
        db.execute(
            "INSERT OR REPLACE INTO snapshots (author, at, number, versions) VALUES (?, ?, ?, ?)",
            (author, timestamp, last[0], json.dumps(dict(versions), sort_keys=True)),
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


def _last_visit(store: NoteStore, author: str) -> tuple[str | None, int, dict[str, str | None]]:
    with store.database.reading() as db:
        row = None if db is None else db.execute(
            "SELECT at, number, versions FROM snapshots WHERE author = ?", (author,)
        ).fetchone()  # fmt: skip
    return (row[0], row[1], json.loads(row[2])) if row else (None, 0, {})
