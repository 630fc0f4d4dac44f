"""Architecture facts as read from one file, before they are resolved within their project."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tree_sitter import Node

from cortex_pipelines.damage import encodable
from cortex_pipelines.extraction.architecture.syntax import lines_of

# Intermediate kinds, passed from readers to resolvers; not facts of the output.
IMPORT, MOUNT, NAME, CONFIG = "import", "mount", "name", "config"

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"})
"""Methods of HTTP (RFC 9110) that routes name."""


class Fact(NamedTuple):
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


def detail(**values: Any) -> str:
    """Encode the details that a resolver needs as canonical JSON."""
    return encodable(json.dumps(values, sort_keys=True, ensure_ascii=False))


GUESSED = detail(guessed=True)
"""Detail of a package that no manifest declares."""


def parsed_detail(text: str) -> Mapping[str, Any]:
    values: Mapping[str, Any] = json.loads(text) if text else {}
    return values


def route(
    lines: tuple[int, int],
    method: str,
    path: str,
    handler: str,
    technology: str | None,
    *,
    router: str = "",
    summary: str | None = None,
    comment: str | None = None,
) -> Fact:
    """A route: method (in capitals, or ``ANY``), path as written, and the function or class that answers.

    Where its router is mounted is resolved later, and with that its subject.
    """
    details = detail(method=method, path=path, router=router)
    source = "summary" if summary else "comment"
    return Fact(*lines, "route", "", "handled-by", handler, technology, summary or comment, source, details)


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
