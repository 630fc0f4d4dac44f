"""Declarations in ``params.yaml`` of the tables that dlt reads.

Only the columns named here are read from a table: other columns do not leave memory.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from cortex_pipelines.settings import Settings, Text, UnquotedError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a declaration names an environment variable."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_KEY = re.compile(
    r"(?:token|passw(?:or)?d|secret|api[_-]?key|private[_-]?key|authorization|cookie|credentials?)$", re.IGNORECASE
)

Kind = Literal["issues", "reviews", "outcomes"]


@dataclass(frozen=True)
class RowShape:
    """Values needed in every table, groups of which one must be complete, and those read if present."""

    needed: tuple[str, ...]
    either: tuple[tuple[str, ...], ...] = ((),)
    optional: tuple[str, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        return (*self.needed, *(name for group in self.either for name in group), *self.optional)


SHAPES: dict[Kind, RowShape] = {
    "issues": RowShape(("id", "title"), optional=("text",)),
    # as GitHub's interface calls them, or with the code before and after in columns of their own
    "reviews": RowShape(
        ("path", "body"),
        (("diff_hunk",), ("before", "after")),
        ("line", "start_line", "original_line", "original_start_line", "side", "in_reply_to_id"),
    ),
    "outcomes": RowShape(
        ("task_id", "master"),
        (("success",), ("outcome",)),
        (
            *("title", "timestamp", "duration_seconds", "confidence", "priority", "ideal_expert"),
            *("tokens", "quality", "complexity", "model", "tier"),
        ),
    ),
}


class DltTable(Settings):
    """One table of a database, or one resource of a REST interface."""

    rows: Kind
    """What its rows are: issues, reviews or outcomes."""

    columns: dict[str, Text] = Field(default_factory=dict)
    """Column of each value; dots lead into nested ones. Others are in a column of their name."""

    @model_validator(mode="after")
    def _check_columns(self) -> "DltTable":
        allowed_values = SHAPES[self.rows].values
        unknown = sorted(set(self.columns) - set(allowed_values))
        if unknown:
            raise ValueError(f"{self.rows} have no {', '.join(unknown)}; they have {join_names(allowed_values)}")
        return self


class DltSource(Settings):
    """Tables of a database, or resources of a REST interface, read by dlt."""

    dlt: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")]
    """Name of the source, as tables and messages call it."""

    sql: str | None = None
    """Environment variable that holds the database's URL, as SQLAlchemy writes it."""

    rest: dict[str, Any] | None = None
    """Configuration of dlt's REST source; ``${NAME}`` in it is an environment variable."""

    tables: dict[Text, DltTable] = Field(min_length=1)
    """What is read: tables as ``NAME`` or ``SCHEMA.NAME``, or resources of ``rest``."""

    @field_validator("sql")
    @classmethod
    def _variable(cls, sql: str | None) -> str | None:
        if sql is not None and not _NAME.fullmatch(sql):
            raise UnquotedError(
                "this is not the name of an environment variable; put the database's URL into one, and its name here"
            )
        return sql

    @field_validator("rest")
    @classmethod
    def _without_secrets(cls, config: dict[str, Any] | None) -> dict[str, Any] | None:
        config = _plain(config)
        literal_secrets = [
            key
            for key, text in _texts("", config)
            if not VARIABLE.search(text) and (_SECRET_KEY.search(key) or re.search(r"://[^/@\s]*:[^/@\s]*@", text))
        ]
        if literal_secrets:
            raise UnquotedError(
                f"{literal_secrets[0]} is written out; write ${{NAME}} there and set the "
                "environment variable NAME when you run `cortex update`"
            )
        return config

    @model_validator(mode="after")
    def _check_transport(self) -> "DltSource":
        if (self.sql is None) == (self.rest is None):
            raise ValueError("a dlt source takes exactly one of the keys sql and rest")
        return self

    @property
    def label(self) -> str:
        return f"dlt:{self.dlt}"

    @property
    def declaration(self) -> dict[str, str]:
        serialized = json.dumps(self.model_dump(), sort_keys=True)
        return {"dlt": self.dlt, "declared": hashlib.sha256(serialized.encode()).hexdigest()[:16]}

    def require_kinds(self, *kinds: Kind) -> None:
        for name, table in self.tables.items():
            if table.rows not in kinds:
                section = "coordination.sources" if table.rows == "outcomes" else "projects"
                raise ValueError(
                    f"{self.label}: {table.rows} (table {name}) belong under {section}; "
                    f"allowed here: {join_names(kinds)}"
                )


def join_names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(key, inner)
    elif isinstance(value, str):
        yield key, value
