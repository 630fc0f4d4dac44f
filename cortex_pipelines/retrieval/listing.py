"""The text files of a folder as it lies on disk: what is searched, and what is left out of it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pathspec

from cortex_pipelines.ingestion.entries import SourceError, unsafe_because
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.ingestion.readers.directory import MADE_BY_TOOLS, NOT_SOURCES

_IGNORE = ".gitignore"


@dataclass(frozen=True)
class Listed:
    """One file, not read yet.

    Args:
        path: Path relative to the folder, with forward slashes.
        size: In bytes.
        mtime: Time of its last change, in nanoseconds.
    """

    path: str
    size: int
    mtime: int


def list_files(folder: Path) -> Iterator[Listed]:
    """The regular files of a folder that people write, in the order of their paths.

    Left out: version control, virtual environments and caches of tools, links, devices, and what
    ``.gitignore`` files in the folder name, unless the folder is a git repository that holds it.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no folder is there; give one that exists")
    paths = _tracked(folder)
    yield from sorted(
        (entry for entry in (_walk(folder, paths)) if unsafe_because(entry.path) is None),
        key=lambda entry: entry.path,
    )


def head_commit(folder: Path) -> str | None:
    """The commit that a folder's repository is at; None if it is in none."""
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            try:
                return run_git(None, "-C", str(place), "rev-parse", "HEAD").strip()
            except SourceError:
                return None  # a repository without a commit, or not this user's
    return None


def _tracked(folder: Path) -> frozenset[str]:
    """Paths that git tracks, whatever ``.gitignore`` says; none outside of a repository."""
    if not (folder / ".git").exists():
        return frozenset()
    try:
        return frozenset(run_git(None, "-C", str(folder), "ls-files", "-z").split("\0"))
    except SourceError:
        return frozenset()


def _walk(folder: Path, tracked: frozenset[str]) -> Iterator[Listed]:
    kept_folders = {
        parent for path in tracked for parent in _parents(path)
    }  # a tracked file may lie in an ignored folder
    pending: list[tuple[str, tuple[tuple[str, pathspec.GitIgnoreSpec], ...]]] = [("", ())]
    while pending:
        prefix, rules = pending.pop()
        try:
            entries = list(os.scandir(folder / prefix))
        except OSError:
            continue  # not readable: nothing of it can be searched
        names = {entry.name for entry in entries}
        if prefix and any(name in names for name in MADE_BY_TOOLS):
            continue
        if _IGNORE in names:
            rules = (*rules, (prefix, _rules(folder / prefix / _IGNORE)))
        for entry in entries:
            path = prefix + entry.name
            facts = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(facts.st_mode):
                ignored = entry.name in NOT_SOURCES or _ignored(path + "/", rules)
                if not ignored or path in kept_folders:
                    pending.append((path + "/", rules))
            elif stat.S_ISREG(facts.st_mode) and (path in tracked or not _ignored(path, rules)):
                yield Listed(path, facts.st_size, facts.st_mtime_ns)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _rules(file: Path) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(
            file.read_text(encoding="utf-8", errors="replace").splitlines()
        )
    except (OSError, ValueError):
        return pathspec.GitIgnoreSpec.from_lines([])  # as git: a damaged rule ignores nothing


def _ignored(path: str, rules: tuple[tuple[str, pathspec.GitIgnoreSpec], ...]) -> bool:
    """Whether the innermost rule that speaks of a path ignores it."""
    for prefix, spec in reversed(rules):
        verdict = spec.check_file(path[len(prefix) :]).include
        if verdict is not None:
            return verdict
    return False
