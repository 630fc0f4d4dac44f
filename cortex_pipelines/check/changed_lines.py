"""Lines of a working tree that differ from a commit."""

import codecs
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.check.findings import Finding, LineEdit
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git

_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_DIFF = (
    *("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--diff-filter=d"),
    *("--ignore-submodules=all", "--src-prefix=a/", "--dst-prefix=b/"),
)


class DiffError(ValueError):
    """The folder is not a git repository, or the commit does not exist."""


@dataclass(frozen=True)
class ChangedLines:
    lines: frozenset[int] | None  # from 1; None for a file that git does not know yet, or for all

    def overlap(self, finding: Finding) -> bool:
        return self.lines is None or not self.lines.isdisjoint(range(finding.line, finding.end_line + 1))

    def after(self, edits: Sequence[LineEdit]) -> "ChangedLines":
        """The lines, and those that edits insert, by their positions after the edits."""
        if self.lines is None:
            return self
        lines = set(self.lines)
        for edit in sorted(edits, reverse=True):
            added = edit.text.count("\n") - (edit.end_line - edit.line)
            lines = {line + added * (line > edit.end_line) for line in lines if not edit.line < line <= edit.end_line}
            lines |= set(range(edit.line, edit.line + edit.text.count("\n") + 1))
        return ChangedLines(frozenset(lines))


ALL_LINES = ChangedLines(None)


def changed_since(ref: str, location: Path) -> dict[Path, ChangedLines]:
    """Changed files of the repository around a path, with the lines that are new since its history left ``ref``.

    Renamed files have their new paths; what git does not track and does not ignore is new as a whole.
    Raises DiffError.
    """
    folder = location if location.is_dir() else location.parent
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel").removesuffix("\n"))
    except SourceError as error:
        raise DiffError(f"{location}: --diff needs a git repository ({error})") from error
    try:
        commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except SourceError as error:
        raise DiffError(f"{root}: no commit {ref!r}; `git branch --all` and `git log` show what there is") from error
    with suppress(SourceError):  # no common history: all lines are compared
        commit = _git(root, "merge-base", commit, "HEAD").strip()
    changed = {
        root / path: ChangedLines(frozenset(lines)) for path, lines in _parse_diff(_git(root, *_DIFF, commit, "--"))
    }
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    return changed | {root / path: ALL_LINES for path in untracked if path}


def _git(folder: Path, *arguments: str) -> str:
    # with the user's own configuration, where a repository of another owner may be declared safe
    return run_git(None, "-C", str(folder), *arguments, network=True)


def _parse_diff(diff: str) -> list[tuple[str, list[int]]]:
    files: list[tuple[str, list[int]]] = []
    lines = iter(diff.split("\n"))
    for line in lines:
        if line.startswith("+++ "):
            files.append((_unquote_path(line[4:]), []))
        elif match := _HUNK.match(line):
            removed, first, added = (int(number or 1) for number in match.groups())
            files[-1][1].extend(range(first, first + added))
            remaining = removed + added
            while remaining:  # a line of code may look like a header
                remaining -= not next(lines).startswith("\\")
    return files


def _unquote_path(git_path: str) -> str:
    """The path in git's notation: after a prefix, quoted if it has control characters, with a tab after blanks."""
    if git_path.startswith('"'):
        data = codecs.escape_decode(git_path.rstrip("\t")[1:-1].encode("utf-8", "surrogateescape"))[0]
        git_path = bytes(data).decode("utf-8", "surrogateescape")
    return git_path.removesuffix("\t").removeprefix("b/")
