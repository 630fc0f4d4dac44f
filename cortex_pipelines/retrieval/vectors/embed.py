"""Vectors of a project's units and commits, and of the levels above the units."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.retrieval.encoder_text import COMMIT, encoder_text, text_number
from cortex_pipelines.retrieval.levels import hierarchical_vectors
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.retrieval import EMBEDDINGS

Floats = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Floats]
"""Texts to vectors of length 1, each independent of the others."""

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
    vectors = _vectors(texts, encode, cache, identity)
    tables = [_text_rows("unit", units, vectors), _text_rows("commit", history, vectors), *_mean_rows(units, vectors)]
    return pl.concat(tables).with_columns(model=pl.lit(model)).select(list(EMBEDDINGS.schema))


def _vectors(texts: Mapping[int, str], encode: Encode, cache: RowCache, identity: str) -> dict[int, Floats]:
    def embed(keys: pl.Series) -> pl.DataFrame:
        numbers = [int(key) for key in keys]
        vectors = encode([texts[number] for number in numbers]) if numbers else np.zeros((0, 0))
        halves = [row.astype(np.float16).tolist() for row in vectors]
        return pl.DataFrame({"cache_key": keys, "vector": halves}, schema=_CACHED)

    keys = pl.Series([str(number) for number in sorted(texts)], dtype=pl.String)
    rows = cache.rows(identity, keys, embed)
    return dict(zip(map(int, rows["cache_key"]), rows["vector"].to_list(), strict=True))


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
