"""The matrix that search multiplies with, beside LanceDB and usearch: cost, recall, and leftovers.

The vectors are those of the tables in the folder that CORTEX_BENCH_VECTORS names (outputs of
``code_embeddings``), repeated with noise up to CORTEX_BENCH_ROWS; without it they are random around
centres. CORTEX_BENCH_STORES names the stores, with commas. Recall is of the ten nearest against an
exact search in single precision, also where a filter lets one row in a hundred or in a thousand
pass. Every tenth row is deleted at the end, and the files are searched for the bytes of those rows.
"""

import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import Workspace
from cortex_pipelines.retrieval.vectors import vectors_of
from cortex_pipelines.schemas.retrieval import EMBEDDINGS

ROWS, VECTORS, CHOSEN = "CORTEX_BENCH_ROWS", "CORTEX_BENCH_VECTORS", "CORTEX_BENCH_STORES"
_USUAL_ROWS = 20_000
_WIDTH, _CENTRES = 384, 500
_NOISE = 0.03
"""Standard deviation of each number; a repeated vector keeps a cosine of 0.86 to its original."""
_QUERIES, _K = 200, 10
_IN_A_LIST = 500
_NEEDED = ("lancedb", "usearch")
_FILTERS = {"all": 1, "1 %": 100, "0.1 %": 1000}

Rows = np.ndarray


@dataclass
class Figures:
    """What was measured of one store."""

    build: Spent
    bytes: int
    latency: list[float]
    cpu: float
    recall: dict[str, float]
    left: dict[str, int] = field(default_factory=dict)


