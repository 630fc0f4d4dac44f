"""Location of MLflow's runs, artifacts and registry: the project, or its variables.

``MLFLOW_TRACKING_URI``, ``MLFLOW_REGISTRY_URI`` and ``MLFLOW_DEFAULT_ARTIFACT_ROOT`` mean what they mean to MLflow
itself. Without them it is a database in the project, created once however many processes come first.
"""

import contextlib
import logging
import os
import sqlite3
import uuid
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.tracking import schema
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import STAGE
from cortex_pipelines.versioning.root import ProjectError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOG = logging.getLogger("cortex_pipelines")

UI = "http://127.0.0.1:5000"
"""Address of ``make ui``'s MLflow."""


_SERVED = ("postgresql", "mysql", "mssql")
DATABASES = ("sqlite:", *_SERVED)
"""Beginnings of tracking URIs that name a database instead of a server."""

_WAIT_SECONDS = 30.0
"""For a database that something else writes to."""

_READY, _LOCK, _LOST = ".initialised", ".initialise.lock", ".lost"
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns of MLflow's database that name a place of artifacts."""


def database(root: Path) -> Path:
    return root / ".mlflow" / "mlflow.db"


def renew_database(root: Path) -> list[str]:
    """Prepare MLflow's database after damage, a deletion or an update of MLflow.

    A damaged one is set aside, a deleted one is noted, and one of an older schema is upgraded.

    Returns:
        What was done, in sentences.

    Raises:
        ProjectError: a newer MLflow wrote the database.
    """
    home = root / ".mlflow"
    if not (home / _READY).exists():
        return []
    with FileLock(home / _LOCK):
        deleted = is_deleted(root)
        if not deleted and damaged_files.database_damage(database(root)) is None:
            return schema.upgrade(database(root))
        (home / _LOST).touch()  # before the database goes: a kill in between must not hide it
        if deleted:
            (home / _READY).unlink(missing_ok=True)
            event: str | None = f"{database(root).relative_to(root)} was deleted"
        else:
            event = damaged_files.renew(root, database(root), home / _READY)
    words = "MLflow creates a new one; run `cortex sync` to re-enter existing versions"
    return [f"{event}: {words}"] if event else []


def is_deleted(root: Path) -> bool:
    return (root / ".mlflow" / _READY).exists() and not database(root).exists()


def lost(root: Path) -> bool:
    return (root / ".mlflow" / _LOST).exists() or _lacks_records(root)


def _lacks_records(root: Path) -> bool:
    """Whether outputs are committed and no local database was ever made: deleted, or a clone."""
    is_local_unused = tracking_uri(root) == database_uri(root) and not (root / ".mlflow" / _READY).exists()
    return is_local_unused and any(name != STAGE for name in locked_stages(root))


def entered_again(root: Path) -> None:
    (root / ".mlflow" / _LOST).unlink(missing_ok=True)


def database_uri(root: Path) -> str:
    return f"sqlite:///{database(root).resolve()}"


