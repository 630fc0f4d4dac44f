"""Delete what is kept beside the asset graph: feedback, the gateway's logs, keys, memories.

All of it is found by the tombstones in params.yaml, so that repeating it changes nothing.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.feedback.pinned_events import events_folder
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.feedback.store import open_store
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.connectors.snapshot import drop_snapshots, snapshot_file
from cortex_pipelines.ingestion.git.repository import mirror_folder
from cortex_pipelines.ingestion.project_sources import GitSource
from cortex_pipelines.jsonl import json_object, lines_of, rewrite
from cortex_pipelines.privacy.pseudonyms import author_pseudonym, logs_key, project_key
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.privacy.tombstones import is_forgotten, is_forgotten_event
from cortex_pipelines.projects.update_pins import pin_feedback_alone
from cortex_pipelines.release.experiments.project_experiments import book_of
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.signing.keys import keys_folder
from cortex_pipelines.versioning.project import read_yaml

Covers = Callable[[Mapping[str, Any]], bool]


def erase(
    root: Path, params: Parameters, stones: list[Tombstone], person: str | None
) -> dict[str, int]:
    """Delete what tombstones cover.

    Args:
        root: Project root.
        params: Its parameters, with the tombstones.
        stones: Those of this request.
        person: Whom they are about, as experiments and memories know them otherwise; None for
            nobody.

    Returns:
        How much of each kind of thing is gone.
    """
    privacy = params.privacy
    emptied = emptied_projects(params)

    def covers(event: Mapping[str, Any]) -> bool:
        project = event.get("project")
        known = project, event.get("path"), event.get("unit")
        return project in emptied or is_forgotten_event(privacy, *known)

    gone = {"events of feedback": _stored(root, params, covers)}
    gone["events of the gateway"] = _drop(gateway_log(root), covers)
    everywhere = {s.user for s in privacy.forgotten if s.project is s.source is s.path is None}
    key = logs_key(privacy)

    @cache
    def is_theirs(name: str) -> bool:
        return bool(name) and author_pseudonym(name, key) in everywhere

    gone["names in the audit log"] = AuditLog(gateway_log(root).parent).forget(is_theirs)
    gone["API keys"] = KeyRing(keys_folder(root)).forget(is_theirs)
    gone["pseudonyms in experiments"] = 0
    mine: list[Tombstone] = []
    for stone in stones if person else ():
        if stone.user and stone.path is stone.source is None:
            gone["pseudonyms in experiments"] += book_of(root).forget(str(person), stone.project)
        if stone.user:
            mine += _as_author(stone, str(person), params)
    gone["entries of memories"] = project_notes.bury(open_project(root), [*stones, *mine], emptied)
    logs = list((root / ".cortex" / "logs").glob("error-*.log"))
    for log in logs:  # of failed commands, with what they were asked
        log.unlink()
    gone["logs of errors"] = len(logs)
    return gone


def erase_project(root: Path, params: Parameters, name: str) -> dict[str, int]:
    """Delete what people left of a project, and copies of sources that only it has.

    Args:
        root: Project root.
        params: Its parameters, with the project.
        name: The project.

    Returns:
        How much of each kind of thing is gone.
    """

    def covers(event: Mapping[str, Any]) -> bool:
        return event.get("project") == name

    gone = {"events of feedback": _stored(root, params, covers)}
    gone["events of the gateway"] = _drop(gateway_log(root), covers)
    notes = project_notes.notes_files(root, name)
    copies = _copies_of(root, params, name)
    for path in (*notes, *copies):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {**gone, "databases of notes": bool(notes), "copies of sources": len(copies)}


def _copies_of(root: Path, params: Parameters, name: str) -> list[Path]:
    """Mirrors, archives and snapshots of a project's sources that no other project needs."""
    pinned: dict[str, Any] = read_yaml(root / "sources.lock").get("projects") or {}

    def copies(project: str) -> set[Path]:
        declared = params.projects[project].sources if project in params.projects else ()
        git = [one for one in declared if isinstance(one, GitSource)]
        hashes = [str(pin["sha256"]) for pin in pinned.get(project) or () if "sha256" in pin]
        return {
            *(mirror_folder(source, root, root / CACHE) for source in git),
            *(root / CACHE / "downloads" / sha256 for sha256 in hashes),
            *(snapshot_file(root, sha256) for sha256 in hashes),
        }

    others = [copies(project) for project in params.projects if project != name]
    return sorted(path for path in copies(name).difference(*others) if path.exists())


