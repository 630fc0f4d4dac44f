"""Delete data outside the asset graph, as tombstones select it: feedback, the gateway's logs, keys, notes."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import Parameters, load_parameters
from cortex_pipelines.feedback.project_feedback import gateway_log
from cortex_pipelines.feedback.store import events_folder, open_store
from cortex_pipelines.ingestion.cache import CACHE
from cortex_pipelines.ingestion.connectors.snapshot import prune_snapshots, snapshot_file
from cortex_pipelines.ingestion.git.repository import mirror_folder
from cortex_pipelines.ingestion.project_sources import GitSource
from cortex_pipelines.jsonl import json_object, rewrite, stripped_lines
from cortex_pipelines.privacy.pseudonyms import (
    author_pseudonym,
    is_forgotten,
    is_forgotten_event,
    logs_key,
    project_key,
)
from cortex_pipelines.privacy.settings import Tombstone
from cortex_pipelines.projects.update_pins import repin_feedback
from cortex_pipelines.release.experiments.running import experiment_log
from cortex_pipelines.retrieval.notes import project_notes
from cortex_pipelines.serving.security.audit import AuditLog
from cortex_pipelines.serving.security.keys import KeyRing
from cortex_pipelines.signing.keys import keys_folder
from cortex_pipelines.versioning.project import read_yaml

Covers = Callable[[Mapping[str, Any]], bool]


def erase(root: Path, params: Parameters, stones: list[Tombstone], person: str | None) -> dict[str, int]:
    """Delete what tombstones of this request cover, and what is ``person``'s own; counts by kind."""
    privacy = params.privacy
    emptied = emptied_projects(params)

    def covers(event: Mapping[str, Any]) -> bool:
        project = event.get("project")
        location = project, event.get("path"), event.get("unit")
        return project in emptied or is_forgotten_event(privacy, *location)

    counts = {"events of feedback": _erase_stored_events(root, params, covers)}
    counts["events of the gateway"] = _erase_logged_events(gateway_log(root), covers)
    forgotten_users = {s.user for s in privacy.forgotten if s.project is s.source is s.path is None}
    key = logs_key(privacy)

    @cache
    def belongs_to_user(name: str) -> bool:
        return bool(name) and author_pseudonym(name, key) in forgotten_users

    counts["names in the audit log"] = AuditLog(gateway_log(root).parent).forget(belongs_to_user)
    counts["API keys"] = KeyRing(keys_folder(root)).forget(belongs_to_user)
    counts["pseudonyms in experiments"] = 0
    author_tombstones: list[Tombstone] = []
    for stone in stones:
        if not (person and stone.user):
            continue
        if stone.path is stone.source is None:
            counts["pseudonyms in experiments"] += experiment_log(root).forget(person, stone.project)
        for name in [stone.project] if stone.project else sorted(params.projects):
            author = author_pseudonym(person, project_key(name, privacy))
            author_tombstones.append(Tombstone(project=name, source=stone.source, path=stone.path, author=author))
    counts["entries of memories"] = project_notes.apply_tombstones(
        open_project(root), [*stones, *author_tombstones], emptied
    )
    logs = list((root / ".cortex" / "logs").glob("error-*.log"))
    for log in logs:  # logs of failed commands contain their arguments
        log.unlink()
    counts["logs of errors"] = len(logs)
    return counts


def erase_project(root: Path, params: Parameters, name: str) -> dict[str, int]:
    """Delete a project's feedback, events, notes, and copies of sources that only it uses; counts by kind."""

    def covers(event: Mapping[str, Any]) -> bool:
        return event.get("project") == name

    counts = {"events of feedback": _erase_stored_events(root, params, covers)}
    counts["events of the gateway"] = _erase_logged_events(gateway_log(root), covers)
    notes, own_copies = project_notes.notes_files(root, name), _own_copies(root, params, name)
    for path in (*notes, *own_copies):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {**counts, "databases of notes": bool(notes), "copies of sources": len(own_copies)}


def removal_mark(root: Path, name: str) -> Path:
    """There from a project's removal until its purge; lists the copies of its sources."""
    return root / ".cortex" / "removed" / f"{name}.json"


