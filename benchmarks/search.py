"""Quality and speed of search, compared with what a user would pick instead.

Quality is measured on the sets of ``search_sets``: docstrings of installed packages, and commits of
the repositories in the folder that CORTEX_BENCH_REPOSITORIES names (git folders, bare or not). The
weights were chosen on ``TRAINING`` and the packages of ``_TRAINED``; only others are reported.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.corpus import write_packages
from benchmarks.search_sets import Set, commit_sets, docstring_set
from benchmarks.timing import Timing, timed
from benchmarks.workspace import Workspace
from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.bm25f import Bm25fWeights, build_postings, term_statistics
from cortex_pipelines.retrieval.index import IndexManifest, SearchIndex, build_index
from cortex_pipelines.retrieval.open_index import (
    SENTENCE,
    WITHOUT,
    index_folder,
    open_encoder,
    open_searcher,
    reading_limits,
)
from cortex_pipelines.retrieval.queries import EXACT, parse_query, terms
from cortex_pipelines.retrieval.ranking import FOR_FILES, FOR_UNITS, SignalWeights
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.statistics.intervals import paired_bootstrap
from cortex_pipelines.words import split_words

TRAINING = frozenset({"click", "celery", "gin", "ripgrep"})
"""Repositories on which the weights were tuned."""

_TRAINED = ("networkx", "babel", "fontTools", "jedi", "rich", "cryptography")
_REPORTED = ("sqlalchemy", "pandas", "mlflow", "websockets", "pip", "lxml")
_FROM_PACKAGE = 110
REPOSITORIES = "CORTEX_BENCH_REPOSITORIES"
_MEGABYTES = 3.6
_ASKED = (
    "read a configuration file",
    "parse command line arguments",
    "connect to a server and retry",
    "convert a date to a string",
    "escape special characters in html",
)

Ranked = list[list[str]]
System = Callable[["_Prepared"], Ranked]


@dataclass(frozen=True)
class _Prepared:
    """A set with its index and the vectors of its queries."""

    set: Set
    index: SearchIndex
    vectors: Mapping[str, np.ndarray]

    def names(self) -> list[str]:
        """Name of each document in the answers."""
        collection = self.index.collection
        paths = collection.files["path"]
        rows = collection.documents.select("file", "name").iter_rows()
        return [paths[file] if self.set.by_file else f"{paths[file]}:{name}" for file, name in rows]


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print the quality table, and return the cost of indexing and of a query."""
    quality(work.root.parent / "sets")
    return list(_speed(work.root.parent / "speed", repeats))


def quality(folder: Path) -> None:
    """Print the quality of each search method on the reported sets."""
    params = load_parameters()
    encoder = open_encoder(params)
    prepared: list[_Prepared] = []
    for prepared_set in _sets(folder):
        # two sets of one repository share their texts
        before = prepared[-1].index if prepared else None
        index = build_index(prepared_set.files, IndexManifest("", encoder.name), encoder.encode, before)
        texts = sorted({query.text[:2000] for query in prepared_set.queries})
        vectors = dict(zip(texts, encoder.encode(texts), strict=True))
        prepared.append(_Prepared(prepared_set, index, vectors))
    Console(width=150).print(_table(prepared))


def _sets(folder: Path) -> Iterator[Set]:
    limits = reading_limits(load_parameters())
    yield docstring_set("docstrings", _REPORTED, _FROM_PACKAGE, folder, limits)
    for name, git in git_folders():
        if name not in TRAINING:
            yield from commit_sets(git, name, folder, limits)


def git_folders() -> Iterator[tuple[str, Path]]:
    """Name and git's folder of each repository that the variable's folder holds."""
    index = os.environ.get(REPOSITORIES)
    for repository in sorted(Path(index).iterdir()) if index else ():
        git = next((p for p in (repository / "repo", repository / ".git", repository)
                    if (p / "objects").is_dir()), None)  # fmt: skip
        if git is not None:
            yield repository.name.rpartition("+")[2].removesuffix(".git"), git


def _ours(
    units: Mapping[str, object] | None = None, files: Mapping[str, object] | None = None, *, dense: bool = True
) -> System:
    """This search with some options changed."""
    for_units: SignalWeights = replace(FOR_UNITS, **(units or {}))  # type: ignore[arg-type]
    for_files: SignalWeights = replace(FOR_FILES, **(files if files is not None else units or {}))  # type: ignore[arg-type]

    def answer(prepared: _Prepared) -> Ranked:
        def encode(texts: Sequence[str]) -> np.ndarray:
            return np.stack([prepared.vectors[text] for text in texts])

        limits = reading_limits(load_parameters())
        searcher = Searcher(prepared.index, limits, encode if dense else None, units=for_units, files=for_files)
        names, answers = prepared.names(), []
        for search_query in prepared.set.queries:
            query = parse_query(search_query.text)
            parts = searcher.score_collections(query)
            rank = searcher.rank_files if prepared.set.by_file else searcher.rank_units
            answers.append([names[index] for _, index, _ in rank(parts, query, 10)])
        return answers

    return answer


