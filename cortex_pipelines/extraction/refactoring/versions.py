"""The two versions to compare: folders, or a commit and its first parent."""

from pathlib import Path
from typing import IO

from cortex_pipelines.extraction.settings import RefactoringSettings
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.files.languages import is_code, language_of
from cortex_pipelines.ingestion.git.command import records, run_git, stream
from cortex_pipelines.privacy.detect.scanning import files_below
from cortex_pipelines.syntax.grammars import PARSED

Version = dict[str, str]
"""Text by path, with forward slashes."""

_Blobs = list[tuple[bytes, str]]
"""Names of blobs, with their paths."""

_FILE_MODES = frozenset({b"100644", b"100755"})


def folder_version(folder: Path, settings: RefactoringSettings) -> Version:
    """Read the code in a folder (else NotADirectoryError), without links, non-code and oversized files."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: not a folder; give two folders, one per version")
    version: Version = {}
    for file in files_below(folder):
        if file.stat().st_size > settings.max_file_bytes:
            continue
        path = file.relative_to(folder).as_posix()
        if _may_be_code(path):
            _add(version, path, file.read_bytes())
    return version


def commit_versions(repository: Path, commit: str, settings: RefactoringSettings) -> tuple[Version, Version]:
    """The code that a commit changed, before and after, against its first parent; none without one.

    Nothing is checked out, and nothing that the repository (or a bare one) carries runs.

    Raises:
        SourceError: the repository or commit does not exist.
    """
    inner = repository / ".git"
    if inner.is_file():  # of a work tree or submodule
        words = inner.read_text(encoding="utf-8", errors="replace").partition("gitdir:")[2]
        inner = repository / words.strip()
    git = next((folder for folder in (inner, repository) if (folder / "HEAD").is_file()), None)
    if git is None:
        raise SourceError(f"{repository}: not a git repository; give the path of a git repository")
    try:
        name = f"{commit}^{{commit}}"
        revision = run_git(git, "rev-parse", "--verify", "--end-of-options", name).strip()
    except SourceError as error:
        raise SourceError(f"{repository}: no commit {commit!r}; list the commits with `git log`") from error
    parents = run_git(git, "rev-list", "--parents", "--max-count=1", revision).split()[1:]
    before: Version = {}
    after: Version = {}
    changed = _changed_blobs(git, parents[0], revision) if parents else ([], [])
    for blobs, version in zip(changed, (before, after), strict=True):
        with stream(git, "cat-file", "--batch") as (ask, answer):
            for blob, path in blobs:
                ask.write(blob + b"\n")
                ask.flush()
                data = _blob(answer, settings.max_file_bytes)
                if data is not None:
                    _add(version, path, data)
    return before, after


def _changed_blobs(git: Path, parent: str, revision: str) -> tuple[_Blobs, _Blobs]:
    """The changed files that may be code, before and after."""
    before, after = _Blobs(), _Blobs()
    options = ("-r", "-z", "--raw", "--no-renames", "--no-ext-diff")
    with stream(git, "diff-tree", *options, parent, revision) as (_, answer):
        tokens = records(answer)
        for facts, path in zip(tokens, tokens, strict=False):
            old_mode, new_mode, old, new, _ = facts.lstrip(b":").split(b" ")
            name = path.decode("utf-8", "replace")
            for blobs, mode, blob in ((before, old_mode, old), (after, new_mode, new)):
                if mode in _FILE_MODES and _may_be_code(name):
                    blobs.append((blob, name))
    return before, after


def _blob(answer: IO[bytes], max_bytes: int) -> bytes | None:
    header = answer.readline().split()
    if len(header) != 3 or not header[2].isdigit():
        return None
    remaining = int(header[2])
    data = answer.read(remaining) if remaining <= max_bytes else None
    while data is None and remaining:
        remaining -= len(answer.read(min(remaining, 1 << 20)))
    answer.read(1)
    return data


def _may_be_code(path: str) -> bool:
    name = path.rpartition("/")[2]
    # without an ending only the first line can tell
    return "." not in name or is_code(path)


def _add(version: Version, path: str, data: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    if language_of(path, text) in PARSED:
        version[path] = text
