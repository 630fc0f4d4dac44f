"""Source distributions as sources: resolved, pinned by hash, read as untrusted archives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from cortex_pipelines.ingestion.archives.archive import read_archive
from cortex_pipelines.ingestion.cache import file_sha256
from cortex_pipelines.ingestion.entries import Entries, File, SkippedFile, SourceError, SourceLimits
from cortex_pipelines.ingestion.packages.pypi_index import Indexes, PackageReleases, SourceDistribution, pip_options
from cortex_pipelines.ingestion.project_sources import SdistSource


def fetch_sdist(source: SdistSource, cache: Path) -> dict[str, str]:
    indexes = Indexes(pip_options())
    available = indexes.list_releases(source.name)
    release = _newest(source, available) if source.version == "latest" else _exact(source, available)
    sha256 = indexes.download(release, cache / "downloads")
    return {"version": str(release.version), "file": release.file, "sha256": sha256}


def _newest(source: SdistSource, package: PackageReleases) -> SourceDistribution:
    """The newest version that is not yanked; a pre-release only if no other exists."""
    if package.problems:  # an index that is out of reach might have a newer one
        raise SourceError(f"{source.label}: cannot determine the latest version{_index_problems(package)}")
    releases = [release for release in package.releases if not release.link.is_yanked]
    final = [release for release in releases if not release.version.is_prerelease]
    if not releases:
        raise SourceError(f"{source.label}: {_unknown(source)}")
    return (final or releases)[0]


def _exact(source: SdistSource, package: PackageReleases) -> SourceDistribution:
    version = Version(source.version)
    for release in package.releases:
        if release.version == version:
            return release
    versions = ", ".join(sorted({str(release.version) for release in package.releases[:8]}))
    detail = f"source distributions are there of {versions}" if versions else _unknown(source)
    raise SourceError(f"{source.label}: not found: {detail}{_index_problems(package)}")


def _unknown(source: SdistSource) -> str:
    return f"the indexes that pip is configured for have no source distribution of {source.name}"


def _index_problems(package: PackageReleases) -> str:
    if not package.problems:
        return ""
    return "; could not be asked: " + "; ".join(package.problems) + "; check the network"


def read_sdist(source: SdistSource, pin: dict[str, Any], cache: Path, limits: SourceLimits) -> Entries:
    path = cache / "downloads" / str(pin["sha256"])
    if not path.is_file() or file_sha256(path) != pin["sha256"]:
        _download_again(source, pin, cache)
    return below_top(list(read_archive(path, source.label, limits)))


def below_top(entries: list[File | SkippedFile]) -> Entries:
    """Paths without the top folder `name-version`, so that they are stable across versions."""
    tops = {entry.path.partition("/")[0::2] for entry in entries if isinstance(entry, File)}
    folders = {folder for folder, inner in tops}
    strip = len(folders) == 1 and all(inner for _, inner in tops)
    top = folders.pop() + "/" if strip else ""
    for entry in entries:
        yield replace(entry, path=entry.path.removeprefix(top))


def _download_again(source: SdistSource, pin: dict[str, Any], cache: Path) -> None:
    indexes = Indexes(pip_options())
    available = indexes.list_releases(source.name)
    matches = [release for release in available.releases if release.file == pin["file"]]
    for release in matches:
        if indexes.download(release, cache / "downloads") == pin["sha256"]:
            return
    raise SourceError(
        f"{source.label}: {pin['file']} {'has other content' if matches else 'is missing'} "
        f"where pip looks, sources.lock has sha256 {pin['sha256']}{_index_problems(available)}; "
        "`cortex update` pins the current release"
    )
