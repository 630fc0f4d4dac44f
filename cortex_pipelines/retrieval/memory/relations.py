"""Relations of what a question names: by the code graph, and by the agents' logs.

They are read where they were made, so that they are never older than their asset, and what is
forgotten there is forgotten here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.retrieval.queries import understand

MOST = 20
_EDGES = ("source", "target", "kind")


@dataclass(frozen=True, order=True)
class Relation:
    """What one thing is to another.

    Args:
        source: The one.
        kind: What it is to the other: ``calls``, ``imports``, ``worked on``, ...
        target: The other.
        origin: Asset that says so.
    """

    source: str
    kind: str
    target: str
    origin: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def names_of(query: str) -> list[str]:
    """Identifiers and paths that a question names.

    Raises:
        QueryError: the question is empty, enormous, or no text.
    """
    asked = understand(query)
    words = query.split()
    return sorted({*asked.names, *asked.paths, *(words if len(words) == 1 else ())})


def code_relations(names: Sequence[str], folder: Path, most: int = MOST) -> list[Relation]:
    """Edges of the code graph at what has one of these names.

    Args:
        names: A name is that of a node if it is all of it, or its last part.
        folder: Output of ``code_graph``; nothing is known of a project without one.
        most: At most how many.
    """
    found: set[Relation] = set()
    for file in sorted(folder.glob("*.parquet")) if names else ():
        table = pl.scan_parquet(file)
        if set(_EDGES) <= set(table.collect_schema().names()):
            meant = _is_named("source", names) | _is_named("target", names)
            edges = table.filter(meant).select("source", "kind", "target").unique()
            rows = edges.sort("source", "kind", "target").head(most).collect()
            found |= {Relation(s, kind, t, "code_graph") for s, kind, t in rows.iter_rows()}
    return sorted(found)[:most]


def logged_relations(names: Sequence[str], tables: Path, most: int = MOST) -> list[Relation]:
    """Workers who were sent tasks that name one of these, and how often.

    Args:
        names: Identifiers and paths.
        tables: Output of ``coordination_tables``; nothing is known without one.
        most: At most how many.
    """
    file = tables / "features.parquet"
    if not names or not file.is_file():
        return []
    tasks = pl.scan_parquet(file).filter(~pl.col("test_row"))
    relations = []
    for name in names:
        rows = (
            tasks.filter(pl.col("text").str.contains(name, literal=True))
            .group_by("master")
            .agg(pl.len().alias("tasks"))
            .sort("master")
            .collect()
        )
        for master, count in rows.iter_rows():
            kind = "was sent a task about" if count == 1 else f"was sent {count} tasks about"
            relations.append(Relation(master, kind, name, "coordination_tables"))
    return relations[:most]


def _is_named(column: str, names: Sequence[str]) -> pl.Expr:
    text = pl.col(column)
    last = text.str.extract(r"(\w+)\W*$")
    simple = [name.replace("::", ".").rpartition(".")[2] for name in names if "/" not in name]
    inside = [text.str.ends_with(name) | text.str.starts_with(name) for name in names]
    return last.is_in(simple) | pl.any_horizontal(inside)
