"""An architecture fact as read from one file, before it is resolved within its project."""

import json
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from cortex_pipelines.damage import encodable
from cortex_pipelines.schemas.extraction import ARCHITECTURE_FACTS

# Intermediate kinds, passed from readers to resolvers; not facts of the output.
IMPORT, MOUNT, NAME, CONFIG = "import", "mount", "name", "config"
SKIPPED_FILE = "unread"
"""Kind of the fact that marks a skipped file; ``object`` holds the reason."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One architecture fact and the lines of the file that show it.

    Args:
        start_line: First line of the evidence, from 1.
        end_line: Last line, inclusive.
        fact: Kind of fact.
        subject: Subject of the relation.
        relation: How subject and object belong together.
        object: Object of the relation.
        technology: Format or framework that it is declared in.
        description: Description written by people.
        description_source: Source of the description: comment, summary, docstring, readme.
        detail: Data for resolving it across files, as JSON; empty without any.
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


def row(fact: Fact) -> dict[str, Any]:
    """The fields of a fact by name, with all text encodable as UTF-8."""
    values = ((name, getattr(fact, name)) for name in FACT_COLUMNS)
    return {name: encodable(value) if isinstance(value, str) else value for name, value in values}
