"""When each line of the pinned revision was written, by the history of the main line.

Commits are walked from the newest to the oldest. For each file there is a map from the lines of the
version at hand to those of the pinned one, in segments; a line is dated by the commit that wrote it.
On a linear history this is `git blame -w`, without one process a file; what a merge brought is dated by the merge.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import ExhaustedError, run_git, stream
from cortex_pipelines.ingestion.git.history import commit_time, commits_without_parents
from cortex_pipelines.ingestion.git.repository import git_mirrors
from cortex_pipelines.ingestion.project_sources import ProjectSource
from cortex_pipelines.ingestion.redactions import frame_of, without_private_errors
from cortex_pipelines.privacy.paths import PathRedactor
from cortex_pipelines.privacy.pseudonyms import is_forgotten, project_key
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import LINE_TIMES
from cortex_pipelines.schemas.table import UTC

_MOST_COMMITS = 50_000
"""Commits of the main line that are read; lines older than all of them have no row."""

_MOST_HUNKS = 5_000_000
"""Hunks of a history that is read; that of sqlalchemy, 14,000 commits, has 335,000."""

_END = 1 << 40  # after the last line of a file whose length is not known yet
_OPEN = _END // 2  # such an end, however far its lines moved
_NOTEBOOK = ".ipynb"  # its lines are not those of the table of files

_SCHEMA = pl.Schema(
    {
        "cache_key": pl.String(),
        "committed_at": UTC,
        "path": pl.String(),
        "old_path": pl.String(),
        "binary": pl.Boolean(),
        "hunks": pl.List(pl.Int64),
    }
)

_DIFF = (
    *("log", "--no-walk=unsorted", "--stdin", "--diff-merges=first-parent", "--format=%x00%H %ct", "--patch"),
    # -w: a change of indentation alone writes nothing
    *("-w", "-M50%", "-l1000", "--unified=0", "--diff-algorithm=myers", "--indent-heuristic"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--no-show-signature", "--no-notes", "--no-mailmap", "--ignore-submodules=all"),
)
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_CONTENT = b"+-\\"

Hunk = tuple[int, int, int, int]
"""First line and number of lines, before and after; where the number is 0, the line before which they stood."""

Segment = tuple[int, int, int]
"""Lines ``first`` to ``end`` (exclusive) of the version at hand, and the pinned number of the first."""


@dataclass
class _FileChange:
    """What a commit did to a file: ``path`` after it, ``old_path`` before it; None if it was added or removed."""

    path: str | None
    old_path: str | None
    binary: bool = False
    hunks: list[Hunk] = field(default_factory=list)


def line_times(
    source: ProjectSource, project: str, root: Path, privacy: PrivacySettings, cache: RowCache
) -> pl.DataFrame:
    """Table ``LINE_TIMES`` of a project's git sources; others have no rows."""
    key = project_key(project, privacy)
    return without_private_errors(lambda: _read(source, project, root, privacy, cache), SourceError, privacy, key)


def _read(source: ProjectSource, project: str, root: Path, privacy: PrivacySettings, cache: RowCache) -> pl.DataFrame:
    redactor = PathRedactor(privacy, project_key(project, privacy))
    rows = []
    for label, (mirror, revision) in git_mirrors(source, project, root).items():

        def public_name(path: str | None, label: str = label) -> str | None:
            """Path without private names; None if the file is not listed."""
            if path is None or path.endswith(_NOTEBOOK):
                return None
            name = redactor(path)
            is_hidden = any(is_forgotten(privacy, project, label, listed) for listed in {path, name})
            return None if is_hidden else name

        changes = _history(mirror, revision, f"{project}/{label}", cache, public_name)
        rows += [
            {"source": label, "path": path, "first_line": first, "last_line": end - 1, "committed_at": time}
            for path, runs in _dated(changes).items()
            for first, end, time in _joined(runs)
        ]
    return LINE_TIMES.frame(rows)


PublicName = Callable[[str | None], str | None]


def _history(mirror: Path, revision: str, name: str, cache: RowCache, public_name: PublicName) -> pl.DataFrame:
    """Changed files, commits from the newest; what a commit changed stays, so only new commits are read."""
    cut = commits_without_parents(mirror)
    options = ("--first-parent", f"--max-count={_MOST_COMMITS}", "--end-of-options")
    commits = run_git(mirror, "rev-list", *options, revision).split()
    keys = pl.Series("cache_key", [f"{commit}{'^' * (commit in cut)}" for commit in commits], pl.String)

    def compute(missing: pl.Series) -> pl.DataFrame:
        return frame_of(_change_rows(mirror, missing.to_list(), public_name), _SCHEMA)

    try:
        rows = cache.rows(f"line_times/{name}", keys, compute)
    except ExhaustedError:
        return pl.DataFrame(schema=_SCHEMA)
    return rows if rows["hunks"].list.len().sum() <= 4 * _MOST_HUNKS else rows.clear()


