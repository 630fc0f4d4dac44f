"""A folder as a source: its files and a content hash."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cortex_pipelines.ingestion.entries import Entries, File, SkippedFile, SourceError, SourceLimits

NOT_SOURCES = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules"})
"""Folders that tools keep beside the sources and change by themselves."""
MADE_BY_TOOLS = ("pyvenv.cfg", "CACHEDIR.TAG")
"""Files that mark a folder made by a tool: a virtual environment, a cache, an index."""


def content_hash(folder: Path) -> str:
    """SHA-256 over paths and contents of a folder, links by target; not of version control and caches of tools."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        digest.update(_fingerprint(folder, path))
    return digest.hexdigest()


def read_directory(folder: Path, content: str, label: str, limits: SourceLimits) -> Entries:
    """Every file in the order of its paths. Raises, after the last one, if the content is not the pinned one."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        entry = None if limits.full else _read_entry(folder, path, limits)
        # what was read is what is hashed, even while somebody edits the folder
        digest.update(_fingerprint(folder, path, entry.data if isinstance(entry, File) else None))
        if entry:
            yield entry
    if digest.hexdigest() != content:
        raise SourceError(
            f"{label}: the content of {folder} has changed since it was pinned in sources.lock; "
            "run `cortex update` to take it as it is now"
        )


def _walk(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        raise SourceError(f"no such folder: {folder}; correct `directory` in params.yaml")
    paths: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        parent_path = Path(parent)
        linked = [name for name in folders if (parent_path / name).is_symlink()]
        folders[:] = [name for name in folders if name not in linked and not _is_tool_folder(parent_path / name)]
        paths += ((parent_path / name).relative_to(folder).as_posix() for name in [*files, *linked])
    return iter(sorted(paths, key=os.fsencode))


def _unreadable(error: OSError) -> None:
    raise SourceError(f"cannot read {error.filename}: {error.strerror}; grant read access to it")


def _is_tool_folder(folder: Path) -> bool:
    return folder.name in NOT_SOURCES or any((folder / name).exists() for name in MADE_BY_TOOLS)


def _fingerprint(folder: Path, path: str, data: bytes | None = None) -> bytes:
    """Unambiguous bytes for a path, kind and content, with lengths first."""
    name, full_path = os.fsencode(path), folder / path
    mode = full_path.lstat().st_mode
    if data is not None:
        kind, content = b"file", hashlib.sha256(data)
    elif stat.S_ISLNK(mode):
        kind, content = b"link", hashlib.sha256(os.fsencode(full_path.readlink()))
    elif stat.S_ISREG(mode):
        with full_path.open("rb") as file:
            kind, content = b"file", hashlib.sha256()
            while chunk := file.read(1 << 20):
                content.update(chunk)
    else:
        kind, content = b"special", hashlib.sha256()
    return b"%d %s %s %s\n" % (len(name), name, kind, content.hexdigest().encode())


def _read_entry(folder: Path, path: str, limits: SourceLimits) -> File | SkippedFile:
    full_path = folder / path
    facts = full_path.lstat()
    if stat.S_ISLNK(facts.st_mode):
        return limits.skip(path, "link", "a symbolic link")
    if not stat.S_ISREG(facts.st_mode):
        return limits.skip(path, "special", "a device, socket or pipe")
    return limits.check(path, facts.st_size) or File(path, full_path.read_bytes())
