"""Notes of projects: their storage, and the data joined to them."""

import getpass
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import polars as pl

import cortex_pipelines.retrieval
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, is_forgotten, project_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone
from cortex_pipelines.retrieval.collection import PinnedEncoder
from cortex_pipelines.retrieval.notes.database import AnswerCache, version_digest
from cortex_pipelines.retrieval.notes.note import (
    PRIVATE_KINDS,
    SUMMARY,
    Kind,
    NewNote,
    Note,
    NoteError,
    NoteStoreUnavailableError,
)
from cortex_pipelines.retrieval.notes.related import SimilarTask, TaskHistory, code_relations, logged_relations
from cortex_pipelines.retrieval.notes.store import EXCHANGES, FOLDED, ForgetSelection, NoteScope, NoteStore
from cortex_pipelines.retrieval.open_index import open_encoder
from cortex_pipelines.retrieval.queries import parse_query, terms
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project

_NOTES = 50
_SUMMARIES = 5


def restore_context(
    store: NoteStore, project: str, author: str, versions: Mapping[str, str | None], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Restore an author's context in a project, and record what they have seen of it.

    Their latest exchanges after summaries of earlier ones and everybody's notes, the oldest first; what changed and
    was added since they were here before. Nothing has to be saved when they leave: each part was written when it was
    made.
    """
    with store.database.reading() as db:
        query = "SELECT at, number, versions FROM snapshots WHERE author = ?"
        row = None if db is None else db.execute(query, (author,)).fetchone()
    since, number, seen_versions = (row[0], row[1], json.loads(row[2])) if row else (None, 0, {})
    changed = [name for name in sorted({*versions, *seen_versions}) if seen_versions.get(name) != versions.get(name)]
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
    return {
        "project": project,
        "author": author,
        "history": [note.as_json() for note in (*summaries, *exchanges)],
        "notes": [note.as_json() for note in notes],
        "metadata": dict(metadata),
        "versions": dict(versions),
        "since": since,
        "changed": changed if since else [],
        "added": added if since else 0,
        "answers": AnswerCache(store.database).count(),
    }


_FOLDER = Path(".cortex") / "memory"
_PER_PROJECT = ("repository_files", "search_documents", "code_embeddings", "code_graph")
_SHARED = ("coordination_tables",)
_FILES = ("params.yaml", "sources.lock", "dvc.lock")
_LEAST_SHARED_WORDS = 2  # words that a note shares with a task at least to be shown with it
_SHOWN = 3


@dataclass(frozen=True)
class PastWork:
    attempts: tuple[SimilarTask, ...] = ()
    notes: tuple[Note, ...] = ()


class ProjectNotes:
    def __init__(self, project: Project, name: str, params: Parameters) -> None:
        project.selected(name)
        self.name = name
        self.store = NoteStore(project.root / _FOLDER / f"{name}.sqlite")
        self.answers = AnswerCache(self.store.database)
        self._project, self._params = project, params
        self._key = project_key(name, params.privacy)

    def pseudonym(self, identity: str) -> str:
        """Pseudonym of an author, by mail address, name of a key or of an agent; empty for the local user."""
        if not identity and (git := shutil.which("git")):
            words = [git, "-C", str(self._project.root), "config", "user.email"]
            identity = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
        return author_pseudonym(identity or getpass.getuser(), self._key)

    def add(
        self, identity: str, text: str, kind: Kind, origin: str, answer: str = "", supersedes: str | None = None
    ) -> dict[str, Any]:
        """Add a note, without the secrets and personal data in it.

        Raises:
            NoteError: it cannot be stored; the message says why.
        """
        fields = {"text": text, "answer": answer, "origin": origin}
        record = redact_record(fields, self._params.privacy, self._key)
        author = self.pseudonym(identity)
        note = self.store.add(NewNote(**record.value, kind=kind, author=author, supersedes=supersedes))
        return {**note.as_json(), "project": self.name, "redacted": len(record.redactions)}

    def search(
        self, identity: str, query: str, k: int, kind: str | None = None, history: bool = False
    ) -> dict[str, Any]:
        scope = NoteScope(self.pseudonym(identity), kind, history)
        encoder, notice = None, ""
        if self.store.list_notes(scope, 1):
            encoder, notice = _encoder(self._params)
        hits = self.store.search(query, scope, k, encoder)
        parsed, words = parse_query(query), query.split()
        names = sorted({*parsed.names, *parsed.paths, *(words if len(words) == 1 else ())})
        relations = code_relations(names, self._project.output("code_graph", self.name))
        relations += logged_relations(names, self._tables)
        attempts = self.task_history.find_similar(query, _SHOWN) if self.task_history else []
        return {
            "project": self.name,
            "entries": [{**note.as_json(), "score": round(score, 5)} for score, note in hits],
            "attempts": [asdict(task) for task in attempts],
            "relations": [asdict(relation) for relation in relations],
            "notice": notice,
        }

    def recall(self, task: str) -> PastWork:
        """Past attempts and notes about a task; notes share at least two words with it."""
        query_terms = set(parse_query(task).weights)
        hits = self.store.search(task, NoteScope(author=""), _SHOWN)
        similar = [
            e for _, e in hits if len(query_terms & set(terms(e.text))) >= min(_LEAST_SHARED_WORDS, len(query_terms))
        ]
        attempts = self.task_history.find_similar(task, _SHOWN) if self.task_history else []
        return PastWork(tuple(attempts), tuple(similar))

    def show(self, identity: str) -> dict[str, Any]:
        versions = self.versions
        metadata = self.answers.get_or_make(
            "metadata",
            self.name,
            version_digest({"repository_files": versions["repository_files"]}),
            lambda: (_metadata(self._project.output("repository_files", self.name)), True),
        )
        author = self.pseudonym(identity)
        return restore_context(self.store, self.name, author, versions, metadata)

    def forget(self, identity: str | None, ids: Sequence[str] = (), before: str | None = None) -> dict[str, Any]:
        """Delete entries for which all conditions hold (None or none: any), and all cached answers.

        Raises:
            NoteError: one of the identities is not there.
        """
        author = None if identity is None else self.pseudonym(identity)
        selection = ForgetSelection(tuple(ids), author, before)
        deleted = self.store.forget(selection)
        made_of = " ".join(note.origin for note in deleted if note.kind in PRIVATE_KINDS)
        deleted_ids = {note.id for note in deleted}
        missing = [note_id for note_id in selection.ids if note_id not in deleted_ids and note_id not in made_of]
        if missing:
            raise NoteError(
                f"{self.name} has no entry {', '.join(missing)} to forget"
                + (f"; forgotten: {', '.join(sorted(deleted_ids))}" if deleted_ids else "")
            )
        return {"project": self.name, "forgotten": [note.id for note in deleted]}

    def cached_answer(
        self, kind: str, question: Any, make: Callable[[], tuple[dict[str, Any], bool]]
    ) -> dict[str, Any]:
        """An answer from the cache, or a new one; dropped when anything it rests on changed.

        Args:
            kind: What answers.
            question: All that decides the answer besides.
            make: Gives the answer, and whether it would be the same again.
        """
        basis = {name: content_md5(self._project.root / name) for name in _FILES}
        basis |= {**self.versions, "code": _code_version()}
        with suppress(NoteStoreUnavailableError):  # then nothing is cached, which is said there
            basis["memory"] = self.store.state()
        answer: dict[str, Any] = self.answers.get_or_make(kind, question, version_digest(basis), make)
        return answer

    @property
    def versions(self) -> dict[str, str | None]:
        folders = {name: self._project.output(name, self.name) for name in _PER_PROJECT}
        folders |= {name: self._project.output(name, None) for name in _SHARED}
        return {name: _version(folder) for name, folder in folders.items()}

    @cached_property
    def task_history(self) -> TaskHistory | None:
        has_features = (self._tables / "features.parquet").is_file()
        return _task_history(self._tables, _version(self._tables)) if has_features else None

    @property
    def _tables(self) -> Path:
        return self._project.output("coordination_tables", None)


def apply_tombstones(project: Project, tombstones: Sequence[Tombstone], emptied: frozenset[str] = frozenset()) -> int:
    """Delete the notes that tombstones cover: by author, and by paths that notes name.

    All notes of the projects in ``emptied`` go, and all cached answers in any case. Gives the entries.
    """
    params = load_parameters(project.root)
    count = 0
    for name in project.partitions:
        notes = ProjectNotes(project, name, params)
        if name in emptied:
            count += len(notes.store.forget(ForgetSelection(matches=lambda _: True)))
        for stone in tombstones:
            if stone.project in (None, name) and stone.user is None:
                selection = _tombstone_selection(stone, name, params.privacy)
                count += len(notes.store.forget(selection))
    return count


def _tombstone_selection(tombstone: Tombstone, project: str, privacy: PrivacySettings) -> ForgetSelection:
    """The entries that a tombstone covers; none says which source it is about."""
    if tombstone.path is None:
        return ForgetSelection(author=tombstone.author, matches=lambda _: tombstone.author is not None)
    settings = privacy.model_copy(update={"forgotten": [tombstone]})

    def covers(note: Note) -> bool:
        paths = parse_query(f"{note.origin} {note.text} {note.answer}").paths
        arguments = settings, project, tombstone.source or ""
        return any(is_forgotten(*arguments, path, note.author) for path in paths)

    return ForgetSelection(matches=covers)


def notes_files(root: Path, name: str) -> list[Path]:
    """The database of a project's notes, with what SQLite keeps beside it; none without notes."""
    return sorted((root / _FOLDER).glob(f"{name}.sqlite*"))


def wipe_answers(root: Path) -> None:
    """Delete the cached answers of all projects, which quote former versions."""
    for file in sorted((root / _FOLDER).glob("*.sqlite")):
        NoteStore(file).forget(ForgetSelection(matches=lambda _: False))


def _encoder(params: Parameters) -> tuple[PinnedEncoder | None, str]:
    key = params.models.encoder.model_dump_json()
    try:
        if key not in _ENCODERS:
            _ENCODERS[key] = open_encoder(params)
    except WeightsError as error:
        return None, f"searched by words alone: {error}"
    return _ENCODERS[key], ""


_ENCODERS: dict[str, PinnedEncoder] = {}


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / "files.parquet"
    if not file.is_file():
        return {}
    counts = pl.scan_parquet(file).group_by("language").agg(pl.len()).sort("language").collect()
    languages = {str(name or "other"): int(files) for name, files in counts.iter_rows()}
    return {"files": sum(languages.values()), "languages": languages}


def _version(folder: Path) -> str | None:
    """The version of an output; hashed again only when a file of it was touched."""
    if not folder.is_dir():
        return None
    stats = ((file.as_posix(), file.stat()) for file in sorted(folder.rglob("*")))
    return _hashed(folder, tuple((path, s.st_mtime_ns, s.st_size) for path, s in stats))


@lru_cache(maxsize=256)
def _hashed(folder: Path, _: tuple[tuple[str, int, int], ...]) -> str | None:
    return content_md5(folder)


@lru_cache(maxsize=2)
def _task_history(tables: Path, _: str | None) -> TaskHistory:
    return TaskHistory(tables)


@lru_cache(maxsize=1)
def _code_version() -> str | None:
    return content_md5(Path(cortex_pipelines.retrieval.__path__[0]))
