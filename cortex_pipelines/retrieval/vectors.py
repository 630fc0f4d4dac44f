"""Vectors of a project's units and commits, and of the levels above the units.

What an encoder reads of a document stands here, apart from parsing, of which a vector does not depend.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.retrieval import EMBEDDINGS
from cortex_pipelines.schemas.vocabulary import DEFINITIONS

Halves = npt.NDArray[np.float16]

NODES = pl.Schema({"level": pl.String, "path": pl.String, "texts": pl.Int64})
"""A file, folder or repository (whose path is empty), and how many vectors its own is made of."""


@dataclass(frozen=True)
class HierarchicalVectors:
    nodes: pl.DataFrame
    vectors: Halves


def hierarchical_vectors(paths: Sequence[str], rows: Halves) -> HierarchicalVectors:
    """Vectors of files, folders and repositories: the means of the documents in them.

    A unit counts once in each folder above it. The means are of half-precision vectors, as they are
    stored, so that anyone can compute them again from the table. A document without a vector has zeros.
    """
    numbers: dict[tuple[str, str], int] = {}
    node_numbers, documents = [], []
    for document in np.flatnonzero(rows.any(axis=1)).tolist():
        path = paths[document]
        folders = [("folder", folder.as_posix()) for folder in PurePosixPath(path).parents if folder.name]
        for node in (("file", path), *folders, ("repository", "")):
            node_numbers.append(numbers.setdefault(node, len(numbers)))
            documents.append(document)
    sums = np.zeros((len(numbers), rows.shape[1]), dtype=np.float64)
    np.add.at(sums, node_numbers, rows[documents].astype(np.float64))
    counts = np.bincount(np.array(node_numbers, dtype=np.int64), minlength=len(numbers))
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    table = pl.DataFrame(
        {
            "level": [level for level, _ in numbers],
            "path": [path for _, path in numbers],
            "texts": counts.astype(np.int64),
        },
        schema=NODES,
    )
    return HierarchicalVectors(table, (sums / lengths).astype(np.float16))


def vectors_of(rows: pl.DataFrame) -> Halves:
    """The vectors of rows of ``EMBEDDINGS``, shape (rows, width)."""
    if rows.is_empty():
        return np.zeros((0, 0), dtype=np.float16)
    flat = rows["vector"].explode().to_numpy()
    return flat.astype(np.float16).reshape(rows.height, -1)


COMMIT = "commit"  # kind of a document that is a commit: its subject, its message, the paths that it changed
ISSUE = "issue"  # kind of a document that is an issue: its title and its text

_CHARACTERS = 1500  # of a text, that are embedded: more than the encoder's tokens


def encoder_text(kind: str, name: str, documentation: str, body: str) -> str:
    """Documentation and code of a unit, which the encoder was trained to bring together.

    For a commit, the message; for anything but a unit, the text alone.
    """
    if kind == COMMIT:
        return f"{name}\n{documentation}"[:_CHARACTERS]
    if kind in DEFINITIONS:
        return f"{name.replace('.', ' ')}\n{documentation[:500]}\n{body[:_CHARACTERS]}"
    return body[:_CHARACTERS]


def text_number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big")


Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]  # texts to vectors of length 1, each independent of the others

_Row = tuple[Any, ...]
_ROW = {
    name: EMBEDDINGS.schema[name] for name in ("source", "path", "name", "number", "start_line", "end_line", "text")
}
_SPAN = tuple(_ROW)[:-1]
_ENCODED = ("kind", "name", "documentation", "body")
_COMMIT = ("source", "commit", "subject", "body")
_COLUMNS = [name for name in EMBEDDINGS.schema if name != "model"]
_VECTOR = EMBEDDINGS.schema["vector"]
_CACHED: dict[str, pl.DataType | type[pl.DataType]] = {"cache_key": pl.String, "vector": _VECTOR}


def model_digest(pin: Mapping[str, Any], max_tokens: int) -> str:
    """What of an encoder decides what its vectors mean: its files and how much it reads.

    Its precision is left out: vectors of either are compared with each other.
    """
    text = json.dumps([dict(pin), max_tokens], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def embeddings(
    documents: pl.DataFrame, commits: pl.DataFrame, encode: Encode, model: str, cache: RowCache, identity: str
) -> pl.DataFrame:
    """Rows of ``EMBEDDINGS``; the identity names project, encoder and how it is run."""
    texts: dict[int, str] = {}
    units: list[_Row] = []
    for row in documents.filter(pl.col("embedded").is_not_null()).iter_rows(named=True):
        units.append((*(row[name] for name in _SPAN), row["embedded"]))
        texts[row["embedded"]] = encoder_text(*(row[name] for name in _ENCODED))
    history: list[_Row] = []
    for source, commit, subject, body in commits.select(_COMMIT).iter_rows():
        text = encoder_text(COMMIT, subject, body, "")
        history.append((source, "", commit, 0, None, None, text_number(text)))
        texts[text_number(text)] = text

    def embed(keys: pl.Series) -> pl.DataFrame:
        vectors = encode([texts[int(key)] for key in keys]) if len(keys) else np.zeros((0, 0))
        halves = [row.astype(np.float16).tolist() for row in vectors]
        return pl.DataFrame({"cache_key": keys, "vector": halves}, schema=_CACHED)

    keys = pl.Series([str(number) for number in sorted(texts)], dtype=pl.String)
    rows = cache.rows(identity, keys, embed)
    vectors = dict(zip(map(int, rows["cache_key"]), rows["vector"].to_list(), strict=True))
    tables = [_text_rows("unit", units, vectors), _text_rows("commit", history, vectors), *_mean_rows(units, vectors)]
    return pl.concat(tables).with_columns(model=pl.lit(model)).select(list(EMBEDDINGS.schema))


def _text_rows(level: str, rows: Sequence[_Row], vectors: Mapping[int, Any]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema=_ROW, orient="row")
    return table.with_columns(
        level=pl.lit(level),
        texts=pl.lit(1, pl.Int64),
        vector=pl.Series([vectors[number] for number in table["text"]], dtype=_VECTOR),
    ).select(_COLUMNS)


def _mean_rows(rows: Sequence[_Row], vectors: Mapping[int, Any]) -> Iterator[pl.DataFrame]:
    for source in sorted({row[0] for row in rows}):
        inside = [row for row in rows if row[0] == source]
        means = hierarchical_vectors(
            [row[1] for row in inside], np.array([vectors[row[-1]] for row in inside], dtype=np.float16)
        )
        yield means.nodes.with_columns(
            source=pl.lit(source),
            name=pl.lit(""),
            number=pl.lit(0, pl.Int64),
            start_line=pl.lit(None, pl.Int64),
            end_line=pl.lit(None, pl.Int64),
            text=pl.lit(None, pl.UInt64),
            vector=pl.Series(means.vectors.tolist(), dtype=_VECTOR),
        ).select(_COLUMNS)
