"""The memories of projects: where they lie, what may be kept there, and what is joined to it."""

import getpass
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import polars as pl

import cortex_pipelines.retrieval
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.ingestion.pretrained_models import WeightsError
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, project_key
from cortex_pipelines.privacy.records import redact_record
from cortex_pipelines.privacy.settings import PrivacySettings, Tombstone
from cortex_pipelines.privacy.tombstones import is_forgotten
from cortex_pipelines.retrieval.notes.answer_cache import AnswerCache, rests_on
from cortex_pipelines.retrieval.notes.attempts import Attempts, LikeTask
from cortex_pipelines.retrieval.notes.note import (
    OWN,
    Draft,
    Kind,
    MemoryStoreError,
    MemoryUnusableError,
    Note,
)
from cortex_pipelines.retrieval.notes.project_context import come_to
from cortex_pipelines.retrieval.notes.relations import (
    Relation,
    code_relations,
    logged_relations,
    names_of,
)
from cortex_pipelines.retrieval.notes.store import (
    ForgetSelection,
    MemoryStore,
    NoteEncoder,
    NoteScope,
)
from cortex_pipelines.retrieval.open_index import open_encoder
from cortex_pipelines.retrieval.queries import understand
from cortex_pipelines.retrieval.terms import terms
from cortex_pipelines.versioning.content import content_md5
from cortex_pipelines.versioning.project import Project, ProjectError

_KEPT = Path(".cortex") / "memory"
_PER_PROJECT = ("repository_files", "search_documents", "code_embeddings", "code_graph")
_SHARED = ("coordination_tables",)
_FILES = ("params.yaml", "sources.lock", "dvc.lock")
_ALIKE = 2
"""Words that a note shares with a task at least to be shown with it."""
_SHOWN = 3


@dataclass(frozen=True)
class Recalled:
    """What is known of a task besides code.

    Args:
        attempts: What workers tried on tasks like it.
        notes: Notes, decisions and outcomes about it.
    """

    attempts: tuple[LikeTask, ...] = ()
    notes: tuple[Note, ...] = ()


class ProjectMemory:
    """The memory of one project.

    Args:
        project: Where.
        name: The project.
        params: Parameters.

    Raises:
        ProjectError: there is no such project.
    """

    def __init__(self, project: Project, name: str, params: Parameters) -> None:
        if name not in project.partitions:
            known = ", ".join(project.partitions) or "none yet"
            raise ProjectError(f"params.yaml has no project {name}; there is: {known}")
        self.name = name
        self.store = MemoryStore(project.root / _KEPT / f"{name}.sqlite")
        self.answers = AnswerCache(self.store.database)
        self._project, self._params = project, params
        self._key = project_key(name, params.privacy)

    def pseudonym(self, who: str) -> str:
        """Of an author, by mail address, name of a key or of an agent; empty for who works here."""
        return author_pseudonym(who or me(self._project.root), self._key)

    def add(
        self,
        who: str,
        text: str,
        kind: Kind,
        origin: str,
        answer: str = "",
        supersedes: str | None = None,
    ) -> dict[str, Any]:
        """Keep an entry without the secrets and personal data in it.

        Raises:
            MemoryStoreError: it cannot be kept; says why.
        """
        given = {"text": text, "answer": answer, "origin": origin}
        record = redact_record(given, self._params.privacy, self._key)
        author = self.pseudonym(who)
        entry = self.store.add(
            Draft(**record.value, kind=kind, author=author, supersedes=supersedes)
        )
        return {**entry.as_json(), "project": self.name, "redacted": len(record.redactions)}

    def search(
        self, who: str, query: str, k: int, kind: str | None = None, history: bool = False
    ) -> dict[str, Any]:
        """Entries, past attempts and relations for a query.

        Raises:
            QueryError: the query is empty, enormous, or no text.
        """
        scope = NoteScope(self.pseudonym(who), kind, history)
        encoder, notice = None, ""
        if self.store.entries(scope, 1):
            encoder, notice = _encoder(self._params)
        hits = self.store.search(query, scope, k, encoder)
        names = names_of(query)
        relations: Sequence[Relation] = (
            *code_relations(names, self._project.output("code_graph", self.name)),
            *logged_relations(names, self._tables),
        )
        attempts = self.attempts.like(query, _SHOWN) if self.attempts else []
        return {
            "project": self.name,
            "entries": [{**entry.as_json(), "score": round(score, 5)} for score, entry in hits],
            "attempts": [task.as_json() for task in attempts],
            "relations": [relation.as_json() for relation in relations],
            "notice": notice,
        }

    def recall(self, task: str) -> Recalled:
        """What is known of a task besides code; of notes those that share two words with it.

        Raises:
            QueryError: the task is empty, enormous, or no text.
        """
        asked = set(understand(task).weights)
        hits = self.store.search(task, NoteScope(author=""), _SHOWN)
        alike = [e for _, e in hits if len(asked & set(terms(e.text))) >= min(_ALIKE, len(asked))]
        attempts = self.attempts.like(task, _SHOWN) if self.attempts else []
        return Recalled(tuple(attempts), tuple(alike))

    def show(self, who: str) -> dict[str, Any]:
        """The context of somebody in this project, as they left it."""
        versions = self.versions
        metadata = self.answers.made(
            "metadata",
            self.name,
            rests_on({"repository_files": versions["repository_files"]}),
            lambda: (_metadata(self._project.output("repository_files", self.name)), True),
        )
        author = self.pseudonym(who)
        return come_to(self.store, self.name, author, versions, metadata).as_json()

    def forget(
        self, who: str | None, ids: Sequence[str] = (), before: str | None = None
    ) -> dict[str, Any]:
        """Delete entries for which all that is given holds, and all cached answers.

        Args:
            who: Their author; None for any.
            ids: Identities; none for any.
            before: Added before this day, ISO 8601; None for any.

        Raises:
            MemoryStoreError: one of the identities is not there.
        """
        author = None if who is None else self.pseudonym(who)
        selection = ForgetSelection(tuple(ids), author, before)
        gone = self.store.forget(selection)
        made_of = " ".join(entry.origin for entry in gone if entry.kind in OWN)
        known = {entry.id for entry in gone}
        missing = [one for one in selection.ids if one not in known and one not in made_of]
        if missing:
            raise MemoryStoreError(
                f"{self.name} has no entry {', '.join(missing)} to forget"
                + (f"; forgotten: {', '.join(sorted(known))}" if known else "")
            )
        return {"project": self.name, "forgotten": [entry.id for entry in gone]}

    def answered(
        self, kind: str, question: Any, make: Callable[[], tuple[dict[str, Any], bool]]
    ) -> dict[str, Any]:
        """An answer from the cache, or a new one; dropped when anything it rests on changed.

        Args:
            kind: What answers.
            question: All that decides the answer besides.
            make: Gives the answer, and whether it would be the same again.
        """
        basis = {name: content_md5(self._project.root / name) for name in _FILES}
        basis |= {**self.versions, "code": _code()}
        with suppress(MemoryUnusableError):  # then nothing is cached, which is said there
            basis["memory"] = self.store.state()
        answer: dict[str, Any] = self.answers.made(kind, question, rests_on(basis), make)
        return answer

    @property
    def versions(self) -> dict[str, str | None]:
        """The assets that this rests on, by version; None for what is not made."""
        places = {name: self._project.output(name, self.name) for name in _PER_PROJECT}
        places |= {name: self._project.output(name, None) for name in _SHARED}
        return {name: _version(folder) for name, folder in places.items()}

    @cached_property
    def attempts(self) -> Attempts | None:
        """What workers tried, by the agents' logs; None where there are none."""
        made = (self._tables / "features.parquet").is_file()
        return _attempts(self._tables, _version(self._tables)) if made else None

    @property
    def _tables(self) -> Path:
        return self._project.output("coordination_tables", None)


