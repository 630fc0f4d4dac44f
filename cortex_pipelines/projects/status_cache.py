"""Cache of the last ``cortex status``, valid until a file it depends on changes.

Loading Dagster, DVC and the package takes seconds, while the answer rarely changes. It depends on files: code,
parameters, pins, outputs, locks, DVC's cache, and the databases of Dagster and MLflow. A file counts as unchanged if
its inode, size, mtime and ctime are the same, as in DVC's own state; no program sets back the ctime. If Dagster or
MLflow use a server, nothing is cached.
"""

import json
import os
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.tracking.store import database_uri, tracking_uri
from cortex_pipelines.versioning.dagster.instance import has_own_databases

FILE = Path(".cortex", "status.json")

_PACKAGE = Path(__file__).parents[1]
_TREES = ("cortex_pipelines", "data")
_FILES = (
    *("params.yaml", "sources.lock", "releases.lock", "dvc.yaml", "dvc.lock", ".dvcignore"),
    *(".dvc/config", ".dvc/config.local", ".dagster/dagster.yaml"),
    *(".dagster/history/runs/index.db", ".dagster/history/runs/index.db-wal"),
    *(".mlflow/mlflow.db", ".mlflow/mlflow.db-wal"),
)
_IGNORED_NAMES = frozenset({"__pycache__"})
_SETTLED_SECONDS = 0.1
"""Files modified less than this before they are checked may change again within one clock tick."""


@dataclass(frozen=True)
class DependencyState:
    """State of everything that a status depends on, at one moment."""

    digest: str
    settled: bool
    caches: tuple[str, ...]


def collect_state(root: Path, caches: Iterable[str] = ()) -> DependencyState:
    caches = tuple(sorted(caches))
    started, newest, digest = time.time(), 0.0, sha256()
    installed = sysconfig.get_path("purelib")
    variables = (os.environ.get(name, "") for name in ("DVC_SITE_CACHE_DIR", "MLFLOW_TRACKING_URI"))
    for value in (sys.version, str(root), *variables):
        digest.update(value.encode() + b"\0")
    singles = [root / name for name in _FILES]
    singles += [Path(installed), Path.home() / ".config" / "dvc" / "config"]
    trees = [_PACKAGE, *(root / name for name in _TREES), *map(Path, caches)]
    stamps = [(str(path), _stamp(path.stat())) for path in singles if path.exists()]
    folders = (_folder_stamps(str(tree)) for tree in trees if tree.is_dir())
    for path, stamp in chain(stamps, *folders):
        digest.update(f"{path}\0{stamp}\0".encode())
        newest = max(newest, stamp[3] / 1e9)
    return DependencyState(digest.hexdigest(), newest < started - _SETTLED_SECONDS, caches)


def _folder_stamps(folder: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name in _IGNORED_NAMES:
            continue
        if entry.is_dir():
            yield entry.path, (0, 0, 0, 0)
            yield from _folder_stamps(entry.path)
        else:
            # both the link and its target count; a link into an emptied cache is dangling
            yield entry.path, _stamp(entry.stat(follow_symlinks=False))
            if entry.is_symlink() and Path(entry.path).exists():
                yield entry.path, _stamp(entry.stat())


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_cached_status(root: Path) -> list[dict[str, Any]] | None:
    """The cached status if nothing it depends on has changed, else None."""
    try:
        cached = json.loads((root / FILE).read_text(encoding="utf-8"))
        current = collect_state(root, cached["caches"])
        return list(cached["rows"]) if cached["digest"] == current.digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # nothing is cached, or a file disappeared meanwhile


def cache_status(root: Path, before: DependencyState, rows: list[dict[str, Any]]) -> None:
    stored_locally = tracking_uri(root) == database_uri(root) and has_own_databases(root)
    if not before.settled or not stored_locally or not os.access(root, os.W_OK):
        return
    (root / FILE).parent.mkdir(exist_ok=True)
    content = {"digest": before.digest, "caches": before.caches, "rows": rows}
    write_whole(root / FILE, json.dumps(content))
