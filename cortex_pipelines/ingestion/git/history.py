"""The history of a git revision, streamed from one ``git log``."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cortex_pipelines.ingestion.entries import File, FileRef, Listing, SourceError, SourceLimits
from cortex_pipelines.ingestion.git.command import ExhaustedError, records, stream
from cortex_pipelines.privacy.pseudonyms import author_pseudonym

_LOG = (
    *("log", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-color", "--no-show-signature"),
    *("--no-notes", "--no-mailmap", "--ignore-submodules=none", "--encoding=UTF-8"),
)

# What a time stamp can hold; hostile commits claim times far outside of it.
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def commit_time(seconds: bytes) -> datetime:
    return datetime.fromtimestamp(min(max(int(seconds or 0), 0), _LATEST), UTC)


def list_commits(mirror: Path, revision: str) -> Iterator[str]:
    with stream(mirror, "rev-list", "--end-of-options", revision) as (_, answer):
        for line in answer:
            yield line.decode().strip()


def commits_without_parents(mirror: Path) -> frozenset[str]:
    """Commits where a shallow mirror's history is cut off; they look like first commits."""
    shallow_file = mirror / "shallow"
    return frozenset(shallow_file.read_text().split()) if shallow_file.exists() else frozenset()


def look_up_commits(
    mirror: Path, commits: Iterable[str], fields: str, *options: str
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    return read_log(mirror, fields, *options, "--no-walk=unsorted", "--stdin", commits=commits)


def read_log(
    mirror: Path, fields: str, *options: str, commits: Iterable[str] = ()
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Fields (placeholders of ``git log --format``) and changed paths of every commit, newest first.

    No message can be mistaken for anything else: fields end with NUL, which none can hold, and where the paths of a
    commit end is known by what follows (`:` or a commit id).
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
            paths: list[bytes] = []
            while (head := next(tokens, None)) is not None and head.lstrip(b"\n").startswith(b":"):
                paths.append(next(tokens))
            yield values, paths


Pseudonym = Callable[[bytes], str | None]
"""Maps a mail address to its pseudonym; None if git has no address."""


def pseudonyms(key: bytes) -> Pseudonym:
    @cache
    def pseudonym_of(address: bytes) -> str | None:
        text = address.decode("utf-8", "replace").strip()
        return author_pseudonym(text, key) if text else None

    return pseudonym_of


def last_authors(mirror: Path, revision: str, paths: set[str], pseudonym: Pseudonym) -> dict[str, str | None]:
    """Pseudonym of the author of the newest commit, not a merge, that changed each path; in one pass, newest first."""
    remaining_paths = {path.encode("utf-8", "surrogateescape") for path in paths}
    authors: dict[str, str | None] = {}
    with suppress(ExhaustedError):
        for (_, address), changed in read_log(mirror, "%ae", "--no-merges", "--end-of-options", revision):
            for path in remaining_paths.intersection(changed):
                authors[path.decode("utf-8", "surrogateescape")] = pseudonym(address)
            remaining_paths.difference_update(changed)
            if not remaining_paths:
                break
    return authors


_FOLDER = "040000"
_FOLDERS_A_FILE = 10
"""Folders visited per readable file; real repositories have fewer folders than files."""

_NOT_FILES = {
    "120000": ("link", "a symbolic link"),
    "160000": ("submodule", "a submodule: its commit is not part of this repository"),
}


def list_tree(mirror: Path, revision: str, limits: SourceLimits) -> Listing:
    """Every file in the order of its paths, links and submodules as skipped; no content is read."""
    folders = 0
    with stream(mirror, "ls-tree", "-r", "-t", "-z", "-l", "--full-tree", revision) as (_, answer):
        for record in records(answer):
            facts, _, name = record.partition(b"\t")
            mode, _, blob, digits = facts.decode().split()
            path, size = name.decode("utf-8", "surrogateescape"), int(digits) if digits.isdigit() else 0
            if mode == _FOLDER:
                # a few objects can unfold to folders without end, none of which holds a file
                folders += 1
                if folders > _FOLDERS_A_FILE * limits.settings.max_files:
                    yield limits.stop(path, "too_many_folders")
            elif mode in _NOT_FILES:
                yield limits.skip(path, *_NOT_FILES[mode])
            else:
                yield limits.check(path, size) or FileRef(path, blob, size)
            if limits.full:
                return


def read_blobs(mirror: Path, files: Iterable[FileRef]) -> Iterator[File]:
    with stream(mirror, "cat-file", "--batch") as (ask, answer):
        for file in files:
            ask.write(file.content.encode() + b"\n")
            ask.flush()
            header = answer.readline().split()
            if len(header) != 3:
                raise SourceError(f"git object {file.content} is missing or damaged; delete .cortex/cache/git")
            data = answer.read(int(header[2]))
            answer.read(1)
            yield File(file.path, data)
