"""Databases of Dagster and MLflow without what both do again for each connection and each new file.

Dagster makes an engine for each connection, and with it compiles each statement anew; both read all their migrations to
learn the newest one, and MLflow migrates each new file from its first schema on.
"""

import sqlite3
from functools import lru_cache
from typing import Any

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

_read_migrations, _migrate = ScriptDirectory.from_config, command.upgrade
_MIGRATIONS: dict[str, ScriptDirectory] = {}
_MIGRATED: dict[str, sqlite3.Connection] = {}
"""Folder of migrations to an empty database of the newest schema."""


def quicken() -> None:
    for module in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        module.create_engine = lambda url, **options: _engine(url, "connect_args" in options)
    ScriptDirectory.from_config = _known_migrations
    command.upgrade = _upgrade


@lru_cache(maxsize=64)
def _engine(url: str, patient: bool) -> sqlalchemy.Engine:
    waits = {"timeout": sqlite_event_log.SQLITE_BUSY_TIMEOUT_SECONDS} if patient else {}
    return sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, connect_args=waits)


def _known_migrations(config: Config) -> ScriptDirectory:
    folder = str(config.get_main_option("script_location"))
    if folder not in _MIGRATIONS:
        _MIGRATIONS[folder] = _read_migrations(config)
    return _MIGRATIONS[folder]


def _upgrade(config: Config, revision: str, **options: Any) -> None:
    """To the newest schema; a file that no migration has met yet becomes a copy of one that all have."""
    connection, folder = config.attributes.get("connection"), str(config.get_main_option("script_location"))
    fresh = connection is not None and connection.dialect.name == "sqlite" and revision == "heads"
    if not fresh or sqlalchemy.inspect(connection).has_table("alembic_version"):
        _migrate(config, revision, **options)
        return
    file = connection.connection.driver_connection
    if folder not in _MIGRATED:
        _migrate(config, revision, **options)
        _MIGRATED[folder] = sqlite3.connect(":memory:", check_same_thread=False)
        file.commit()
        file.backup(_MIGRATED[folder])
    else:
        _MIGRATED[folder].backup(file)
