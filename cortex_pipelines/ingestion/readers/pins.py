"""Pins of sources for sources.lock.

A pin holds plain values and no time stamps: where the source is, as in params.yaml, and which
revision, version or content was there.
"""

from pathlib import Path

from cortex_pipelines.ingestion.archives.archive import archive_path
from cortex_pipelines.ingestion.cache import file_sha256
from cortex_pipelines.ingestion.connectors.declared import DltSource
from cortex_pipelines.ingestion.connectors.fetch import take_snapshot
from cortex_pipelines.ingestion.git.repository import fetch_revision
from cortex_pipelines.ingestion.packages.npm import fetch_npm
from cortex_pipelines.ingestion.packages.sdist import fetch_sdist
from cortex_pipelines.ingestion.project_sources import (
    ArchiveSource,
    DirectorySource,
    GitSource,
    NpmSource,
    Pin,
    ProjectSettings,
    Source,
)
from cortex_pipelines.ingestion.readers.directory import content_hash


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
