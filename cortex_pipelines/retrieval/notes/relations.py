"""Relations of what a question names: by the code graph, and by the agents' logs.

They are read where they were made, so that they are never older than their asset, and what is
forgotten there is forgotten here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.ingestion.files.languages import language_of
from cortex_pipelines.retrieval.queries import parse_query

_MOST = 20


@dataclass(frozen=True, order=True)
class Relation:
    """What one thing is to another (``calls``, ``worked on``, ...), and the asset that says so."""

    source: str
    kind: str
    target: str
    origin: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def extract_names(query: str) -> list[str]:
    parsed = parse_query(query)
    words = query.split()
    return sorted({*parsed.names, *parsed.paths, *(words if len(words) == 1 else ())})


def code_relations(names: Sequence[str], folder: Path) -> list[Relation]:
    """Edges of the code graph at what has one of these names, all of it or its last part."""
    file = folder / "edges.parquet"
    if not names or not file.is_file():
        return []
    edges = (
        pl.scan_parquet(file)
        .filter(_is_named("from", names) | _is_named("to", names))
        .select(_endpoint("from"), "relation", _endpoint("to"))
        .unique()
        .sort("from", "relation", "to")
        .head(_MOST)
        .collect()
    )
    return [Relation(start, kind, end, "code_graph") for start, kind, end in edges.iter_rows()]


def logged_relations(names: Sequence[str], tables: Path) -> list[Relation]:
    """Workers who were sent tasks that name one of these, and how often."""
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
    return relations[:_MOST]


def _is_named(end: str, names: Sequence[str]) -> pl.Expr:
    """Whether an end of an edge has one of these names, all of it or its last part."""
    called = [name for name in names if language_of(name, "") is None]  # not those of files
    simple = [name.replace("::", ".").rpartition(".")[2] for name in called if "/" not in name]
    path, name = pl.col(f"{end}_path"), pl.col(f"{end}_name")
    in_path = [path.str.ends_with(f"/{name_end}") for name_end in names]
    return pl.any_horizontal(
        name.is_in([*names, *simple]), name.str.extract(r"\W(\w+)$").is_in(simple),
        (name == "") & pl.any_horizontal(path.is_in(names), *in_path),
    ).fill_null(value=False)  # fmt: skip


def _endpoint(end: str) -> pl.Expr:
    path, name = pl.col(f"{end}_path"), pl.col(f"{end}_name")
    return pl.when(name == "").then(path).otherwise(pl.format("{}:{}", path, name)).alias(end)
