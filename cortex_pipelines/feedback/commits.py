"""What of a completion stands in the next commit of its file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.feedback.events import FeedbackEvent
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git


def retained_in_commits(
    interactions: Iterable[dict[str, Any]], repository: Path
) -> Iterator[FeedbackEvent]:
    """An event for each accepted completion whose file was committed since.

    Args:
        interactions: Rows of ``schemas.feedback.INTERACTIONS``; those with text, path and time.
        repository: Git directory of their repository; HEAD's history counts.

    Raises:
        SourceError: it is no git repository, or has no commit.
    """
    require_commit(repository)
    for row in interactions:
        if row["outcome"] != "accepted" or None in (row["original"], row["path"], row["first_at"]):
            continue
        commit = _next_commit(repository, row["path"], row["first_at"])
        if commit is None:
            continue
        name, at = commit
        yield FeedbackEvent(
            completion_id=row["completion_id"],
            kind="retained",
            source="git",
            simulated=row["simulated"],
            at=at,
            project=row["project"],
            characters=standing(
                row["original"],
                content(repository, name, row["path"]),
                content(repository, f"{name}^", row["path"]),
            ),
        )


def require_commit(repository: Path) -> None:
    """Check that a repository has a history.

    Raises:
        SourceError: it is no git repository, or has no commit.
    """
    try:
        run_git(repository, "rev-parse", "--verify", "HEAD^{commit}")
    except SourceError as error:
        raise SourceError(
            f"{repository} has no commit yet, or is no git repository; commit something first, or "
            "give the folder of another one"
        ) from error


def standing(written: str, text: str, before: str = "") -> int:
    """Characters of a completion that stand in a text, line by line.

    A line counts whole or not at all, as often as it stands there and did not before; indentation
    does not matter, and an unfinished first or last line counts where a new line contains it.
    """
    lines = written.splitlines(keepends=True)
    there = Counter(line.strip() for line in text.splitlines())
    there -= Counter(line.strip() for line in before.splitlines())
    kept = 0
    for place, line in enumerate(lines):
        words = line.strip()
        if not words:
            kept += len(line)
        elif there[words] > 0:
            there[words] -= 1
            kept += len(line)
        elif place in (0, len(lines) - 1) and any(words in other for other in +there):
            kept += len(line)
    return kept


def _next_commit(repository: Path, path: str, after: datetime) -> tuple[str, datetime] | None:
    """The first commit of a file after a moment, by the committer's clock."""
    since = f"--since={int(after.timestamp()) + 1}"
    log = run_git(
        repository, "log", "--reverse", "--format=%H %cI", since, "HEAD", "--", f":(literal){path}"
    )
    if not log:
        return None
    name, at = log.splitlines()[0].split()
    return name, datetime.fromisoformat(at)


def content(repository: Path, commit: str, path: str) -> str:
    """A file in a commit; empty if it is not there."""
    try:
        return run_git(repository, "cat-file", "blob", f"{commit}:{path}")
    except SourceError:
        return ""
