"""Schema of MLflow's local database: upgraded when MLflow is, with a copy of what was there."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cortex_pipelines.atomic import write_whole
from cortex_pipelines.versioning.root import ProjectError

_CHECKED = ".schema"
"""File beside the database: the MLflow version and the schema that fits it."""


def upgrade(path: Path) -> list[str]:
    """Bring a database of an older schema up to date.

    Returns:
        What was done, in sentences; empty if the schema fits. To know that, MLflow is imported only after it was
        updated or the schema changed.

    Raises:
        ProjectError: a newer MLflow wrote it.
    """
    revision = read_revision(path)
    if revision is None or is_checked(path, revision):
        return []
    latest = _latest_revision()
    messages = [] if revision == latest else [_upgraded(path, revision)]
    write_whole(path.with_name(_CHECKED), _mark(latest))
    return messages


def read_revision(path: Path) -> str | None:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as records:
            row = records.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def is_checked(path: Path, revision: str) -> bool:
    mark = path.with_name(_CHECKED)
    return mark.exists() and mark.read_text(encoding="utf-8") == _mark(revision)


def mismatch(path: Path) -> str | None:
    """Why a schema does not fit, in words, as far as that is known without importing MLflow."""
    revision = read_revision(path)
    if revision is None or not path.with_name(_CHECKED).exists() or is_checked(path, revision):
        return None
    return f"{revision} was not checked with MLflow {version('mlflow')}"


@contextlib.contextmanager
def schema_errors() -> Iterator[None]:
    """Raise a ProjectError with the remedy where MLflow refuses the schema of a shared database."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if "database schema" not in str(error):
            raise
        raise ProjectError(
            f"the database that MLFLOW_TRACKING_URI names has a schema of another MLflow than "
            f"{version('mlflow')}: have it backed up, then run "
            '`mlflow db upgrade "$MLFLOW_TRACKING_URI"` and the same command again'
        ) from error


def _mark(revision: str) -> str:
    return f"{version('mlflow')} {revision}"


def _upgraded(path: Path, revision: str) -> str:
    import sqlalchemy
    from mlflow.store.db import utils

    migrations: Any = utils
    uri = f"sqlite:///{path.resolve()}"
    if not _is_known(revision):
        raise ProjectError(
            f"{path} has the schema {revision}, which MLflow {version('mlflow')} does not know: "
            "install the MLflow that wrote it, or move the file away and run `cortex sync`, which "
            "enters the versions of the workspace into a new one"
        )
    copy = path.with_name(f"mlflow-{revision}.db")
    with contextlib.closing(sqlite3.connect(path)) as records, contextlib.closing(sqlite3.connect(copy)) as target:
        records.backup(target)
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.NullPool)
    migrations._upgrade_db(engine)
    return f"{path.name} had an older schema and was upgraded; {copy.name} beside it is a copy"


def _latest_revision() -> str:
    return str(_scripts().get_current_head())


def _is_known(revision: str) -> bool:
    from alembic.util import CommandError

    try:
        return _scripts().get_revision(revision) is not None
    except CommandError:
        return False


def _scripts() -> Any:
    from alembic.script import ScriptDirectory
    from mlflow.store.db import utils

    migrations: Any = utils
    return ScriptDirectory.from_config(migrations._get_alembic_config(""))