def mark_removal(root: Path, params: Parameters, name: str) -> None:
    own_copies = [str(path.relative_to(root)) for path in _own_copies(root, params, name)]
    write_whole(removal_mark(root, name), json.dumps(own_copies))


def _own_copies(root: Path, params: Parameters, name: str) -> list[Path]:
    pinned: dict[str, Any] = read_yaml(root / "sources.lock").get("projects") or {}

    def copies(project: str) -> set[Path]:
        declared = params.projects[project].sources if project in params.projects else ()
        git = [git_source for git_source in declared if isinstance(git_source, GitSource)]
        hashes = [str(pin["sha256"]) for pin in pinned.get(project) or () if "sha256" in pin]
        return {
            *(mirror_folder(source, root, root / CACHE) for source in git),
            *(root / CACHE / "downloads" / sha256 for sha256 in hashes),
            *(snapshot_file(root, sha256) for sha256 in hashes),
        }

    copies_of_others = [copies(project) for project in params.projects if project != name]
    own_copies = copies(name)
    if name not in params.projects:
        own_copies = {root / path for path in json.loads(removal_mark(root, name).read_text(encoding="utf-8"))}
    return sorted(path for path in own_copies.difference(*copies_of_others) if path.exists())


def emptied_projects(params: Parameters) -> frozenset[str]:
    """Projects whose sources are all forgotten entirely."""
    return frozenset(
        name
        for name, project in params.projects.items()
        if all(is_forgotten(params.privacy, name, source.label) for source in project.sources)
    )


def drop_mirrors(root: Path) -> int:
    """Delete copies of sources that tombstones affect; returns how many.

    Mirrors go if any of their content is forgotten, or they are no longer a source: the next read makes a new copy.
    Archives go if all of their source is forgotten, and so do pinned snapshots of tables, which cannot be made again;
    other snapshots always go, since their rows may be deleted in the tracker.
    """
    params, cache = load_parameters(root), root / CACHE
    stones = [stone for stone in params.privacy.forgotten if stone.user is None]
    lock = read_yaml(root / "sources.lock")
    untouched = set()
    for name, project in params.projects.items():
        for source in project.sources:
            concerned = any(s.project in (None, name) and s.source in (None, source.label) for s in stones)
            if isinstance(source, GitSource) and not concerned:
                untouched.add(mirror_folder(source, root, cache).name)
    archives = []
    snapshots = [pin["sha256"] for pin in (lock.get("coordination") or {}).get("sources", ())]
    # identify pins by their own fields: params.yaml may be in another order until `cortex update`
    pinned = [(name, pin) for name, pins in (lock.get("projects") or {}).items() for pin in pins]
    for name, pin in pinned:
        forgotten = any(is_forgotten(params.privacy, name, f"{kind}:{path}") for kind, path in pin.items())
        if "dlt" in pin and not forgotten:
            snapshots.append(pin["sha256"])
        elif "dlt" not in pin and "sha256" in pin and forgotten:
            archives.append(cache / "downloads" / str(pin["sha256"]))
    mirrors = [
        folder for folder in (cache / "git").glob("*") if stones and folder.is_dir() and folder.name not in untouched
    ]
    for folder in mirrors:
        shutil.rmtree(folder)
    existing = [path for path in archives if path.exists()]
    for path in existing:
        path.unlink()
    # without a lock it is unknown which snapshots are pinned
    return len(mirrors) + len(existing) + (prune_snapshots(root, snapshots) if lock else 0)


def _erase_stored_events(root: Path, params: Parameters, covers: Covers) -> int:
    folder = events_folder(params.feedback, root)
    if not folder.is_dir():
        return 0
    with open_store(folder) as store:
        count = store.forget(covers)
    if count:
        repin_feedback(root, params)
    return count


def _erase_logged_events(path: Path, covers: Covers) -> int:
    """Delete covered lines of a log, all others about the same completions, and lines of killed processes."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        events = filter(None, map(json_object, stripped_lines(file)))
        ids = {event.get("completion_id") for event in events if covers(event)} - {None}
    count = 0

    def remaining_lines(lines: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal count
        for line in lines:
            event = json_object(line)
            if event is not None and event.get("completion_id") not in ids and not covers(event):
                yield line
            else:
                count += event is not None

    rewrite(path, remaining_lines)
    return count
