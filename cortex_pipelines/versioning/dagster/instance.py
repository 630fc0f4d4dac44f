"""The project's Dagster instance, created once even by concurrent processes."""

import atexit
import os
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.dvc.yaml_files import peek_yaml
from cortex_pipelines.versioning.project import Project

if TYPE_CHECKING:
    from dagster import DagsterInstance

TRAINING = "training"  # pool of assets that train a model
_SETTINGS = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    granularity: op
    default_limit: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 1800
  free_slots_after_run_end_seconds: 60
"""
_STORAGE = ("storage", "run_storage", "event_log_storage")
_NO_CAPTURE = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}
"""For runs of this process, whose output is the terminal's: to capture it, Dagster starts four processes for a step."""
_MOST_ENGINES = 16  # of databases that were used last: the index, and one for each run
_FILE = "inode"
_engines: dict[str, Any] = {}
_READY, _LOCK = ".initialised", ".initialise.lock"
DATABASES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")
"""Dagster's databases below its home; each run has a file of its own."""


def renew_databases(root: Path) -> list[str]:
    """Set damaged Dagster databases aside, and note deleted ones; returns this in sentences."""
    home = root / ".dagster"
    if not (home / _READY).exists():
        return []
    with FileLock(home / _LOCK):
        sentences = [damaged_files.renew(root, home / name, home / _READY) for name in DATABASES]
        if deleted := [name for name in deleted_databases(root) if not any(sentences)]:
            (home / _READY).unlink(missing_ok=True)
            sentences.append(f".dagster/{', '.join(deleted)} deleted")
    words = "Dagster creates a new one; run `cortex sync` to report existing versions"
    return [f"{sentence}: {words}" for sentence in sentences if sentence]


def deleted_databases(root: Path) -> list[str]:
    home = root / ".dagster"
    if not (home / _READY).exists() or not has_own_databases(root):
        return []
    return [name for name in DATABASES if not (home / name).exists()]


def has_own_databases(root: Path) -> bool:
    settings = peek_yaml(root / ".dagster" / "dagster.yaml")
    return settings.keys().isdisjoint(_STORAGE)


@cache
def _quicken_databases() -> None:
    """Let this process keep a connection to each of Dagster's databases, and not wait for the disk when it writes.

    For each event of a run Dagster would open a database, write and close it, which took a quarter of the time of
    short stages. What a power failure damages is renewed, and `cortex sync` reports again what dvc.lock has.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage
    from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import DisconnectionError
    from sqlalchemy.pool import QueuePool

    def own_engine(address: str) -> Any:
        engine = create_engine(
            address, poolclass=QueuePool, pool_size=1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS}
        )
        engine.dispose = lambda close=True: None  # type: ignore[method-assign]  # Dagster does after each event
        path = Path(str(engine.url.database))

        @event.listens_for(engine, "connect")
        def connected(connection: sqlite3.Connection, record: Any) -> None:
            connection.execute("PRAGMA synchronous = OFF")
            record.info[_FILE] = path.stat().st_ino

        @event.listens_for(engine, "checkout")
        def is_used(_: sqlite3.Connection, record: Any, __: Any) -> None:
            if not path.exists() or path.stat().st_ino != record.info[_FILE]:
                raise DisconnectionError(f"{path} was deleted or replaced")

        return engine

    def engine_of(address: str, **options: Any) -> Any:
        if f"{os.sep}.dagster{os.sep}" not in address:
            return create_engine(address, **options)
        engine = _engines[address] = _engines.pop(address, None) or own_engine(address)  # the last one used is last
        while len(_engines) > _MOST_ENGINES:
            _close(_engines.pop(next(iter(_engines))))
        return engine

    for module in (sqlite_event_log, sqlite_run_storage):
        module.create_engine = engine_of  # type: ignore[attr-defined]


@atexit.register
def close_databases() -> None:
    """Close Dagster's databases, whose journals go with that; the next question opens them again."""
    for engine in list(_engines.values()):
        _close(engine)


def _close(engine: Any) -> None:
    type(engine).dispose(engine)


def open_instance(root: Path) -> "DagsterInstance":
    """The Dagster instance in ``.dagster``; sets ``DAGSTER_HOME`` so that the UI's is the same.

    First use is serialised, also after ``dagster.yaml`` named another storage: two processes that create a database at
    once leave it broken for good, with two heads of the schema's history.
    """
    import dagster as dg
    from dagster._core.instance.ref import InstanceRef

    home = root / ".dagster" if os.access(root, os.W_OK) else _copy(root / ".dagster")
    home.mkdir(exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        write_whole(settings, _SETTINGS)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    _quicken_databases()
    ready = home / _READY
    current = ready.exists() and ready.stat().st_mtime_ns >= settings.stat().st_mtime_ns
    overrides = _NO_CAPTURE if _NO_CAPTURE.keys().isdisjoint(peek_yaml(settings)) else {}
    reference = InstanceRef.from_dir(str(home), overrides=overrides)
    if current and not deleted_databases(root):
        return dg.DagsterInstance.from_ref(reference)
    with FileLock(home / _LOCK):
        instance = dg.DagsterInstance.from_ref(reference)
        # Asking each store once creates its database and brings its schema up to date.
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()
        ready.touch()
    return instance


def _copy(home: Path) -> Path:
    """A temporary copy of the instance of a project that is read-only, since SQLite writes where it reads."""
    copy = Path(tempfile.mkdtemp(), home.name)
    atexit.register(shutil.rmtree, copy.parent, ignore_errors=True)
    for name in ("dagster.yaml", _READY, *DATABASES, *(f"{name}-wal" for name in DATABASES)):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (home / name).exists():
            shutil.copy2(home / name, copy / name)
    return copy


NAME = "projects"  # of Dagster's partitions


def follow_projects(instance: "DagsterInstance", project: Project) -> int:
    """Make Dagster's partitions those of ``params.yaml``; returns how many came or went."""
    registered = set(instance.get_dynamic_partitions(NAME))
    new = [name for name in project.partitions if name not in registered]
    removed = sorted(registered.difference(project.partitions))
    if new:
        instance.add_dynamic_partitions(NAME, new)
    for name in removed:
        instance.delete_dynamic_partition(NAME, name)
    return len(new) + len(removed)