def me(root: Path) -> str:
    """Who works here: git's address of theirs, else the name of their account."""
    if (git := shutil.which("git")) is None:
        return getpass.getuser()
    words = [git, "-C", str(root), "config", "user.email"]
    asked = subprocess.run(words, capture_output=True, text=True, check=False)
    return asked.stdout.strip() or getpass.getuser()


def bury(
    project: Project, stones: Sequence[Tombstone], emptied: frozenset[str] = frozenset()
) -> int:
    """Delete what tombstones cover from the memories: by author, and by paths that entries name.

    Cached answers of the projects go in any case.

    Args:
        project: The project.
        stones: The tombstones; those of users cover nothing here.
        emptied: Projects of which nothing is left, so that all of their memory goes.

    Returns:
        How many entries.
    """
    params = load_parameters(project.root)
    count = 0
    for name in project.partitions:
        memory = ProjectMemory(project, name, params)
        if name in emptied:
            count += len(memory.store.forget(ForgetSelection(matches=lambda _: True)))
        for stone in stones:
            if stone.project in (None, name) and stone.user is None:
                selection = _buried(stone, name, params.privacy)
                count += len(memory.store.forget(selection))
    return count


def _buried(stone: Tombstone, project: str, privacy: PrivacySettings) -> ForgetSelection:
    """The entries that a tombstone covers; none says which source it is about."""
    if stone.path is None:
        return ForgetSelection(author=stone.author, matches=lambda _: stone.author is not None)
    settings = privacy.model_copy(update={"forgotten": [stone]})

    def covers(entry: Note) -> bool:
        named = understand(f"{entry.origin} {entry.text} {entry.answer}").paths
        given = settings, project, stone.source or ""
        return any(is_forgotten(*given, path, entry.author) for path in named)

    return ForgetSelection(matches=covers)


def notes_files(root: Path, name: str) -> list[Path]:
    """The database of a project's notes, with what SQLite keeps beside it; none without notes."""
    return sorted((root / _KEPT).glob(f"{name}.sqlite*"))


def wipe_answers(root: Path) -> None:
    """Delete the cached answers of all projects, which quote former versions."""
    for file in sorted((root / _KEPT).glob("*.sqlite")):
        MemoryStore(file).forget(ForgetSelection(matches=lambda _: False))


def _encoder(params: Parameters) -> tuple[NoteEncoder | None, str]:
    try:
        return _opened_encoder(params)
    except WeightsError as error:
        return None, f"searched by words alone: {error}"


def _opened_encoder(params: Parameters) -> tuple[NoteEncoder | None, str]:
    key = params.models.encoder.model_dump_json()
    if key not in _ENCODERS:
        opened = open_encoder(params)
        _ENCODERS[key] = NoteEncoder(opened.name, opened.encode)
    return _ENCODERS[key], ""


_ENCODERS: dict[str, NoteEncoder] = {}


def _metadata(folder: Path) -> dict[str, Any]:
    file = folder / "files.parquet"
    if not file.is_file():
        return {}
    counted = (
        pl.scan_parquet(file).group_by("language").agg(pl.len().alias("files")).sort("language")
    ).collect()
    languages = {str(name or "other"): int(files) for name, files in counted.iter_rows()}
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
def _attempts(tables: Path, _: str | None) -> Attempts:
    return Attempts(tables)


@lru_cache(maxsize=1)
def _code() -> str | None:
    return content_md5(Path(cortex_pipelines.retrieval.__path__[0]))