class Matrix:
    """Half precision in a file, multiplied in single precision: what search does."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        self.folder = folder
        np.save(folder / "vectors.npy", rows)

    @cached_property
    def directions(self) -> Rows:
        return np.load(self.folder / "vectors.npy", mmap_mode="r").astype(np.float32)

    def search(self, query: Rows, every: int) -> Sequence[int]:
        if every > 1:
            similarities = self.directions[::every] @ query
            return _highest(similarities, _K) * every
        return _highest(self.directions @ query, _K)

    def delete(self, rows: Rows) -> None:
        np.save(self.folder / "vectors.npy", rows)

    def clean(self) -> None:
        """Nothing is left."""


class Usearch:
    """A navigable graph (HNSW) in half precision; a filter drops of ten times as many results."""

    def __init__(self, rows: Rows, folder: Path) -> None:
        from usearch.index import Index

        self.folder = folder
        self.index: Any = Index(ndim=rows.shape[1], metric="ip", dtype="f16")
        self.index.add(np.arange(len(rows)), rows, threads=1)
        self.index.save(str(folder / "index.usearch"))

    def search(self, query: Rows, every: int) -> Sequence[int]:
        matches = self.index.search(query, _K * (1 if every == 1 else 10), threads=1)
        return [int(key) for key in matches.keys if key % every == 0][:_K]

    def delete(self, rows: Rows) -> None:
        for key in range(0, len(self.index), 10):
            self.index.remove(key)
        self.index.save(str(self.folder / "index.usearch"))

    def clean(self) -> None:
        """It has no command for it; ``compact`` is not in its Python."""


class Lance:
    """LanceDB: a table of half-precision vectors, all of them compared."""

    indexed = False

    def __init__(self, rows: Rows, folder: Path) -> None:
        os.environ.setdefault("LANCE_LOG", "error")
        import lancedb
        import pyarrow as pa

        flat = pa.array(rows.reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        keys = np.arange(len(rows))
        columns = {"key": keys, "hundred": keys % 100, "thousand": keys % 1000, "vector": vectors}
        self.table: Any = lancedb.connect(folder).create_table("units", pa.table(columns))
        if self.indexed:
            lists, parts = max(1, len(rows) // _IN_A_LIST), rows.shape[1] // 4
            self.table.create_index(metric="dot", num_partitions=lists, num_sub_vectors=parts)

    def search(self, query: Rows, every: int) -> Sequence[int]:
        results = self.table.search(query).metric("dot").select(["key", "_distance"]).limit(_K)
        if self.indexed:
            results = results.nprobes(20).refine_factor(10)
        if every > 1:
            column = {100: "hundred", 1000: "thousand"}[every]
            results = results.where(f"{column} = 0", prefilter=True)
        return list(results.to_arrow()["key"].to_pylist())

    def delete(self, rows: Rows) -> None:
        self.table.delete("key % 10 = 0")

    def clean(self) -> None:
        from datetime import timedelta

        self.table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


class LanceIndexed(Lance):
    """LanceDB with lists of product-quantised vectors (IVF-PQ), refined by the exact ones."""

    indexed = True


STORES: dict[str, Callable[[Rows, Path], Any]] = {
    "matrix": Matrix,
    "usearch": Usearch,
    "lancedb": Lance,
    "lancedb-ivf": LanceIndexed,
}


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print the table, and give what each store costs."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchmarkError(
            f"{', '.join(missing)}: not installed; `pip install {' '.join(_NEEDED)}` into an "
            "environment of your own, and name its packages in PYTHONPATH"
        )
    count = int(os.environ.get(ROWS, _USUAL_ROWS))
    rows, queries = vectors(count)
    expected = {name: _exact(rows[::every], queries, every) for name, every in _FILTERS.items()}
    measured = {}
    store_names = os.environ.get(CHOSEN, ",".join(STORES)).split(",")
    for name, store in ((name, store) for name, store in STORES.items() if name in store_names):
        Console(stderr=True).print(f"measuring {name}")
        measured[name] = _measure_store(store, rows, queries, expected)
    Console(width=170).print(_table(count, measured))
    first = next(iter(measured))
    return [
        Timing(
            f"{_QUERIES} queries over {count:,} vectors, {name}",
            (Spent(sum(figures.latency), figures.cpu),),
            beside=None if name == first else f"{_QUERIES} queries over {count:,} vectors, {first}",
            peer=name != first,
            amount=_QUERIES,
            unit="queries",
        )
        for name, figures in measured.items()
    ]


def vectors(count: int) -> tuple[Rows, Rows]:
    """Half-precision vectors of length 1, and queries that are near some of them."""
    draw = np.random.default_rng(5)
    vectors_file = os.environ.get(VECTORS)
    if vectors_file:
        tables = [EMBEDDINGS.read(file.parent) for file in sorted(Path(vectors_file).rglob("*.parquet"))]
        seeds = vectors_of(pl.concat(tables).filter(level="unit")).astype(np.float32)
    else:
        seeds = draw.normal(size=(_CENTRES, _WIDTH)).astype(np.float32) / np.sqrt(_WIDTH)
    assignment = np.arange(count) % len(seeds)
    rows = np.empty((count, seeds.shape[1]), dtype=np.float16)
    for start in range(0, count, 50_000):
        part = seeds[assignment[start : start + 50_000]]
        rows[start : start + len(part)] = _unit(part + draw.normal(0, _NOISE, part.shape))
    queries = rows[draw.integers(0, count, _QUERIES)].astype(np.float32)
    return rows, _unit(queries + draw.normal(0, _NOISE, queries.shape)).astype(np.float32)


def _unit(rows: Rows) -> Rows:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _exact(rows: Rows, queries: Rows, every: int) -> list[set[int]]:
    scores = queries @ rows.astype(np.float32).T
    return [set((_highest(row, _K) * every).tolist()) for row in scores]


def _highest(scores: Rows, count: int) -> Rows:
    count = min(count, len(scores))
    best = np.argpartition(-scores, count - 1)[:count]
    return best[np.argsort(-scores[best])]


def _measure_store(
    store: Callable[[Rows, Path], Any], rows: Rows, queries: Rows, expected: dict[str, list[set[int]]]
) -> Figures:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wall, cpu = perf_counter(), process_time()
        opened = store(rows, folder)
        build = Spent(perf_counter() - wall, process_time() - cpu)
        size = _size(folder)
        opened.search(queries[0], 1)  # warm
        recall = {}
        latency: list[float] = []
        for name, every in _FILTERS.items():
            began = process_time()
            answers = []
            for query in queries:
                started = perf_counter()
                answers.append(set(opened.search(query, every)))
                if every == 1:
                    latency.append(perf_counter() - started)
            if every == 1:
                cpu = process_time() - began
            shares = [len(a & e) / len(e) for a, e in zip(answers, expected[name], strict=True)]
            recall[name] = float(np.mean(shares))
        figures = Figures(build, size, latency, cpu, recall)
        deleted = [row.tobytes() for row in rows[::10][:200]]
        opened.delete(np.delete(rows, np.s_[::10], axis=0))
        figures.left["deleted"] = _remaining_rows(folder, deleted)
        opened.clean()
        figures.left["cleaned"] = _remaining_rows(folder, deleted)
        return figures


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remaining_rows(folder: Path, deleted: Sequence[bytes]) -> int:
    """How many of some deleted vectors are still in the files."""
    contents = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return sum(any(vector in data for data in contents) for vector in deleted)


def _table(count: int, measured: dict[str, Figures]) -> Table:
    table = Table(title=f"{count:,} vectors, {_QUERIES} queries, one thread where it can be set")
    names = ("store", "made in s (cpu)", "MB", "p50 ms", "p99 ms", "cpu ms a query")
    for name in (*names, *(f"recall, {name}" for name in _FILTERS), "deleted: left", "cleaned"):
        table.add_column(name, justify="left" if name == "store" else "right")
    for name, figures in measured.items():
        p50, p99 = np.percentile(np.array(figures.latency) * 1000, [50, 99])
        table.add_row(
            name,
            f"{figures.build.cpu:.1f}",
            f"{figures.bytes / 1e6:.1f}",
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{figures.cpu / _QUERIES * 1000:.1f}",
            *(f"{figures.recall[name]:.3f}" for name in _FILTERS),
            *(f"{figures.left[name]} of 200" for name in ("deleted", "cleaned")),
        )
    return table
