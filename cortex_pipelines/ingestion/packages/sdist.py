"""Source distributions as sources: resolved, pinned by hash, read as untrusted archives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.version import Version

from cortex_pipelines.ingestion.archives.archive import read_archive
from cortex_pipelines.ingestion.cache import file_sha256
from cortex_pipelines.ingestion.entries import Entries, File, Skipped, SourceError, SourceLimits
from cortex_pipelines.ingestion.packages.pypi_index import (
    Indexes,
    Offer,
    SourceDistribution,
    pip_options,
)
from cortex_pipelines.ingestion.project_sources import SdistSource


def take_sdist(source: SdistSource, cache: Path) -> dict[str, str]:
    """Resolve a source distribution, download it to the cache and return its pin.

    Raises:
        SourceError: package or version unknown, without a source distribution, or out of reach.
    """
    indexes = Indexes(pip_options())
    offer = indexes.offer(source.name)
    release = _newest(source, offer) if source.version == "latest" else _exact(source, offer)
    sha256 = indexes.download(release, cache / "downloads")
    return {"version": str(release.version), "file": release.file, "sha256": sha256}


def _newest(source: SdistSource, offer: Offer) -> SourceDistribution:
    """The newest version that is not yanked; a pre-release only if there is no other."""
    if offer.problems:  # an index that cannot be asked might have a newer one
        raise SourceError(f"{source.label}: cannot determine the latest version{_trouble(offer)}")
    kept = [release for release in offer.releases if not release.link.is_yanked]
    final = [release for release in kept if not release.version.is_prerelease]
    if not kept:
        raise SourceError(f"{source.label}: {_unknown(source)}")
    return (final or kept)[0]


def _exact(source: SdistSource, offer: Offer) -> SourceDistribution:
    wanted = Version(source.version)
    for release in offer.releases:
        if release.version == wanted:
            return release
    versions = ", ".join(sorted({str(release.version) for release in offer.releases[:8]}))
    known = f"source distributions are there of {versions}" if versions else _unknown(source)
    raise SourceError(f"{source.label}: not found: {known}{_trouble(offer)}")


def _unknown(source: SdistSource) -> str:
    return f"the indexes that pip is configured for have no source distribution of {source.name}"


def _trouble(offer: Offer) -> str:
    if not offer.problems:
        return ""
    return "; could not be asked: " + "; ".join(offer.problems) + "; check the network"


def read_sdist(
    source: SdistSource, pin: dict[str, Any], cache: Path, limits: SourceLimits
) -> Entries:
    """Every file of the pinned source distribution, relative to its one top folder.

    Raises:
        SourceError: the pinned file cannot be had any more, or is damaged.
    """
    path = cache / "downloads" / str(pin["sha256"])
    if not path.is_file() or file_sha256(path) != pin["sha256"]:
        _download_again(source, pin, cache)
    return below_top(list(read_archive(path, source.label, limits)))


def below_top(entries: list[File | Skipped]) -> Entries:
    """Paths without the top folder `name-version`, so that they are stable across versions."""
    tops = {entry.path.partition("/")[0::2] for entry in entries if isinstance(entry, File)}
    folders = {folder for folder, rest in tops}
    strip = len(folders) == 1 and all(rest for _, rest in tops)
    top = folders.pop() + "/" if strip else ""
    for entry in entries:
        yield replace(entry, path=entry.path.removeprefix(top))


def _download_again(source: SdistSource, pin: dict[str, Any], cache: Path) -> None:
    indexes = Indexes(pip_options())
    offer = indexes.offer(source.name)
    same = [release for release in offer.releases if release.file == pin["file"]]
    for release in same:
        if indexes.download(release, cache / "downloads") == pin["sha256"]:
            return
    raise SourceError(
        f"{source.label}: {pin['file']} {'has other content' if same else 'is missing'} "
        f"where pip looks, sources.lock has sha256 {pin['sha256']}{_trouble(offer)}; "
        "`cortex update` pins the current release"
    )
