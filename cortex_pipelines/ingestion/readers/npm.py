"""npm packages as sources: resolved, pinned by hash, read as untrusted archives.

The registry, its proxy and its credentials are npm's own configuration. npm only looks up and
downloads here: of a package from a registry it runs nothing, and nothing is installed.
"""

import base64
import hashlib
import json
import shutil
import subprocess  # nosec B404
import tempfile
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import atomic_file
from cortex_pipelines.ingestion.cache import CACHE, file_sha256
from cortex_pipelines.ingestion.entries import Entries, SourceError, SourceLimits
from cortex_pipelines.ingestion.project_sources import NpmSource
from cortex_pipelines.ingestion.readers.archives import read_archive
from cortex_pipelines.ingestion.readers.pypi import below_top

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
