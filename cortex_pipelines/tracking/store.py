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
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning import damaged_files
from cortex_pipelines.versioning.lock_file import locked_stages
from cortex_pipelines.versioning.parameters import STAGE
from cortex_pipelines.versioning.root import ProjectError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CHECKED = ".schema"  # file beside the database: the MLflow version and the schema that fits it


def upgrade_schema(path: Path) -> list[str]:
    """Bring a local database of an older schema up to date, with a copy beside it of what was there. Returns what was
    done, in sentences; empty if the schema fits. To know that, MLflow is imported only after it was updated or the
    schema changed. Raises ProjectError: a newer MLflow wrote it.
    """
    revision = read_revision(path)
    if revision is None or schema_problem(path, revision) is None:
        return []
    import sqlalchemy
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    migrations: Any = utils
    scripts = ScriptDirectory.from_config(migrations._get_alembic_config(""))
    latest, messages = str(scripts.get_current_head()), []
    if revision != latest:
        try:
            scripts.get_revision(revision)
        except CommandError as error:
            raise ProjectError(
                f"{path} has the schema {revision}, which MLflow {version('mlflow')} does not know: "
                "install the MLflow that wrote it, or move the file away and run `cortex sync`, which "
                "enters the versions of the workspace into a new one"
            ) from error
        copy = path.with_name(f"mlflow-{revision}.db")
        with contextlib.closing(sqlite3.connect(path)) as records, contextlib.closing(sqlite3.connect(copy)) as target:
            records.backup(target)
        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.ERROR)
        migrations._upgrade_db(sqlalchemy.create_engine(f"sqlite:///{path.resolve()}", poolclass=sqlalchemy.NullPool))
        messages = [f"{path.name} had an older schema and was upgraded; {copy.name} beside it is a copy"]
    write_whole(path.with_name(_CHECKED), f"{version('mlflow')} {latest}")
    return messages


def read_revision(path: Path) -> str | None:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as records:
            row = records.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def schema_problem(path: Path, revision: str) -> str | None:
    """Why a schema may be incompatible, as a sentence; found without importing MLflow."""
    mark = path.with_name(_CHECKED)
    checked = mark.exists() and mark.read_text(encoding="utf-8") == f"{version('mlflow')} {revision}"
    return None if checked else f"{revision} was not checked with MLflow {version('mlflow')}"


def mismatch(path: Path) -> str | None:
    """The problem of a database's schema that was checked once, or None."""
    revision = read_revision(path)
    return schema_problem(path, revision) if revision and path.with_name(_CHECKED).exists() else None


_LOG = logging.getLogger("cortex_pipelines")
UI = "http://127.0.0.1:5000"
"""Address of ``make ui``'s MLflow."""

_SERVED = ("postgresql", "mysql", "mssql")
DATABASES = ("sqlite:", *_SERVED)  # beginnings of tracking URIs that name a database instead of a server
_WAIT_SECONDS = 30.0  # for a database that something else writes to
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

    A damaged one is set aside, a deleted one is noted, and one of an older schema is upgraded. Returns what was done,
    in sentences. Raises ProjectError: a newer MLflow wrote the database.
    """
    home = root / ".mlflow"
    if not (home / _READY).exists():
        return []
    with FileLock(home / _LOCK):
        deleted = is_deleted(root)
        if not deleted and damaged_files.database_damage(database(root)) is None:
            return upgrade_schema(database(root))
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

    First use of a database is serialised: of three processes that create one at once, two fail. Raises ProjectError:
    the server of the database cannot be used.
    """
    if uses_own_database(root) and not ((root / ".mlflow" / _READY).exists() and database(root).exists()):
        # the clients of this process would not create the tables of a deleted database
        connect.cache_clear()
        from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
        from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

        for stores in (TrackingStoreRegistry, ModelRegistryStoreRegistry):
            stores._get_store_with_resolved_uri.cache_clear()
        for sentence in renew_database(root):
            _LOG.warning(sentence)
    return connect(root, tracking_uri(root), registry_uri(root))


def uses_own_database(root: Path) -> bool:
    return tracking_uri(root) == database_uri(root)


@lru_cache(maxsize=8)
def connect(root: Path, tracking: str, registry: str) -> "MlflowClient":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if tracking.startswith("sqlite:"):
        # a connection that stays open would keep using the file of a deleted database
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.utils import _get_store

    # it logs what it raises as well, with a traceback
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    home = root / ".mlflow"
    home.mkdir(exist_ok=True)
    ready = home / _READY
    if tracking != database_uri(root):
        writable = os.access(home, os.W_OK)
        with FileLock(home / _LOCK) if writable else contextlib.nullcontext():
            return _connect_server(tracking, registry)
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
        # the first experiment's place; without one MLflow would write the current folder into SQL, unescaped
        _get_store(tracking, artifact_root(root))  # type: ignore[no-untyped-call]
        client = MlflowClient(tracking_uri=tracking, registry_uri=registry)
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        upgrade_schema(database(root))  # it is new: only noted, so that no command has to look
        write_whole(ready, artifact_root(root))
    return client


def _connect_server(tracking: str, registry: str) -> "MlflowClient":
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for uri in {tracking, registry}:
        if uri.startswith(_SERVED):
            _require_server(uri)
        elif uri.startswith("http"):
            _require_answer(uri)
    try:
        client = MlflowClient(tracking_uri=tracking, registry_uri=registry)
        if tracking.startswith(DATABASES):
            client.search_experiments(max_results=1)
        if registry.startswith(DATABASES):
            client.search_registered_models(max_results=1)
    except MlflowException as error:
        if "database schema" not in str(error):
            raise
        raise ProjectError(
            f"the database that MLFLOW_TRACKING_URI names has a schema of another MLflow than "
            f"{version('mlflow')}: have it backed up, then run "
            '`mlflow db upgrade "$MLFLOW_TRACKING_URI"` and the same command again'
        ) from error
    return client


def _require_server(uri: str) -> None:
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
            f"MLflow's database cannot be used: {' '.join(str(error.orig).split())}; start its server or correct "
            "MLFLOW_TRACKING_URI, and run the same command again; what was finished is kept"
        ) from error


def _require_answer(uri: str) -> None:
    """Ask a tracking server once; MLflow itself would try for five minutes."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        server = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        http_request(server, "/health", "GET", max_retries=0, timeout=30, raise_on_status=False)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        first: BaseException = error
        while inner := first.__cause__ or first.__context__:
            first = inner
        raise ProjectError(
            f"MLflow's server {uri} does not answer ({' '.join(str(first).split())}): start it or "
            "correct MLFLOW_TRACKING_URI, and run the same command again; what was finished is kept"
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
    written to a project that is read-only. Raises ProjectError: the database cannot be written to now.
    """
    ready, current = root / ".mlflow" / _READY, artifact_root(root)
    if ready.read_text() in ("", current) or not os.access(database(root), os.W_OK):
        return
    replacement = "{1} = ? || substr({1}, ?) WHERE substr({1}, 1, ?) = ?"
    changes = [("UPDATE {0} SET " + replacement).format(*column) for column in _LOCATIONS]  # nosec B608
    with FileLock(root / ".mlflow" / _LOCK):
        former = ready.read_text()
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
            pass  # damaged: the next reader reports it
        write_whole(ready, current)


def artifact_root(root: Path) -> str:
    return f"{(root / '.mlflow' / 'artifacts').resolve().as_uri()}/"