def emptied_projects(params: Parameters) -> frozenset[str]:
    """Projects of which every source is forgotten as a whole."""
    return frozenset(
        name
        for name, project in params.projects.items()
        if all(is_forgotten(params.privacy, name, one.label) for one in project.sources)
    )


def drop_mirrors(root: Path) -> int:
    """Delete copies of sources: of repositories that anything is forgotten of, and whole archives.

    Those of repositories that are a source no longer, or that were read at another place, go too.
    An archive of others is the same for everybody, so it stays as long as something of it is used.
    The next reading of a source that stays makes its own copy. Snapshots of tables cannot be made
    again: those that a pin names stay, until their source is forgotten as a whole. All others go,
    with or without a tombstone: their rows may be gone from the tracker.

    Returns:
        How many.
    """
    params, cache = load_parameters(root), root / CACHE
    stones = [stone for stone in params.privacy.forgotten if stone.user is None]
    lock = read_yaml(root / "sources.lock")
    untouched = {
        mirror_folder(source, root, cache).name
        for name, project in params.projects.items()
        for source in project.sources
        if isinstance(source, GitSource)
        and not any(_concerns(stone, name, source.label) for stone in stones)
    }
    archives = []
    snapshots = [pin["sha256"] for pin in (lock.get("coordination") or {}).get("sources", ())]
    # each pin by what it says itself: until `cortex update` params.yaml may have another order
    pinned = [(name, pin) for name, pins in (lock.get("projects") or {}).items() for pin in pins]
    for name, pin in pinned:
        labels = [f"{kind}:{where}" for kind, where in pin.items()]
        forgotten = any(is_forgotten(params.privacy, name, label) for label in labels)
        if "dlt" in pin and not forgotten:
            snapshots.append(pin["sha256"])
        elif "dlt" not in pin and "sha256" in pin and forgotten:
            archives.append(cache / "downloads" / str(pin["sha256"]))
    mirrors = [
        folder
        for folder in (cache / "git").glob("*")
        if stones and folder.is_dir() and folder.name not in untouched
    ]
    for folder in mirrors:
        shutil.rmtree(folder)
    there = [path for path in archives if path.exists()]
    for path in there:
        path.unlink()
    # without a lock nobody can say which are pinned
    return len(mirrors) + len(there) + (drop_snapshots(root, snapshots) if lock else 0)


def _concerns(stone: Tombstone, project: str, source: str) -> bool:
    return stone.project in (None, project) and stone.source in (None, source)


def _as_author(stone: Tombstone, person: str, params: Parameters) -> list[Tombstone]:
    """The tombstones of a user as an author of memories."""
    names = [stone.project] if stone.project else sorted(params.projects)
    return [
        Tombstone(
            project=name,
            source=stone.source,
            path=stone.path,
            author=author_pseudonym(person, project_key(name, params.privacy)),
        )
        for name in names
    ]


def _stored(root: Path, params: Parameters, covers: Covers) -> int:
    folder = events_folder(params.feedback, root)
    if not folder.is_dir():
        return 0
    with open_store(folder) as store:
        gone = store.forget(covers)
    if gone:
        pin_feedback_alone(root, params)
    return gone


def _drop(path: Path, covers: Covers) -> int:
    """Delete covered lines of a log, with all others about the same completions.

    What a killed process left unfinished goes, too: nothing reads it, and it may hold anything.
    """
    if not path.exists():
        return 0
    with path.open("rb") as file:
        events = filter(None, map(json_object, lines_of(file)))
        ids = {event.get("completion_id") for event in events if covers(event)} - {None}
    gone = 0

    def kept(lines: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal gone
        for line in lines:
            event = json_object(line)
            if event is not None and event.get("completion_id") not in ids and not covers(event):
                yield line
            else:
                gone += event is not None

    rewrite(path, kept)
    return gone
