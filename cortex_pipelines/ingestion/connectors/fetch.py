"""Read tables with dlt, once, when a source is pinned; no other module loads dlt.

dlt only reads here: no pipeline runs, so nothing is written, no state is kept and no message is
sent to its makers. Its telemetry is switched off as well.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from cortex_pipelines.ingestion.connectors.declared import SHAPES, VARIABLE, DltSource, DltTable, join_names
from cortex_pipelines.ingestion.connectors.snapshot import Row, write_snapshot
from cortex_pipelines.ingestion.entries import SourceError

_MAX_MESSAGE_CHARS = 300
_LOG = logging.getLogger("cortex_pipelines")


def take_snapshot(source: DltSource, root: Path) -> dict[str, Any]:
    """Read a source and store its rows; returns its pin: the entry, the hash of the rows, and how many there are."""
    sha256, count = write_snapshot(_fetch_rows(source), root)
    return {**source.declaration, "sha256": sha256, "rows": count}


def _fetch_rows(source: DltSource) -> Iterator[tuple[str, Row]]:
    if find_spec("dlt") is None:
        raise SourceError(f"{source.label} needs the package dlt: `pip install 'cortex-pipelines[connectors]'`")
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")  # it warns of each column without a type
    variables = _Variables(source)
    open_table = _sql_opener(source, variables) if source.sql else _rest_opener(source, variables)
    for name, table in source.tables.items():
        rows = variables.call_source(name, partial(open_table, name))
        if not rows:
            _LOG.warning(
                "%s: %s has no rows now; if it should have, correct its %s in params.yaml and run "
                "`cortex update` again",
                *(source.label, name, "name" if source.sql else "endpoint"),
            )
        yield from ((name, row) for row in _extract_rows(f"{source.label}: {name}", table, rows))


class _Variables:
    """Environment variables of a source; no error message repeats their values."""

    def __init__(self, source: DltSource) -> None:
        self._source = source
        self._secrets: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise SourceError(
                f"{self._source.label}: the environment variable {name}, which params.yaml names, "
                "is not set; set it and run `cortex update` again"
            )
        self._secrets[name] = value
        return value

    def substitute(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.substitute(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.substitute(inner) for inner in value]
        return VARIABLE.sub(lambda name: self[name[1]], value) if isinstance(value, str) else value

    def call_source(self, target: str, work: Callable[[], Any]) -> Any:
        from dlt.common.exceptions import DltException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return work()
        except SourceError:
            raise
        except (*(DltException, SQLAlchemyError, ImportError), *(OSError, ValueError, TypeError, LookupError)) as error:
            cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        message = " ".join(str(cause).split()) or type(cause).__name__
        for name, value in self._secrets.items():
            message = message.replace(value, f"${{{name}}}")
            with suppress(ValueError):  # no URL
                password = urlsplit(value).password
                message = message.replace(password, f"${{{name}}}") if password else message
        message = message[:_MAX_MESSAGE_CHARS]
        # without the cause, which may quote a URL with its password
        raise SourceError(f"{self._source.label}: {target} cannot be read ({message}); the previous pin stays")


def _sql_opener(source: DltSource, variables: _Variables) -> Callable[[str], list[Any]]:
    url = variables[str(source.sql)]

    def open_table(name: str) -> list[Any]:
        from dlt.sources.sql_database import sql_table
        from sqlalchemy import create_engine, inspect

        schema, _, table = name.rpartition(".")
        engine = create_engine(url)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not file.startswith((":", "file:")) and not Path(file).is_file():
            raise SourceError(  # SQLite would make an empty one
                f"{source.label}: the file that {source.sql} names does not exist; a relative "
                "path starts in the folder in which the command runs"
            )
        try:
            inspector = inspect(engine)
            table_names = [*inspector.get_table_names(schema or None), *inspector.get_view_names(schema or None)]
            if table not in table_names:
                raise _not_found(source, "table", name, table_names)
            columns = [column["name"] for column in inspector.get_columns(table, schema or None)]
        finally:
            engine.dispose()
        included_columns = _columns_to_load(source.tables[name], columns)
        return list(sql_table(credentials=url, table=table, schema=schema or None, included_columns=included_columns))

    return open_table


def _columns_to_load(table: DltTable, available: Sequence[str]) -> list[str] | None:
    """Columns to load from a database; None for all if some are missing, for a complete error.

    Columns that are not needed may hold values that their type does not allow, such as a word for a date in SQLite.
    """
    shape = SHAPES[table.rows]
    names = {value: table.columns.get(value, value) for value in shape.values}
    column_matches = {
        value: [column for column in (name, name.partition(".")[0]) if column in available]
        for value, name in names.items()
    }
    present_values = {value for value, columns in column_matches.items() if columns}
    has_group = any(present_values.issuperset(group) for group in shape.either)
    if not present_values.issuperset([*table.columns, *shape.needed]) or not has_group:
        return None
    return sorted({column for columns in column_matches.values() for column in columns})


def _rest_opener(source: DltSource, variables: _Variables) -> Callable[[str], list[Any]]:
    from dlt.sources.rest_api import rest_api_resources

    config = variables.substitute(source.rest)
    endpoints = variables.call_source("rest", lambda: list(rest_api_resources(config)))
    resources = {str(resource.name): resource for resource in endpoints}

    def open_table(name: str) -> list[Any]:
        if name not in resources:
            raise _not_found(source, "resource", name, list(resources))
        return list(resources[name])

    return open_table


def _not_found(source: DltSource, kind: str, name: str, candidates: Sequence[str]) -> SourceError:
    names = ", ".join(sorted(candidates)[:20]) or "none"
    return SourceError(f"{source.label}: no {kind} {name}; available: {names}; correct params.yaml")


def _extract_rows(label: str, table: DltTable, rows: Sequence[Any]) -> Iterator[Row]:
    if not all(isinstance(row, Mapping) for row in rows):
        raise SourceError(f"{label} gives no rows with columns; set data_selector in its endpoint")
    shape = SHAPES[table.rows]
    columns = {value: table.columns.get(value, value) for value in shape.values}
    present_values = {value for value, name in columns.items() if any(_has(row, name) for row in rows)}
    if rows:
        has = f"it has {', '.join(sorted({str(name) for row in rows for name in row})[:40])}"
        for value, name in table.columns.items():
            if value not in present_values:
                raise SourceError(f"{label} has no column {name}; {has}; correct params.yaml")
        missing = [value for value in shape.needed if value not in present_values]
        if missing:
            raise SourceError(f"{label} has no column for {missing[0]}; {has}; name one in `columns` in params.yaml")
        if not any(present_values.issuperset(group) for group in shape.either):
            groups = ", or ".join(join_names(group) for group in shape.either)
            raise SourceError(f"{label} has no columns for {groups}; {has}; name them in `columns` in params.yaml")
    for number, row in enumerate(rows, start=1):
        row_values = {
            value: _plain(f"{label}.{columns[value]}", _look_up(row, columns[value])) for value in present_values
        }
        if row_values[shape.needed[0]] is None:
            raise SourceError(f"{label}: {columns[shape.needed[0]]} is null in row {number}")
        yield {value: cell for value, cell in row_values.items() if cell is not None}


def _has(row: Mapping[str, Any], dotted: str) -> bool:
    if dotted in row:
        return True
    first, _, nested_path = dotted.partition(".")
    inner = row.get(first)
    return bool(nested_path) and isinstance(inner, Mapping) and _has(inner, nested_path)


def _look_up(row: Mapping[str, Any], dotted: str) -> Any:
    if dotted in row or not _has(row, dotted):
        return row.get(dotted)
    first, _, nested_path = dotted.partition(".")
    return _look_up(row[first], nested_path)


def _plain(column_label: str, value: Any) -> Any:
    if isinstance(value, str):  # half a surrogate pair, which JSON may hold, is in no file
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        number = float(value)
        if not math.isfinite(number):
            return None
        return int(number) if number.is_integer() else number
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, (date, time, UUID)):
        return str(value)
    suggestion = "a view that casts it" if isinstance(value, bytes) else "a column inside of it by dots"
    raise SourceError(
        f"{column_label} holds no text or number but {type(value).__name__}; name {suggestion}, or another one"
    )
