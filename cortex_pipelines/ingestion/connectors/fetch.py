"""Read tables with dlt, once, when a pin is taken; nothing else of the package loads it.

dlt is used as a reader alone: without a pipeline there is no destination, no state and no message
to its makers, and its telemetry is switched off besides.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from cortex_pipelines.ingestion.connectors.declared import (
    SHAPES,
    VARIABLE,
    DltSource,
    DltTable,
    listed,
)
from cortex_pipelines.ingestion.connectors.snapshot import Row, keep_rows
from cortex_pipelines.ingestion.entries import SourceError

_MOST_WORDS = 300
_LOG = logging.getLogger("cortex_pipelines")


def take_snapshot(source: DltSource, root: Path) -> dict[str, Any]:
    """Read a source and keep its rows.

    Args:
        source: Entry of params.yaml.
        root: Project root.

    Returns:
        Its pin: the entry, the hash of the rows, and how many there are.

    Raises:
        SourceError: dlt or an environment variable is missing, the place cannot be reached, or
            there is no such table or column.
    """
    sha256, count = keep_rows(_taken(source), root)
    return {**source.place, "sha256": sha256, "rows": count}


def _taken(source: DltSource) -> Iterator[tuple[str, Row]]:
    """Every row of a source, with the name of its table."""
    if find_spec("dlt") is None:
        raise SourceError(
            f"{source.label} needs the package dlt: `pip install 'cortex-pipelines[connectors]'`"
        )
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "ERROR")  # it warns of each column without a type
    variables = _Variables(source)
    open_table = _sql(source, variables) if source.sql else _rest(source, variables)
    for name, table in source.tables.items():
        rows = variables.guarded(name, partial(_all, open_table, name))
        if not rows:
            _LOG.warning(
                "%s: %s has no rows now; if it should have, correct its %s in params.yaml and run "
                "`cortex update` again",
                *(source.label, name, "name" if source.sql else "endpoint"),
            )
        yield from ((name, row) for row in _mapped(f"{source.label}: {name}", table, rows))


def _all(open_table: Callable[[str], Any], name: str) -> list[Any]:
    return list(open_table(name))


class _Variables:
    """Environment variables of a source, which no message repeats.

    Args:
        source: The source.
    """

    def __init__(self, source: DltSource) -> None:
        self._source = source
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise SourceError(
                f"{self._source.label}: the environment variable {name}, which params.yaml names, "
                "is not set; set it and run `cortex update` again"
            )
        self._known[name] = value
        return value

    def filled(self, value: Any) -> Any:
        """A value with the variables that its texts name."""
        if isinstance(value, dict):
            return {key: self.filled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        return VARIABLE.sub(lambda name: self[name[1]], value) if isinstance(value, str) else value

    def guarded(self, what: str, work: Callable[[], Any]) -> Any:
        """Do what asks the other side, with its errors as a sentence."""
        from dlt.common.exceptions import DltException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return work()
        except SourceError:
            raise
        except (
            *(DltException, SQLAlchemyError, ImportError),
            *(OSError, ValueError, TypeError, LookupError),
        ) as error:
            said = self._said(error)
        # without the cause, which may quote a URL with its password
        raise SourceError(
            f"{self._source.label}: {what} cannot be read ({said}); what was pinned before stays"
        )

    def _said(self, error: BaseException) -> str:
        while error.__cause__ is not None:
            error = error.__cause__
        text = " ".join(str(error).split()) or type(error).__name__
        for name, value in self._known.items():
            for private in (value, _password(value)):
                text = text.replace(private, f"${{{name}}}") if private else text
        return text[:_MOST_WORDS]


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None


def _sql(source: DltSource, variables: _Variables) -> Callable[[str], Any]:
    url = variables[str(source.sql)]

    def open_table(name: str) -> Any:
        from dlt.sources.sql_database import sql_table
        from sqlalchemy import create_engine, inspect

        schema, _, table = name.rpartition(".")
        engine = create_engine(url)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not file.startswith((":", "file:")) and not Path(file).is_file():
            raise SourceError(  # SQLite would make an empty one
                f"{source.label}: there is no such file as {source.sql} names; a relative path "
                "starts in the folder in which the command runs"
            )
        try:
            seen = inspect(engine)
            there = [*seen.get_table_names(schema or None), *seen.get_view_names(schema or None)]
            if table not in there:
                raise SourceError(_nowhere(source, "table", name, there))
            columns = [column["name"] for column in seen.get_columns(table, schema or None)]
        finally:
            engine.dispose()
        wanted = _wanted(source.tables[name], columns)
        return sql_table(
            credentials=url, table=table, schema=schema or None, included_columns=wanted
        )

    return open_table


def _wanted(table: DltTable, there: Sequence[str]) -> list[str] | None:
    """Columns to ask a database for; None for all, of which is told where too few are there.

    Another column may hold what its type does not allow, such as a word for a date in SQLite.
    """
    shape = SHAPES[table.rows]
    names = {value: table.columns.get(value, value) for value in shape.values}
    found = {
        value: [column for column in (name, name.partition(".")[0]) if column in there]
        for value, name in names.items()
    }
    given = {value for value, columns in found.items() if columns}
    enough = any(given.issuperset(group) for group in shape.either)
    if not given.issuperset([*table.columns, *shape.needed]) or not enough:
        return None
    return sorted({column for columns in found.values() for column in columns})


def _rest(source: DltSource, variables: _Variables) -> Callable[[str], Any]:
    from dlt.sources.rest_api import rest_api_resources

    config = variables.filled(source.rest)
    found = variables.guarded("rest", lambda: list(rest_api_resources(config)))
    resources = {str(resource.name): resource for resource in found}

    def open_table(name: str) -> Any:
        if name not in resources:
            raise SourceError(_nowhere(source, "resource", name, list(resources)))
        return resources[name]

    return open_table


def _nowhere(source: DltSource, what: str, name: str, there: Sequence[str]) -> str:
    known = ", ".join(sorted(there)[:20]) or "none"
    return f"{source.label}: there is no {what} {name}; there is: {known}; correct params.yaml"


def _mapped(label: str, table: DltTable, rows: Sequence[Any]) -> Iterator[Row]:
    """The values of rows, by the columns that the table has."""
    if not all(isinstance(row, Mapping) for row in rows):
        raise SourceError(f"{label} gives no rows with columns; set data_selector in its endpoint")
    shape = SHAPES[table.rows]
    columns = {value: table.columns.get(value, value) for value in shape.values}
    there = {value for value, name in columns.items() if any(_has(row, name) for row in rows)}
    if rows:
        _complain(label, table, there, sorted({str(name) for row in rows for name in row}))
    for number, row in enumerate(rows, start=1):
        found = {
            value: _plain(f"{label}.{columns[value]}", _at(row, columns[value])) for value in there
        }
        if found[shape.needed[0]] is None:
            raise SourceError(f"{label}: {columns[shape.needed[0]]} is null in row {number}")
        yield {value: given for value, given in found.items() if given is not None}


def _complain(label: str, table: DltTable, there: set[str], known: Sequence[str]) -> None:
    """Raise for a column that params.yaml names, or the rows need, and that is not there."""
    shape = SHAPES[table.rows]
    has = f"it has {', '.join(known[:40])}"
    for value, name in table.columns.items():
        if value not in there:
            raise SourceError(f"{label} has no column {name}; {has}; correct params.yaml")
    missing = [value for value in shape.needed if value not in there]
    if missing:
        raise SourceError(
            f"{label} has no column for {missing[0]}; {has}; name one in `columns` in params.yaml"
        )
    if not any(there.issuperset(group) for group in shape.either):
        ways = ", or ".join(listed(group) for group in shape.either)
        raise SourceError(
            f"{label} has no columns for {ways}; {has}; name them in `columns` in params.yaml"
        )


def _has(row: Mapping[str, Any], dotted: str) -> bool:
    if dotted in row:
        return True
    first, _, rest = dotted.partition(".")
    inner = row.get(first)
    return bool(rest) and isinstance(inner, Mapping) and _has(inner, rest)


def _at(row: Mapping[str, Any], dotted: str) -> Any:
    if dotted in row or not _has(row, dotted):
        return row.get(dotted)
    first, _, rest = dotted.partition(".")
    return _at(row[first], rest)


def _plain(place: str, value: Any) -> Any:
    """A value as JSON has it, the same whatever a driver or an interface calls it."""
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
    way = "a view that casts it" if isinstance(value, bytes) else "a column inside of it by dots"
    raise SourceError(
        f"{place} holds no text or number but {type(value).__name__}; name {way}, or another one"
    )
