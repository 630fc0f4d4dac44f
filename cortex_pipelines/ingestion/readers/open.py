"""Read any source at its pin: list all files first, then read the uncached ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex_pipelines.ingestion.archives.archive import archive_path, read_archive
from cortex_pipelines.ingestion.cache import CACHE, file_sha256
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.files import read_rows
from cortex_pipelines.ingestion.entries import (
    Entries,
    File,
    FileRef,
    Listing,
    SkippedFile,
    SourceError,
    SourceLimits,
    blob_id,
)
from cortex_pipelines.ingestion.git.authors import Pseudonym, last_authors
from cortex_pipelines.ingestion.git.repository import open_revision
from cortex_pipelines.ingestion.git.tree import list_tree, read_blobs
from cortex_pipelines.ingestion.packages.npm import read_npm
from cortex_pipelines.ingestion.packages.sdist import read_sdist
from cortex_pipelines.ingestion.project_sources import (
    ArchiveSource,
    DirectorySource,
    GitSource,
    NpmSource,
    Pin,
    SdistSource,
    Source,
)
from cortex_pipelines.ingestion.readers.directory import read_directory
from cortex_pipelines.ingestion.settings import IngestionSettings

_Files = DirectorySource | ArchiveSource | SdistSource | NpmSource | DltSource


@dataclass(frozen=True)
class OpenSource:
    """A source at its pin, not yet read.

        Args:
            kind: Kind of source, as the key in params.yaml.
            revision: Commit id, version or hash of the content, as pinned.
            entries: Gives every file by its content, and what was left out.
            files: Gives some of the files of ``entries`` with their bytes, in the same order.
    authors: Gives the pseudonym of the last author of each path, where known.
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
        lambda: map(_file_ref, _walk(source, pin, SourceLimits(settings), root)),
        lambda wanted: _select_files(_walk(source, pin, SourceLimits(settings), root), wanted),
        lambda paths, pseudonym: {},
    )


def _file_ref(entry: File | SkippedFile) -> FileRef | SkippedFile:
    if isinstance(entry, SkippedFile):
        return entry
    return FileRef(entry.path, blob_id(entry.data), len(entry.data))


def _select_files(entries: Entries, selected: Sequence[FileRef]) -> Iterator[File]:
    """The wanted files, in a second pass: cheaper than keeping all bytes."""
    if not selected:
        return
    paths = {file.path for file in selected}
    yield from (entry for entry in entries if isinstance(entry, File) and entry.path in paths)


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
