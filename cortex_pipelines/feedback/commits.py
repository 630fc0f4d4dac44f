"""How much of a completion survives in the next commit of its file."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from cortex_pipelines.feedback.events import FeedbackEvent
from cortex_pipelines.ingestion.entries import SourceError
from cortex_pipelines.ingestion.git.command import run_git


def retained_in_commits(interactions: Iterable[dict[str, Any]], repository: Path) -> Iterator[FeedbackEvent]:
    """An event for each accepted completion whose file was committed since; ``repository`` is a git directory."""
    require_commit(repository)
    for row in interactions:
        if row["outcome"] != "accepted" or None in (row["original"], row["path"], row["first_at"]):
            continue
        commit = _next_commit(repository, row["path"], row["first_at"])
        if commit is None:
            continue
        name, committed_at = commit
        yield FeedbackEvent(
            completion_id=row["completion_id"],
            kind="retained",
            source="git",
            simulated=row["simulated"],
            at=committed_at,
            project=row["project"],
            characters=surviving_characters(
                row["original"],
                file_at_commit(repository, name, row["path"]),
                file_at_commit(repository, f"{name}^", row["path"]),
            ),
        )


def require_commit(repository: Path) -> None:
    try:
        run_git(repository, "rev-parse", "--verify", "HEAD^{commit}")
    except SourceError as error:
        raise SourceError(
            f"{repository} has no commit yet, or is not a git repository; commit something first, "
            "or give the folder of another one"
        ) from error


def surviving_characters(completion: str, text: str, before: str = "") -> int:
    """Characters of a completion that survive in a text, counted by whole lines.

    A line counts whole or not at all, as often as it stands there and did not before; indentation
    does not matter, and an unfinished first or last line counts where a new line contains it.
    """
    lines = completion.splitlines(keepends=True)
    line_counts = Counter(line.strip() for line in text.splitlines())
    line_counts -= Counter(line.strip() for line in before.splitlines())
    surviving = 0
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped:
            surviving += len(line)
        elif line_counts[stripped] > 0:
            line_counts[stripped] -= 1
            surviving += len(line)
        elif number in (0, len(lines) - 1) and any(stripped in other for other in +line_counts):
            surviving += len(line)
    return surviving


def _next_commit(repository: Path, path: str, after: datetime) -> tuple[str, datetime] | None:
    since = f"--since={int(after.timestamp()) + 1}"
    log = run_git(repository, "log", "--reverse", "--format=%H %cI", since, "HEAD", "--", f":(literal){path}")
    if not log:
        return None
    name, committed_at = log.splitlines()[0].split()
    return name, datetime.fromisoformat(committed_at)


def file_at_commit(repository: Path, commit: str, path: str) -> str:
    try:
        return run_git(repository, "cat-file", "blob", f"{commit}:{path}")
    except SourceError:
        return ""
