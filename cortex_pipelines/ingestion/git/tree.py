"""The files of a git revision, read from its objects."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from cortex_pipelines.ingestion.entries import File, FileRef, Listing, SourceError, SourceLimits
from cortex_pipelines.ingestion.git.command import records, stream

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
    for mode, blob, size, path in _listing(mirror, revision):
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
            yield File(file.path, _read_blob(ask, answer, file.content))


def _listing(mirror: Path, revision: str) -> Iterator[tuple[str, str, int, str]]:
    options = ("-r", "-t", "-z", "-l", "--full-tree")
    with stream(mirror, "ls-tree", *options, revision) as (_, answer):
        for record in records(answer):
            facts, _, path = record.partition(b"\t")
            mode, _, blob, size = facts.decode().split()
            yield (mode, blob, int(size) if size.isdigit() else 0, path.decode("utf-8", "surrogateescape"))


def _read_blob(ask: IO[bytes], answer: IO[bytes], blob: str) -> bytes:
    ask.write(blob.encode() + b"\n")
    ask.flush()
    header = answer.readline().split()
    if len(header) != 3:
        raise SourceError(f"git object {blob} is missing or damaged; delete .cortex/cache/git")
    data = answer.read(int(header[2]))
    answer.read(1)
    return data