def _change_rows(mirror: Path, keys: list[str], public_name: PublicName) -> Iterator[dict[str, Any]]:
    key_of, hunks = {key.removesuffix("^"): key for key in keys}, 0
    for commit, seconds, changes in _line_changes(mirror, key_of) if keys else ():
        hunks += sum(len(change.hunks) for change in changes)
        if hunks > _MOST_HUNKS:
            raise ExhaustedError("the history has more hunks than any real one")
        for change in changes:
            path, old_path = public_name(change.path), public_name(change.old_path)
            if path is not None or old_path is not None:
                yield {
                    "cache_key": key_of[commit],
                    "committed_at": commit_time(seconds),
                    "path": path,
                    "old_path": old_path,
                    "binary": change.binary,
                    "hunks": [number for hunk in change.hunks for number in hunk],
                }


def _line_changes(mirror: Path, commits: Iterable[str]) -> Iterator[tuple[str, bytes, list[_FileChange]]]:
    """Id, time (seconds, as the commit has it) and changed files of each commit against its first parent.

    A line of a file's content begins with ``+``, ``-`` or ``\\``, so none is mistaken for a header.
    """
    with stream(mirror, *_DIFF) as (ask, answer):
        ask.writelines(commit.encode() + b"\n" for commit in commits)
        ask.close()
        commit, time, changes = "", b"", list[_FileChange]()
        for line in answer:
            if line[0] in _CONTENT:
                continue
            if line.startswith(b"\0"):
                if commit:
                    yield commit, time, changes
                identity, _, time = line[1:].strip().partition(b" ")
                commit, changes = identity.decode(), []
            elif line.startswith(b"diff --git "):
                names = line[len(b"diff --git ") : -1]  # a/PATH b/PATH; the names of a renamed file follow
                path = _unquoted(names[len(names) // 2 + 1 :]).removeprefix("b/")
                changes.append(_FileChange(path, path))
            elif changes:
                _read_header(line, changes[-1])
        if commit:
            yield commit, time, changes


def _read_header(line: bytes, change: _FileChange) -> None:
    if hunk := _HUNK.match(line):
        old, old_count, new, new_count = (1 if group is None else int(group) for group in hunk.groups())
        change.hunks.append((old + (old_count == 0), old_count, new + (new_count == 0), new_count))
    elif line.startswith(b"new file mode "):
        change.old_path = None
    elif line.startswith(b"deleted file mode "):
        change.path = None
    elif line.startswith(b"rename from "):
        change.old_path = _unquoted(line[len(b"rename from ") : -1])
    elif line.startswith(b"rename to "):
        change.path = _unquoted(line[len(b"rename to ") : -1])
    elif line.startswith(b"Binary files "):
        change.binary = True


def _unquoted(name: bytes) -> str:
    """A path as git writes it: in C's escapes between quotation marks where it holds a control character."""
    if name.startswith(b'"'):
        name = name[1:-1].decode("unicode_escape").encode("latin-1", "replace")
    return name.decode("utf-8", "backslashreplace")


def _dated(changes: pl.DataFrame) -> dict[str, list[tuple[int, int, datetime]]]:
    """By path of the pinned revision: lines (first, end) and when they were written."""
    versions: dict[str, tuple[str, list[Segment]]] = {}  # by path of the version at hand: pinned path and lines
    dated: dict[str, list[tuple[int, int, datetime]]] = {}
    for _, commit in groupby(changes.iter_rows(), key=lambda row: row[0]):
        before: dict[str, tuple[str, list[Segment]]] = {}
        for _, time, path, old_path, binary, numbers in commit:
            if path is None:
                before[old_path] = ("", [])
                continue
            before.setdefault(path, ("", []))
            pinned_path, segments = versions.get(path, (path, [(1, _END, 1)]))
            hunks = [(1, 0, 1, _END)] if binary else list(zip(*(iter(numbers),) * 4, strict=True))
            written, older = _cut(segments, hunks)
            dated.setdefault(pinned_path, []).extend((first, end, time) for first, end in written if end < _OPEN)
            if old_path is not None:
                before[old_path] = (pinned_path, older)
        versions |= before
    return dated


def _cut(segments: list[Segment], hunks: Iterable[Hunk]) -> tuple[list[tuple[int, int]], list[Segment]]:
    """Pinned lines that a change wrote, and the segments of the version before it."""
    written, older = list[tuple[int, int]](), list[Segment]()
    pieces = _pieces(hunks)
    stop, shift = next(pieces)
    for first, end, pinned in segments:
        while first < end:
            while stop <= first:
                stop, shift = next(pieces)
            length = min(end, stop) - first
            if shift is None:
                written.append((pinned, pinned + length))
            else:
                older.append((first + shift, first + shift + length, pinned))
            first, pinned = first + length, pinned + length
    return written, older


def _pieces(hunks: Iterable[Hunk]) -> Iterator[tuple[int, int | None]]:
    """Pieces of the new version: where each ends, and how far its lines moved; None if they are new."""
    shift = 0
    for old, old_count, new, new_count in hunks:
        yield new, shift
        yield new + new_count, None
        shift = old + old_count - new - new_count
    yield 2 * _END, shift


def _joined(runs: list[tuple[int, int, datetime]]) -> Iterator[tuple[int, int, datetime]]:
    for time, neighbours in groupby(sorted(runs), key=lambda run: run[2]):
        lines = list(neighbours)
        first, end = lines[0][:2]
        for start, stop, _ in lines[1:]:
            if start > end:
                yield first, end, time
                first = start
            end = stop
        yield first, end, time
