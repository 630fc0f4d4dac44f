"""Packages as sources: resolved, pinned by hash, read as untrusted archives; nothing of them is run or installed.

Indexes, registry, proxies and credentials are those that pip and npm are configured for. unearth lists and downloads
source distributions, as building their metadata would run them.
"""

import ast
import base64
import hashlib
import json
import logging
import os
import shutil
import ssl
import subprocess  # nosec B404
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from cortex_pipelines.atomic import atomic_file, publish, scratch_folder
from cortex_pipelines.ingestion.cache import CACHE, file_sha256
from cortex_pipelines.ingestion.entries import Entries, File, SkippedFile, SourceError, SourceLimits
from cortex_pipelines.ingestion.project_sources import NpmSource, SdistSource
from cortex_pipelines.ingestion.readers.files import read_archive

_TIMEOUT_SECONDS = 30.0
_MOST_BYTES = 1 << 30
"""Download limit, in bytes; ingestion.max_archive_bytes then limits what is opened."""

_OPTIONS = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")
# later ones win, as for `pip download`
_SECTIONS = ("global", "install", "download", ":env:")


@dataclass(frozen=True)
class SourceDistribution:
    version: Version
    file: str
    link: Any


def pip_options() -> dict[str, list[str]]:
    # this interpreter's own pip, with fixed arguments
    listing = subprocess.run(  # nosec B603
        [sys.executable, "-P", "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if listing.returncode:  # an environment without pip
        values = {name: os.environ.get("PIP_" + name.upper().replace("-", "_"), "") for name in _OPTIONS}
        return {name: value.split() for name, value in values.items() if value}
    pairs = [line.partition("=") for line in listing.stdout.splitlines() if "=" in line]
    configured = {key: str(ast.literal_eval(value)) for key, _, value in pairs}
    option_values = [(name, configured.get(f"{section}.{name}")) for section in _SECTIONS for name in _OPTIONS]
    return {name: value.split() for name, value in option_values if value}


class Indexes:
    def __init__(self, options: dict[str, list[str]]) -> None:
        from unearth import PackageFinder
        from unearth.auth import MultiDomainBasicAuth
        from unearth.fetchers import PyPIClient

        urls = options.get("index-url") or [PackageFinder().sources[0]["url"]]
        urls = [*urls, *options.get("extra-index-url", [])]
        if options.get("no-index", [""])[0].lower() in ("1", "true", "yes", "on"):
            urls = []
        links = [link for link in options.get("find-links", []) if "://" in link or Path(link).exists()]
        self._locations = [("index", url) for url in urls] + [("links", link) for link in links]
        cert = options.get("cert")
        self._session = PyPIClient(
            trusted_hosts=options.get("trusted-host", []),
            verify=ssl.create_default_context(cafile=cert[0]) if cert else True,
            timeout=_TIMEOUT_SECONDS,
            follow_redirects=True,
        )
        self._session.auth = MultiDomainBasicAuth(prompting=False, index_urls=urls)

    def list_releases(self, package: str) -> tuple[list[SourceDistribution], str]:
        """Releases, newest first, and what to say of indexes that are out of reach."""
        from unearth.link import Link

        releases: list[SourceDistribution] = []
        problems: list[str] = []
        for kind, url in self._locations:
            try:
                with _warnings() as warned:
                    releases += self._find_releases(kind, url, package)
            except _network_errors() as error:
                warned = [str(error) or type(error).__name__]
            problems += (f"{Link(url).redacted}: {message}" for message in warned)
        # the sort is stable: of the same version, the index that is configured first
        releases.sort(key=lambda release: release.version, reverse=True)
        return releases, f"; could not be asked: {'; '.join(problems)}; check the network" if problems else ""

    def _find_releases(self, kind: str, url: str, package: str) -> Iterator[SourceDistribution]:
        from unearth import PackageFinder

        finder = PackageFinder(self._session, ignore_compatibility=True, no_binary=[":all:"])
        finder.sources.clear()
        (finder.add_index_url if kind == "index" else finder.add_find_links)(url)
        for candidate in finder.find_all_packages(canonicalize_name(package), allow_yanked=True):
            try:
                version = Version(candidate.version or "")
            except InvalidVersion:
                continue
            yield SourceDistribution(version, candidate.link.filename, candidate.link)

    def download(self, release: SourceDistribution, folder: Path) -> str:
        """Download a file into ``folder``, named by its SHA-256, which is returned."""
        try:
            with scratch_folder(folder) as scratch:
                with (scratch / "file").open("wb") as file:
                    sha256 = self._copy(release, file)
                publish(scratch / "file", folder / sha256)
            return sha256
        except _network_errors() as error:
            raise SourceError(
                f"{release.file} cannot be downloaded from {release.link.redacted}: {error}; check "
                "the network, then run `cortex update` again"
            ) from error

    def _copy(self, release: SourceDistribution, file: Any) -> str:
        expected = release.link.hash_option or {}
        hashes = {name: hashlib.new(name) for name in {"sha256", *expected}}
        with self._session.get_stream(release.link.normalized) as response:
            response.raise_for_status()
            total = 0
            for chunk in response.iter_bytes():
                total += len(chunk)
                if total > _MOST_BYTES:
                    raise SourceError(f"{release.file} is larger than {_MOST_BYTES} bytes")
                file.write(chunk)
                for digest in hashes.values():
                    digest.update(chunk)
        for name, values in expected.items():
            if hashes[name].hexdigest() not in values:
                raise SourceError(
                    f"{release.file}: its {name} is {hashes[name].hexdigest()}, the index says "
                    f"{', '.join(values)}; the download is damaged: run `cortex update` again"
                )
        return hashes["sha256"].hexdigest()


def _network_errors() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what unearth only logs: refused requests, but not missing pages."""
    messages: list[str] = []

    class _WarningCollector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if "(404)" not in message:
                messages.append(message)

    logger, handler = logging.getLogger("unearth.collector"), _WarningCollector(logging.WARNING)
    previous = logger.propagate, logger.disabled
    logger.addHandler(handler)
    # a database migration in the same process may have switched all loggers off
    logger.propagate, logger.disabled = False, False
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.propagate, logger.disabled = previous


def fetch_sdist(source: SdistSource, cache: Path) -> dict[str, str]:
    """Download an exact version; or the newest that is not yanked, and a pre-release only if no other exists."""
    indexes = Indexes(pip_options())
    releases, problems = indexes.list_releases(source.name)
    unknown = f"the indexes that pip is configured for have no source distribution of {source.name}"
    if source.version == "latest":
        if problems:  # an index that is out of reach might have a newer one
            raise SourceError(f"{source.label}: cannot determine the latest version{problems}")
        usable = [release for release in releases if not release.link.is_yanked]
        candidates = [release for release in usable if not release.version.is_prerelease] or usable
        failure = unknown
    else:
        candidates = [release for release in releases if release.version == Version(source.version)]
        versions = ", ".join(sorted({str(release.version) for release in releases[:8]}))
        failure = f"not found: {f'source distributions are there of {versions}' if versions else unknown}{problems}"
    if not candidates:
        raise SourceError(f"{source.label}: {failure}")
    release = candidates[0]
    sha256 = indexes.download(release, cache / "downloads")
    return {"version": str(release.version), "file": release.file, "sha256": sha256}


def read_sdist(source: SdistSource, pin: dict[str, Any], cache: Path, limits: SourceLimits) -> Entries:
    path = cache / "downloads" / str(pin["sha256"])
    if not path.is_file() or file_sha256(path) != pin["sha256"]:
        indexes = Indexes(pip_options())
        releases, problems = indexes.list_releases(source.name)
        matches = [release for release in releases if release.file == pin["file"]]
        if not any(indexes.download(release, cache / "downloads") == pin["sha256"] for release in matches):
            raise SourceError(
                f"{source.label}: {pin['file']} {'has other content' if matches else 'is missing'} "
                f"where pip looks, sources.lock has sha256 {pin['sha256']}{problems}; "
                "`cortex update` pins the current release"
            )
    return below_top(list(read_archive(path, source.label, limits)))


def below_top(entries: list[File | SkippedFile]) -> Entries:
    """Paths without the top folder `name-version`, so that they are stable across versions."""
    tops = {entry.path.partition("/")[0::2] for entry in entries if isinstance(entry, File)}
    folders = {folder for folder, inner in tops}
    strip = len(folders) == 1 and all(inner for _, inner in tops)
    top = folders.pop() + "/" if strip else ""
    for entry in entries:
        yield replace(entry, path=entry.path.removeprefix(top))


_NPM_TIMEOUT_SECONDS = 300
_NPM_OPTIONS = (
    *("--json", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"),
    *("--loglevel=error", "--logs-max=0", "--prefer-online", "--workspaces=false"),
    "--fetch-retry-mintimeout=500",
)


def fetch_npm(source: NpmSource, root: Path, cache: Path) -> dict[str, str]:
    """Resolve a package, download its archive to the cache and return its pin. A ``.npmrc`` in ``root`` counts."""
    with tempfile.TemporaryDirectory() as folder:
        spec = f"{source.name}@{source.version}"
        packed = _npm(source, root, cache, "pack", spec, f"--pack-destination={folder}")
        # a list; an object by name where npm is newer
        packages = packed.values() if isinstance(packed, dict) else packed
        facts = next(iter(packages or ()), None)
        files = list(Path(folder).iterdir())
        if len(files) != 1 or not isinstance(facts, dict) or facts.get("name") != source.name:
            raise SourceError(f"{source.label}: npm returned no archive for {spec}")
        file = files[0]
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha512").digest()
        integrity = "sha512-" + base64.b64encode(digest).decode()
        if str(facts.get("integrity")) != integrity:
            raise SourceError(
                f"{source.label}: the archive has integrity {integrity}, npm says "
                f"{facts.get('integrity')}; run `cortex update` again"
            )
        sha256 = file_sha256(file)
        with atomic_file(cache / "downloads" / sha256, durable=False) as scratch:
            shutil.copyfile(file, scratch)
        return {"version": str(facts.get("version")), "file": file.name, "integrity": integrity, "sha256": sha256}


def read_npm(source: NpmSource, pin: dict[str, Any], root: Path, limits: SourceLimits) -> Entries:
    path = root / CACHE / "downloads" / str(pin["sha256"])
    if not path.is_file() or file_sha256(path) != pin["sha256"]:
        exact = NpmSource(npm=f"{source.name}@{pin['version']}")
        package = fetch_npm(exact, root, root / CACHE)
        if package["integrity"] != pin["integrity"]:
            raise SourceError(
                f"{source.label}: version {pin['version']} has integrity {package['integrity']}, "
                f"sources.lock has {pin['integrity']}; `cortex update` pins the current package"
            )
    return below_top(list(read_archive(path, source.label, limits)))


def _npm(source: NpmSource, root: Path, cache: Path, *arguments: str) -> Any:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError(f"{source.label}: npm is not installed; install it (for example `apt install npm`)")
    command = [npm, *arguments, *_NPM_OPTIONS, f"--cache={cache.resolve() / 'npm'}"]
    try:
        # a list of arguments, its package checked in sources.py; no shell
        process = subprocess.run(  # nosec B603
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_NPM_TIMEOUT_SECONDS
        )
        answer = json.loads(process.stdout or b"null")
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise SourceError(
            f"{source.label}: npm returned no readable output ({type(error).__name__}); check "
            "the network and `npm config get registry`"
        ) from error
    if process.returncode:
        failure = answer.get("error") if isinstance(answer, dict) else None
        message = process.stderr.decode("utf-8", "replace").strip()[-500:] or "npm failed"
        if isinstance(failure, dict):
            message = f"{failure.get('code')}: {failure.get('summary')}"
        raise SourceError(
            f"{source.label}: {message}; check the name, the version, the network and `npm config get registry`"
        )
    return answer
