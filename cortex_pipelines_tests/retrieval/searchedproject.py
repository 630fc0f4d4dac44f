"""A project of one file, of which everything is made that a search reads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.catalog import open_project
from cortex_pipelines.config import load_parameters
from cortex_pipelines.retrieval.tables import build_search_tables
from cortex_pipelines.retrieval.vectors import Encode, Floats, embeddings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.ingestion import REPOSITORY_COMMITS, REPOSITORY_FILES
from cortex_pipelines.schemas.retrieval import EMBEDDINGS, SEARCHED_DOCUMENTS, SEARCHED_FILES
from cortex_pipelines.schemas.table import Table

WHEN = datetime(2026, 3, 1, tzinfo=UTC)


def write(root: Path, name: str, text: str, path: str = "queue.py") -> None:
    project = open_project(root)
    row = dict.fromkeys(REPOSITORY_FILES.schema)
    row |= {"source": "git:x", "path": path, "language": "python", "revision": f"rev-{name}"}
    row |= {"generated": False, "trainable": True, "notebook": False}
    row |= {"blob": "b", "size_bytes": len(text), "text": text, "licence": "MIT"}
    files = REPOSITORY_FILES.frame([row])
    commit = {"source": "git:x", "commit": "c0ffee", "parents": [], "author": None}
    commit |= {"committed_at": WHEN, "subject": "Send letters", "body": "", "paths": [path]}
    commits = REPOSITORY_COMMITS.frame([commit])
    unit: dict[str, object] = {"source": "git:x", "path": path, "qualified_name": "send_message"}
    unit |= {"start_line": 1, "category": "messaging", "cyclomatic": 3, "technologies": ["github.com/nats-io/nats.go"]}
    units = pl.DataFrame([unit | {"intent": "send message", "intent_kind": "write"}])
    tables = build_search_tables(files, units, commits, load_parameters(root).extraction)
    save(project.output("repository_files", name), (REPOSITORY_FILES, files))
    save(project.output("repository_commits", name), (REPOSITORY_COMMITS, commits))
    both = (SEARCHED_FILES, SEARCHED_DOCUMENTS)
    save(project.output("search_documents", name), *((table_name, tables[table_name.name]) for table_name in both))


def save(out: Path, *tables: tuple[Table, pl.DataFrame]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for table, frame in tables:
        table.conform(frame).write_parquet(out / f"{table.name}.parquet")


def encode(texts: Sequence[str]) -> Floats:
    """A vector by what a text is about: letters, or anything else."""
    topics = [["letter" in text or "post" in text, "queue" in text, True] for text in texts]
    rows = np.array(topics, dtype=np.float32).reshape(-1, 3)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed(root: Path, name: str, cache: RowCache, encoder: Encode = encode) -> pl.DataFrame:
    project = open_project(root)
    rows = embeddings(
        SEARCHED_DOCUMENTS.read(project.output("search_documents", name)),
        REPOSITORY_COMMITS.read(project.output("repository_commits", name)),
        encoder,
        "model",
        cache,
        name,
    )
    save(project.output("code_embeddings", name), (EMBEDDINGS, rows))
    return rows
