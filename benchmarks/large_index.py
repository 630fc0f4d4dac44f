"""Search in a very large index: a folder's documents, repeated until there are enough.

CORTEX_BENCH_FOLDER names the folder (the package itself otherwise), CORTEX_BENCH_ROWS how many
documents are made of it. Vectors are random around as many centres as there are different
documents, since it is their number that costs; so nothing is said about the quality of results.
"""

import os
import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import polars as pl
from rich.console import Console
from scipy import sparse

import cortex_pipelines
from benchmarks.timing import BenchmarkError, Spent, Timing
from benchmarks.workspace import Workspace
from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.bm25f import Vocabulary
from cortex_pipelines.retrieval.collection import TermFrequencies, Vectors, build_collection, count_terms
from cortex_pipelines.retrieval.index import IndexManifest, SearchIndex, open_index, read_folder, save
from cortex_pipelines.retrieval.open_index import reading_limits
from cortex_pipelines.retrieval.search import Filters, Searcher
from cortex_pipelines.retrieval.vectors import hierarchical_vectors

FOLDER, ROWS = "CORTEX_BENCH_FOLDER", "CORTEX_BENCH_ROWS"
_USUAL_ROWS = 500_000
_WIDTH, _NOISE = 384, 0.03
_QUERIES = 100


def large_index(folder: Path, rows: int, out: Path) -> int:
    """Write an index of a folder's documents, repeated; returns the bytes of their text."""
    limits = reading_limits(load_parameters())
    files = read_folder(folder, limits)
    vocabulary = Vocabulary()
    frequencies = count_terms(files, vocabulary)
    times = -(-rows // frequencies.documents.height)
    repeated = TermFrequencies(
        pl.concat(
            frequencies.documents.with_columns(
                (pl.col("file") + copy * frequencies.files.height).cast(pl.Int32), (pl.col("text") + copy).alias("text")
            )
            for copy in range(times)
        ),
        pl.concat(
            frequencies.files.with_columns((f"copy{copy}/" + pl.col("path")).alias("path")) for copy in range(times)
        ),
        tuple(sparse.vstack([field] * times).tocsr() for field in frequencies.fields),
        frequencies.texts * times,
    )
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(frequencies.documents.height, _WIDTH)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    parts = [centres + draw.normal(0, _NOISE, centres.shape).astype(np.float32) for _ in range(times)]
    halves = np.concatenate([(part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float16) for part in parts])
    vectors = Vectors(repeated.documents["text"].to_numpy(), halves)
    collection, statistics = build_collection(repeated, None, None, vectors)
    levels = hierarchical_vectors(["."], halves[:1])
    save(SearchIndex(IndexManifest("", "random"), vocabulary, collection, statistics, levels), out)
    return times * sum(len(text.encode()) for text in frequencies.texts)


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print sizes and times of queries, by words and with vectors, all and under a filter."""
    rows = int(os.environ.get(ROWS, _USUAL_ROWS))
    folder = Path(os.environ.get(FOLDER, Path(cortex_pipelines.__file__).parent))
    with TemporaryDirectory() as scratch:
        out = Path(scratch)
        text = large_index(folder, rows, out)
        stored = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        say = Console(width=120).print
        say(f"{rows:,} documents of {folder}: {text:,} bytes of text, {stored:,} in the index")
        timings = []
        for way in ("words", "words and vectors"):
            for name, filters in (("", Filters()), (" in one copy", Filters(path="copy7/*"))):
                timings.append(_timed(f"{way}{name}", out, way != "words", filters))
        for timing in timings:
            walls = sorted(run.wall * 1000 for run in timing.runs)
            middle, last = walls[len(walls) // 2], walls[int(len(walls) * 0.99)]
            cpu = timing.median_cpu * 1000
            say(f"{timing.what}: p50 {middle:.0f} ms, p99 {last:.0f} ms, {cpu:.0f} ms of processor")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        say(f"{peak:,} MiB at most, with the making of the index")
    return timings


def _timed(title: str, folder: Path, dense: bool, filters: Filters) -> Timing:
    index = open_index(folder)
    draw = np.random.default_rng(1)
    vectors = index.collection.vectors
    if vectors is None:
        raise BenchmarkError("the index has no vectors")
    query_vectors = vectors[draw.integers(0, len(vectors), _QUERIES + 1)].astype(np.float32)
    remaining = iter(query_vectors)
    encode = (lambda texts: next(remaining)[None]) if dense else None
    searcher = Searcher(index, reading_limits(load_parameters()), encode)
    names = index.collection.documents["name"].unique(maintain_order=True).to_list()
    spent = []
    for number in range(_QUERIES + 1):
        query = f"where is {names[number * 7 % len(names)].replace('_', ' ')} read and checked"
        wall, cpu = perf_counter(), process_time()
        searcher.search(query, 10, filters)
        spent.append(Spent(perf_counter() - wall, process_time() - cpu))
    return Timing(title, tuple(spent[1:]), target=0.02)
