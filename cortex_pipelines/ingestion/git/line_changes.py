"""Which lines each commit of the first-parent history changed, from the hunk headers of ``git log -p``."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cortex_pipelines.ingestion.git.command import stream

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


@dataclass
class FileChange:
    """What a commit did to a file: ``path`` after it, ``old_path`` before it; None if it was added or removed."""

    path: str | None
    old_path: str | None
    binary: bool = False
    hunks: list[Hunk] = field(default_factory=list)


def line_changes(mirror: Path, commits: Iterable[str]) -> Iterator[tuple[str, bytes, list[FileChange]]]:
    """Id, time (seconds, as the commit has it) and changed files of each commit against its first parent.

    A line of a file's content begins with ``+``, ``-`` or ``\\``, so none is mistaken for a header.
    """
    with stream(mirror, *_DIFF) as (ask, answer):
        ask.writelines(commit.encode() + b"\n" for commit in commits)
        ask.close()
        commit, time, changes = "", b"", list[FileChange]()
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
                changes.append(FileChange(path, path))
            elif changes:
                _read_header(line, changes[-1])
        if commit:
            yield commit, time, changes


def _read_header(line: bytes, change: FileChange) -> None:
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
