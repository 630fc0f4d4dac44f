"""Architecture facts as read from one file, before they are resolved within their project."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import polars as pl
from tree_sitter import Node

from cortex_pipelines.damage import encodable
from cortex_pipelines.extraction.architecture.syntax import first_line, last_line, lines_of
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS

# Intermediate kinds, passed from readers to resolvers; not facts of the output.
IMPORT, MOUNT, NAME, CONFIG = "import", "mount", "name", "config"
SKIPPED_FILE = "unread"
"""Kind of the fact that marks a skipped file; ``object`` holds the reason."""

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})
"""Methods of HTTP (RFC 9110) that routes name."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One architecture fact and the lines (from 1, inclusive) that show it.

    A description was written by people, in a comment, summary, docstring or manifest. ``detail`` is
    JSON for resolving the fact across files.
    """

    start_line: int
    end_line: int
    fact: str
    subject: str
    relation: str
    object: str
    technology: str | None = None
    description: str | None = None
    description_source: str | None = None
    detail: str = ""


FACT_COLUMNS = pl.Schema(
    {column.name: ARCHITECTURE_FACTS.schema.get(column.name, pl.String) for column in fields(Fact)}
)
"""Columns of a frame of facts, as the fields of ``Fact``."""


def detail(**values: Any) -> str:
    """Encode the details that a resolver needs as canonical JSON."""
    return encodable(json.dumps(values, sort_keys=True, ensure_ascii=False))


def row_of(fact: Fact) -> dict[str, Any]:
    """The fields of a fact by name, with all text encodable as UTF-8; no source of no description."""
    values = ((name, getattr(fact, name)) for name in FACT_COLUMNS)
    fields = {name: encodable(value) if isinstance(value, str) else value for name, value in values}
    return fields if fact.description else {**fields, "description": None, "description_source": None}


def route(
    node: Node,
    method: str,
    path: str,
    handler: str,
    technology: str | None,
    *,
    router: str = "",
    start_line: int | None = None,
    end_line: int | None = None,
    description: str | None = None,
    description_source: str = "comment",
) -> Fact:
    """A route: method (in capitals, or ``ANY``), path as written, and the function or class that answers.

    Where its router is mounted is resolved later.
    """
    lines = (start_line or first_line(node), end_line or last_line(node))
    name = f"{method} {normalise_path(path)}"
    details = detail(method=method, path=path, router=router)
    return Fact(*lines, "route", name, "handled-by", handler, technology, description, description_source, details)


def mount(
    node: Node, router: str, prefix: str, target: str, *, replaces: bool = False, technology: str | None = None
) -> Fact:
    """A mount: ``target``'s routes answer below ``prefix`` of ``router`` (empty: the target's own prefix).

    ``target`` is a router of this file, or what an import names; after ``module`` the module that
    holds it, after ``returned`` or ``parameter`` a function that makes it or fills the one it is
    given. With ``replaces``, the prefix replaces the target's own (Flask).
    """
    details = detail(router=router, replaces=replaces)
    return Fact(*lines_of(node), MOUNT, prefix, "mounts", target, technology, detail=details)


def normalise_path(path: str) -> str:
    """Normalise a path: one leading slash, no doubled slashes."""
    plain = "/" + path.strip()
    while "//" in plain:
        plain = plain.replace("//", "/")
    return plain


class ColumnDefinition(NamedTuple):
    """A column; ``references`` is the table or model that it refers to."""

    name: str
    type: str
    lines: tuple[int, int]
    references: str = ""


def table_facts(
    name: str,
    kind: str,
    technology: str,
    lines: tuple[int, int],
    columns: Iterable[ColumnDefinition],
    comment: str | None = None,
    model: str = "",
) -> Iterator[Fact]:
    """A table, view, model or enum; ``model`` is the class, whose name may not be the table's."""
    yield Fact(*lines, "schema", name, kind, model or name, technology, comment, "comment")
    for column in columns:
        declaration = f"{column.name} {' '.join(column.type.split())}".strip()
        yield Fact(*column.lines, "schema", name, "column", declaration, technology)
        if column.references:
            yield Fact(*column.lines, "schema", name, "references", column.references, technology)
