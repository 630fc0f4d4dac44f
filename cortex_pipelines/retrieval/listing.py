"""The text files of a folder as it lies on disk: what is searched, and what is left out of it."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pathspec

from cortex_pipelines.ingestion.entries import SourceError, folders_of, printable, unsafe_path_reason
from cortex_pipelines.ingestion.files import attributes
from cortex_pipelines.ingestion.files.languages import is_code
from cortex_pipelines.ingestion.git.command import run_git
from cortex_pipelines.ingestion.readers.files import MADE_BY_TOOLS, NOT_SOURCES

_IGNORE = ".gitignore"
_REPOSITORY = ".git"  # folder of a repository, or file that says where the repository of a submodule is
UNREADABLE = "unreadable"
_UNREADABLE_FOLDER = "unreadable folder"  # why a file, or nothing of a folder, is there


@dataclass(frozen=True)
class ListedFile:
    """One file, not read yet; ``left_out`` says why it, or the folder with this path, is not read.

    ``marked``: ``.gitattributes`` says that it is generated or vendored.
    """

    path: str
    size: int
    mtime: int
    left_out: str = ""
    marked: bool = False


@dataclass(frozen=True)
class HeadCommit:
    """The commit that a repository is at, and git's id of each file that it has below the folder."""

    commit: str
    blobs: dict[str, str]


def list_files(folder: Path) -> list[ListedFile]:
    """The regular files of a folder that people write, in the order of their paths.

    Left out without a word: version control, virtual environments and caches of tools, links, devices, and what
    ``.gitignore`` files in the folder name, unless the folder is a git repository that holds it. Files whose names are
    not safe everywhere and folders that may not be listed are given with the reason in ``left_out``.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no folder is there; give one that exists")
    tracked = frozenset[str]()  # by git, whatever ``.gitignore`` says
    if (folder / _REPOSITORY).exists():
        with suppress(SourceError):
            tracked = frozenset(run_git(None, "-C", str(folder), "ls-files", "-z").split("\0"))
    files = sorted(_walk(folder, tracked), key=lambda entry: entry.path)
    marked = marked_files(folder.resolve(), [file.path for file in files if not file.left_out])
    return [replace(file, marked=True) if file.path in marked else file for file in files]


def code_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among paths, and those in the folders among them that people write in a parsed language.

    Raises:
        FileNotFoundError: nothing is at a path.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder; give an existing path")
        if path.is_file():
            yield path
            continue
        for file in list_files(path):
            if is_code(file.path) and not (file.left_out or file.marked):
                yield path / file.path


def marked_files(folder: Path, paths: Collection[str]) -> set[str]:
    """Those of the paths in an absolute folder that the files of attributes around them mark, up to its repository."""
    root = next((parent for parent in (folder, *folder.parents) if (parent / _REPOSITORY).exists()), folder)
    prefix = "".join(f"{part}/" for part in folder.relative_to(root).parts)
    texts = []
    for name in {"", *(f"{parent}/" for path in paths for parent in folders_of(prefix + path))}:
        with suppress(OSError):
            text = (root / name / attributes.FILE).read_text(encoding="utf-8", errors="replace")
            texts.append((name + attributes.FILE, text))
    return {path.removeprefix(prefix) for path in attributes.marked_files([prefix + path for path in paths], texts)}


def head_commit(folder: Path) -> HeadCommit | None:
    if not any((parent / _REPOSITORY).exists() for parent in (folder, *folder.parents)):
        return None
    try:
        commit = run_git(None, "-C", str(folder), "rev-parse", "HEAD").strip()
        tree = run_git(None, "-C", str(folder), "ls-tree", "-r", "-z", commit)
    except SourceError:
        return None  # a repository without a commit, or not this user's
    blobs = {}
    for line in filter(None, tree.split("\0")):
        facts, _, path = line.partition("\t")
        blobs[path] = facts.rpartition(" ")[2]
    return HeadCommit(commit, blobs)


def _walk(folder: Path, tracked: frozenset[str]) -> Iterator[ListedFile]:
    # a tracked file may lie in an ignored folder
    tracked_folders = {parent for path in tracked for parent in folders_of(path)}
    pending: list[tuple[str, tuple[tuple[str, pathspec.GitIgnoreSpec], ...]]] = [("", ())]
    while pending:
        prefix, rules = pending.pop()
        try:
            entries = list(os.scandir(folder / prefix))
        except FileNotFoundError:
            continue  # deleted since its parent was listed
        except OSError:
            yield ListedFile(printable(prefix) or ".", 0, 0, _UNREADABLE_FOLDER)
            continue
        names = {entry.name for entry in entries}
        if prefix and any(name in names for name in MADE_BY_TOOLS):
            continue
        if _IGNORE in names:
            rules = (*rules, (prefix, _rules(folder / prefix / _IGNORE)))
        for entry in entries:
            path = prefix + entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # deleted since its folder was listed
            except OSError:
                yield ListedFile(printable(path), 0, 0, UNREADABLE)
                continue
            if stat.S_ISDIR(status.st_mode):
                ignored = entry.name in NOT_SOURCES or _ignored(path + "/", rules)
                if not ignored or path in tracked_folders:
                    pending.append((path + "/", rules))
            elif not stat.S_ISREG(status.st_mode) or entry.name == _REPOSITORY:
                continue
            elif path in tracked or not _ignored(path, rules):
                unsafe = unsafe_path_reason(path)
                safe_path = printable(path) if unsafe else path
                yield ListedFile(safe_path, status.st_size, status.st_mtime_ns, unsafe or "")


def _rules(file: Path) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8", errors="replace").splitlines())
    except (OSError, ValueError):
        return pathspec.GitIgnoreSpec.from_lines([])  # as git: a damaged rule ignores nothing


def _ignored(path: str, rules: tuple[tuple[str, pathspec.GitIgnoreSpec], ...]) -> bool:
    """Whether the innermost rule that speaks of a path ignores it."""
    for prefix, spec in reversed(rules):
        verdict = spec.check_file(path[len(prefix) :]).include
        if verdict is not None:
            return verdict
    return False
