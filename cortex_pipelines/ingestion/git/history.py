"""The history of a git revision, streamed from one ``git log``."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from cortex_pipelines.ingestion.git.command import records, stream

_LOG = (
    *("log", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-color", "--no-show-signature"),
    *("--no-notes", "--no-mailmap", "--ignore-submodules=none", "--encoding=UTF-8"),
)


def list_commits(mirror: Path, revision: str) -> Iterator[str]:
    with stream(mirror, "rev-list", "--end-of-options", revision) as (_, answer):
        for line in answer:
            yield line.decode().strip()


def commits_without_parents(mirror: Path) -> frozenset[str]:
    """Commits where a shallow mirror's history is cut off; they look like first commits."""
    shallow_file = mirror / "shallow"
    return frozenset(shallow_file.read_text().split()) if shallow_file.exists() else frozenset()


def walk_history(mirror: Path, revision: str, fields: str, *options: str) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Fields (placeholders of ``git log --format``) and changed paths of every commit, newest first."""
    return _log(mirror, fields, (*options, "--end-of-options", revision), ())


def look_up_commits(
    mirror: Path, commits: Iterable[str], fields: str, *options: str
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    return _log(mirror, fields, (*options, "--no-walk=unsorted", "--stdin"), commits)


def _log(
    mirror: Path, fields: str, options: tuple[str, ...], commits: Iterable[str]
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Run ``git log``.

    No message can be mistaken for anything else: fields end with NUL, which none can hold, and
    where the paths of a commit end is known by what follows (`:` or a commit id).
    """
    names = ["%H", *fields.split()]
    form = "--format=" + "".join(f"{name}%x00" for name in names)
    with stream(mirror, *_LOG, form, *options) as (ask, answer):
        ask.writelines(commit.encode() + b"\n" for commit in commits)
        ask.close()
        tokens = records(answer)
        head = next(tokens, None)
        while head is not None:
            values = [head, *(next(tokens) for _ in names[1:])]
            next(tokens, None)  # what ends the format
            paths, head = _changed_paths(tokens)
            yield values, paths


def _changed_paths(tokens: Iterator[bytes]) -> tuple[list[bytes], bytes | None]:
    paths: list[bytes] = []
    for token in tokens:
        if not token.lstrip(b"\n").startswith(b":"):
            return paths, token
        paths.append(next(tokens))
    return paths, None