def tracking_uri(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or database_uri(root)


def registry_uri(root: Path) -> str:
    return os.environ.get("MLFLOW_REGISTRY_URI") or tracking_uri(root)


def open_client(root: Path) -> "MlflowClient":
    """MLflow's client for the project.

    First use of a database is serialised: of three processes that create one at once, two fail.

    Raises:
        ProjectError: the server of the database cannot be used.
    """
    if uses_own_database(root) and not _is_ready(root):
        _drop_clients()
        for sentence in renew_database(root):
            _LOG.warning(sentence)
    return connect(root, tracking_uri(root), registry_uri(root))


def uses_own_database(root: Path) -> bool:
    return tracking_uri(root) == database_uri(root)


def _is_ready(root: Path) -> bool:
    return (root / ".mlflow" / _READY).exists() and database(root).exists()


def _drop_clients() -> None:
    """Drop the clients of this process, which would not create the tables of a deleted database."""
    connect.cache_clear()
    from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
    from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

    for stores in (TrackingStoreRegistry, ModelRegistryStoreRegistry):
        stores._get_store_with_resolved_uri.cache_clear()


@lru_cache(maxsize=8)
def connect(root: Path, tracking: str, registry: str) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if tracking.startswith("sqlite:"):
        # a connection that stays open would keep using the file of a deleted database
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    from mlflow import MlflowClient

    # it logs what it raises as well, with a traceback
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    home = root / ".mlflow"
    home.mkdir(exist_ok=True)
    ready = home / _READY
    if tracking != database_uri(root):
        writable = os.access(home, os.W_OK)
        with FileLock(home / _LOCK) if writable else contextlib.nullcontext():
            return _connect_elsewhere(tracking, registry)
    if ready.exists():
        if database(root).exists():
            _follow_folder(root)
        return MlflowClient(tracking_uri=tracking, registry_uri=registry)
    with FileLock(home / _LOCK):
        if not ready.exists() and database(root).exists():
            # a process was killed while it made the database, and MLflow cannot continue with that
            damaged_files.set_aside_all(root, database(root))
        if _lacks_records(root):
            (home / _LOST).touch()  # for the next sync, which enters them
        # creates the database already
        client = MlflowClient(tracking_uri=tracking, registry_uri=registry)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        schema.upgrade(database(root))  # it is new: only noted, so that no command has to look
        write_whole(ready, artifact_root(root))
    return client


def _connect_elsewhere(tracking: str, registry: str) -> "MlflowClient":
    from mlflow import MlflowClient

    for uri in {tracking, registry}:
        if uri.startswith(_SERVED):
            _reach(uri)
    with schema.schema_errors():
        client = MlflowClient(tracking_uri=tracking, registry_uri=registry)
        if tracking.startswith(DATABASES):
            client.search_experiments(max_results=1)
        if registry.startswith(DATABASES):
            client.search_registered_models(max_results=1)
    return client


def _reach(uri: str) -> None:
    """Connect to the server of a database once; MLflow itself would try for minutes."""
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri)
        engine.connect().close()
        engine.dispose()
    except ModuleNotFoundError as error:
        raise ProjectError(
            f"MLflow's database needs the package {error.name}: install the extra `servers`, and "
            "let MLFLOW_TRACKING_URI begin with postgresql+psycopg2://"
        ) from error
    except sqlalchemy.exc.OperationalError as error:
        raise ProjectError(
            f"MLflow's database cannot be used: {' '.join(str(error.orig).split())}; start its "
            "server or correct MLFLOW_TRACKING_URI, and run the same command again; what was "
            "finished is kept"
        ) from error


def ui(root: Path) -> str:
    uri = tracking_uri(root)
    return uri.rstrip("/") if uri.startswith(("http://", "https://")) else UI


def workspace_id(root: Path) -> str:
    """Random id of this checkout, which tells its runs from others' on one server."""
    path = root / ".mlflow" / "workspace"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        with FileLock(root / ".mlflow" / ".workspace.lock"):
            if not path.exists():
                write_whole(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def _follow_folder(root: Path) -> None:
    """Let the records of a project that was moved, copied or restored name its own artifacts.

    MLflow keeps absolute addresses: the records of a copy would name the original's artifacts, and what is deleted in
    the copy would be deleted there. Those of other projects that keep their records in this database stay. Nothing is
    written to a project that is read-only.

    Raises:
        ProjectError: the database cannot be written to now.
    """
    ready, current = root / ".mlflow" / _READY, artifact_root(root)
    if ready.read_text() == current or not os.access(database(root), os.W_OK):
        return
    with FileLock(root / ".mlflow" / _LOCK):
        former = ready.read_text()
        if former:  # written from the first version on that follows its folder
            _rename_artifacts(root, former, current)
        write_whole(ready, current)


def _rename_artifacts(root: Path, former: str, current: str) -> None:
    replacement = "{1} = ? || substr({1}, ?) WHERE substr({1}, 1, ?) = ?"
    changes = [("UPDATE {0} SET " + replacement).format(*column) for column in _LOCATIONS]  # nosec B608
    try:
        with contextlib.closing(sqlite3.connect(database(root), _WAIT_SECONDS)) as records, records:
            for change in changes:
                records.execute(change, (current, len(former) + 1, len(former), former))
    except sqlite3.OperationalError as error:
        raise ProjectError(
            f"this project came from another folder, and {database(root).relative_to(root)} cannot "
            f"be made to name its files here ({error}): try again when nothing else uses it"
        ) from error
    except sqlite3.DatabaseError:
        return  # damaged: whoever reads it next says so


def artifact_root(root: Path) -> str:
    return f"{(root / '.mlflow' / 'artifacts').resolve().as_uri()}/"