def _by_words(split: Callable[[str], list[str]], *, counting: bool = False) -> System:
    """BM25 (k1 1.2, b 0.75) over whole texts; or how often the query's words occur."""

    def answer(prepared: _Prepared) -> Ranked:
        texts: dict[str, list[str]] = {}
        for file in prepared.set.files:
            for document in file.documents:
                name = f"{file.path}:{document.name}"
                name = file.path if prepared.set.by_file else name
                texts.setdefault(name, []).append(document.texts[-1])
        names = list(texts)
        counts = [Counter(split("\n".join([name, *texts[name]]))) for name in names]
        numbers = {term: index for index, term in enumerate(sorted(set().union(*counts)))}
        entries = [(row, numbers[t], n) for row, count in enumerate(counts) for t, n in count.items()]
        rows, columns, values = zip(*entries, strict=True)
        shape = (len(names), len(numbers))
        matrix = sparse.csr_matrix((np.array(values, np.float32), (rows, columns)), shape=shape)
        scores = build_postings([matrix], term_statistics([matrix]), Bm25fWeights((1.0,), (0.75,), 1.2))
        answers = []
        for search_query in prepared.set.queries:
            query = Counter(split(search_query.text))
            term_counts = {numbers[term]: count for term, count in query.items() if term in numbers}
            total = np.asarray(matrix[:, list(term_counts)].sum(axis=1)).ravel() if counting else (
                scores.scores(term_counts)
            )  # fmt: skip
            answers.append([names[index] for index in np.argsort(-total, kind="stable")[:10]])
        return answers

    return answer


def _plain(text: str) -> list[str]:
    return [word.lower() for word in split_words(text)]


def _stemmed(text: str) -> list[str]:
    return [term for term in terms(text) if not term.startswith(EXACT)]


_BASELINE, _WHOLE = "BM25, stems, camel case split", "this search"
_SYSTEMS: dict[str, System] = {
    "count of the query's words (as with ripgrep)": _by_words(
        lambda text: [word for word in _plain(text) if len(word) > 2], counting=True
    ),
    "BM25": _by_words(_plain),
    _BASELINE: _by_words(_stemmed),
    _WHOLE: _ours(),
    "without the encoder": _ours(dense=False),
    "without BM25F of the file": _ours({"file": 0.0}),
    "without names that files define": _ours({}, {"names": 0.0}),
    "with names that functions define": _ours({"names": 0.2}),
    "without paths": _ours({"paths": 0.0}),
    "without weights of tests and prose": _ours({"tests": 1.0, "prose": 1.0}),
}


def _table(prepared: Sequence[_Prepared]) -> Table:
    table = Table(title=f"search: {', '.join(prepared_set.set.name for prepared_set in prepared)}")
    kinds = {"docstrings": "docstring", "functions": "commit to function", "files": "commit to file"}
    scores = {name: _scores(prepared, system) for name, system in _SYSTEMS.items()}
    table.add_column("")
    for kind, words_ in kinds.items():
        count = len(scores[_WHOLE].get(kind, ()))
        figure = "Acc@1 / 5 / 10" if kind == "files" else "NDCG@10"
        table.add_column(f"{words_} ({count}): {figure}")
        table.add_column("this search minus it")
    for name, by_kind in scores.items():
        cells = []
        for kind in kinds:
            if kind not in by_kind:
                cells += ["", ""]
                continue
            values, all_scores = by_kind[kind], scores[_WHOLE][kind]
            cells.append(" / ".join(f"{value:.3f}" for value in values.mean(axis=0)))
            cells.append("" if name == _WHOLE else _difference(all_scores, values))
        table.add_row(name, *cells)
    return table


def _difference(all_scores: np.ndarray, other: np.ndarray) -> str:
    """The paired difference of the last figure but one (Acc@5, NDCG@10) with its interval."""
    column = 1 if all_scores.shape[1] > 1 else 0
    gap = (all_scores[:, column] - other[:, column]).tolist()
    interval = paired_bootstrap(gap, resamples=2000, confidence=0.95, seed=20)
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _scores(prepared: Sequence[_Prepared], system: System) -> dict[str, np.ndarray]:
    """Figures of each query, by kind of set."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for prepared_set in prepared:
        kind = prepared_set.set.name.split()[0]
        for query, ranked in zip(prepared_set.set.queries, system(prepared_set), strict=True):
            rows.setdefault(kind, []).append(_figures(ranked, query.wanted, prepared_set.set.by_file))
    return {kind: np.array(values) for kind, values in rows.items()}


def _figures(ranked: list[str], relevant: frozenset[str], by_file: bool) -> tuple[float, ...]:
    if by_file:  # all of the files have to be there
        return tuple(float(relevant <= set(ranked[: max(k, len(relevant))])) for k in (1, 5, 10))
    gain = sum(1 / np.log2(index + 2) for index, name in enumerate(ranked) if name in relevant)
    best = sum(1 / np.log2(index + 2) for index in range(min(10, len(relevant))))
    return (float(gain / best),)


def _speed(folder: Path, repeats: int) -> Iterator[Timing]:
    write_packages(folder / "code", _MEGABYTES)
    lines = sum(p.read_bytes().count(b"\n") for p in (folder / "code").rglob("*.py"))
    params = load_parameters()
    for encoder, target, note in ((WITHOUT, 60.0, "words alone"), (SENTENCE, 600.0, "encoder")):
        out = folder / encoder
        runs = timed(lambda out=out, name=encoder: index_folder(folder / "code", out, params, name))
        yield Timing(f"index, {note}", (runs,), target, note=f"{lines:,} lines", amount=lines, unit="lines")
        searcher = open_searcher(out, params)
        searcher.search(_ASKED[0])
        queries = tuple(
            timed(lambda query=query, searcher=searcher: searcher.search(query))
            for _ in range(max(repeats, 3)) for query in _ASKED
        )  # fmt: skip
        documents = searcher.index.collection.documents.height
        yield Timing(f"query, {note}", queries, 0.02, note=f"{documents:,} documents, warm")
