"""Read any source at its pin: list all files first, then read the uncached ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.ingestion.cache import CACHE, file_sha256
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.fetch import take_snapshot
from cortex_pipelines.ingestion.connectors.snapshot import read_rows
from cortex_pipelines.ingestion.entries import Entries, File, FileRef, Listing, SourceError, SourceLimits, blob_id
from cortex_pipelines.ingestion.git.history import Pseudonym, last_authors, list_tree, read_blobs
from cortex_pipelines.ingestion.git.repository import fetch_revision, open_revision
from cortex_pipelines.ingestion.project_sources import (
    ArchiveSource,
    DirectorySource,
    GitSource,
    NpmSource,
    Pin,
    ProjectSettings,
    SdistSource,
    Source,
)
from cortex_pipelines.ingestion.readers.files import archive_path, content_hash, read_archive, read_directory
from cortex_pipelines.ingestion.readers.packages import fetch_npm, fetch_sdist, read_npm, read_sdist
from cortex_pipelines.ingestion.settings import IngestionSettings

_Files = DirectorySource | ArchiveSource | SdistSource | NpmSource | DltSource


@dataclass(frozen=True)
class OpenSource:
    """A source at its pin, not yet read.

    ``entries`` gives every file by its content, and what was left out; ``files`` some of them with their bytes, in
    the same order; ``authors`` the pseudonym of the last author of each path, where known.
    """

    kind: str
    revision: str
    entries: Callable[[], Listing]
    files: Callable[[Sequence[FileRef]], Iterator[File]]
    authors: Callable[[set[str], Pseudonym], Mapping[str, str | None]]


def open_source(source: Source, pin: Pin, settings: IngestionSettings, root: Path) -> OpenSource:
    """Open a source at its pin. That it is not what was pinned may be found only while it is read."""
    if isinstance(source, GitSource):
        mirror, revision = open_revision(source, pin, root, root / CACHE), pin["revision"]
        return OpenSource(
            "git",
            revision,
            lambda: list_tree(mirror, revision, SourceLimits(settings)),
            lambda files: read_blobs(mirror, files),
            lambda paths, pseudonym: last_authors(mirror, revision, paths, pseudonym),
        )
    return OpenSource(
        next(iter(source.declaration)),
        str(pin.get("version", pin["sha256"])),
        lambda: (
            FileRef(entry.path, blob_id(entry.data), len(entry.data)) if isinstance(entry, File) else entry
            for entry in _walk(source, pin, SourceLimits(settings), root)
        ),
        # in a second pass: cheaper than keeping all bytes
        lambda wanted: _select_files(_walk(source, pin, SourceLimits(settings), root), wanted),
        lambda paths, pseudonym: {},
    )


def _select_files(entries: Entries, selected: Sequence[FileRef]) -> Iterator[File]:
    paths = {file.path for file in selected}
    for entry in entries if paths else ():
        if isinstance(entry, File) and entry.path in paths:
            yield entry


def _walk(source: _Files, pin: Pin, limits: SourceLimits, root: Path) -> Entries:
    if isinstance(source, DirectorySource):
        return read_directory(root / source.directory, pin["sha256"], source.label, limits)
    if isinstance(source, ArchiveSource):
        path = archive_path(root / source.archive, source.label)
        if file_sha256(path) != pin["sha256"]:
            raise SourceError(
                f"{source.label}: the archive has changed since it was pinned in sources.lock; "
                "run `cortex update` to take it as it is now"
            )
        return read_archive(path, source.label, limits)
    if isinstance(source, DltSource):
        return read_rows(source, pin["sha256"], root, limits)
    if isinstance(source, NpmSource):
        return read_npm(source, pin, root, limits)
    return read_sdist(source, pin, root / CACHE, limits)


def resolve_pins(project: ProjectSettings, root: Path, cache: Path) -> list[Pin]:
    return [resolve_pin(source, root, cache) for source in project.sources]


def resolve_pin(source: Source, root: Path, cache: Path) -> Pin:
    """Pin a source's current state, with downloads kept in the cache (``root / CACHE``)."""
    if isinstance(source, GitSource):
        revision, commits = fetch_revision(source, root, cache)
        return {**source.declaration, "revision": revision, "commits": commits}
    if isinstance(source, DirectorySource):
        return {**source.declaration, "sha256": content_hash(root / source.directory)}
    if isinstance(source, ArchiveSource):
        path = archive_path(root / source.archive, source.label)
        return {**source.declaration, "sha256": file_sha256(path), "size": path.stat().st_size}
    if isinstance(source, DltSource):
        return take_snapshot(source, root)
    if isinstance(source, NpmSource):
        return {**source.declaration, **fetch_npm(source, root, cache)}
    return {**source.declaration, **fetch_sdist(source, cache)}
