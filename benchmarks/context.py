"""Share of a commit's changed lines that an agent is shown within a token budget.

The sets are those of ``search_sets``: messages of commits ask for the files that they changed, in
the tree before them, in the repositories of the folder that CORTEX_BENCH_REPOSITORIES names. The
ways of packing were compared on ``search.TRAINING``; only others are reported.
"""

import difflib
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.search import REPOSITORIES, TRAINING, git_folders
from benchmarks.search_sets import SearchQuery, Set, commit_sets, git
from benchmarks.timing import Timing, timed
from benchmarks.workspace import Workspace
from cortex_pipelines.api import load_parameters
from cortex_pipelines.retrieval.context import Excerpt, PackingConfig, ReadText, approximate_tokens, pack_context
from cortex_pipelines.retrieval.documents import read_text
from cortex_pipelines.retrieval.index import IndexManifest, SearchIndex, build_index
from cortex_pipelines.retrieval.open_index import open_encoder, reading_limits
from cortex_pipelines.retrieval.queries import parse_query
from cortex_pipelines.retrieval.search import Searcher
from cortex_pipelines.statistics.intervals import paired_bootstrap

BUDGETS = (2_000, 4_000, 8_000)
_CHOSEN = PackingConfig()
_LEFT_OUT = re.compile(r"… (\d+)-(\d+)")

Lines = dict[str, set[int]]
"""Shown line numbers, by path."""
System = Callable[["_Prepared", str, int], Lines]


@dataclass(frozen=True)
class _Prepared:
    """A set that can be searched, and the lines that each commit changed in its tree."""

    set: Set
    searcher: Searcher
    read: ReadText
    changed: Sequence[Mapping[str, frozenset[int]]]


def measure(work: Workspace, repeats: int) -> list[Timing]:
    """Print the quality table, and return the cost of a context."""
    prepared = list(_prepare(work.root.parent / "sets"))
    if not prepared:
        Console().print(f"{REPOSITORIES} names no folder with git repositories")
        return []
    Console(width=150).print(_table(prepared))
    prepared_set = prepared[0]
    runs = tuple(
        timed(partial(_packed(), prepared_set, query.text, 4_000))
        for query in prepared_set.set.queries[: max(3, repeats)]
    )
    return [Timing("context of 4,000 tokens", runs, 1.0, note=f"{len(prepared_set.set.files):,} files")]


def _prepare(work: Path) -> Iterator[_Prepared]:
    params = load_parameters()
    limits, encoder = reading_limits(params), open_encoder(params)
    before: SearchIndex | None = None
    for name, repository in git_folders():
        if name in TRAINING:
            continue
        for prepared_set in commit_sets(repository, name, work, limits, functions=False):
            manifest = IndexManifest(str(prepared_set.tree), encoder.name)
            before = build_index(prepared_set.files, manifest, encoder.encode, before)
            texts = sorted({query.text[:2000] for query in prepared_set.queries})
            vectors = dict(zip(texts, encoder.encode(texts), strict=True))

            def encode(query: Sequence[str], cached_vectors: dict[str, np.ndarray] = vectors) -> np.ndarray:
                return np.stack([cached_vectors[text] for text in query])

            @cache
            def read(path: str, tree: Path = prepared_set.tree) -> str | None:
                return read_text(tree, path, limits)

            changed = [_changed(repository, search_query, prepared_set.at) for search_query in prepared_set.queries]
            yield _Prepared(prepared_set, Searcher(before, limits, encode), read, changed)


def _changed(repository: Path, query: SearchQuery, commit_hash: str) -> dict[str, frozenset[int]]:
    """Lines that a commit changed, as they are numbered in the tree that is searched.

    Lines that were written in between are not there and do not count.
    """
    lines = {}
    for path in sorted(query.wanted):
        diff = git(repository, "show", "--format=", "-U0", "--no-renames", query.commit, "--", path).decode(
            errors="replace"
        )
        hunks = re.findall(r"^@@ -(\d+)(?:,(\d+))? ", diff, re.M)
        old = {number for first, length in hunks for number in range(int(first), int(first) + max(1, int(length or 1)))}
        before, after = (
            git(repository, "show", f"{commit}:{path}").decode(errors="replace").split("\n")
            for commit in (f"{query.commit}^", commit_hash)
        )
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        numbers = {
            block.a + offset + 1: block.b + offset + 1
            for block in matcher.get_matching_blocks()
            for offset in range(block.size)
        }
        lines[path] = frozenset(numbers[line] for line in old if line in numbers)
    return lines


def _packed(packing: PackingConfig = _CHOSEN) -> System:
    def show(prepared: _Prepared, task: str, budget: int) -> Lines:
        context = pack_context(prepared.searcher, task, prepared.read, budget, packing=packing)
        lines: Lines = {}
        for excerpt in context.pieces:
            lines.setdefault(excerpt.path, set()).update(_numbers(excerpt))
        return lines

    return show


def _numbers(excerpt: Excerpt) -> Iterator[int]:
    number = excerpt.start_line
    for line in excerpt.text.split("\n"):
        left_out = _LEFT_OUT.fullmatch(line)
        if left_out and int(left_out[1]) == number:
            number = int(left_out[2]) + 1
        else:
            yield number
            number += 1


def _ranked_files(prepared: _Prepared, task: str) -> Iterator[tuple[str, str]]:
    """Path and text of whole files, in the order of search."""
    for file in prepared.searcher.rank_with_documents(parse_query(task), 10_000):
        text = prepared.read(file.path)
        if text is not None:
            yield file.path, text


def _whole_files(prepared: _Prepared, task: str, budget: int) -> Lines:
    """Files until the budget is full; the last one is cut."""
    lines: Lines = {}
    for path, text in _ranked_files(prepared, task):
        budget -= approximate_tokens(f"{path}\n")
        for number, line in enumerate(text.split("\n"), start=1):
            budget -= approximate_tokens(f"{line}\n")
            if budget < 0:
                return lines
            lines.setdefault(path, set()).add(number)
    return lines


def _graph_lines(prepared: _Prepared, task: str, budget: int) -> Lines:
    """Units in search order, each if it still fits."""
    shown_lines: Lines = {}
    for result in prepared.searcher.search(task, 200, by="unit"):
        lines = str(prepared.read(result.path)).split("\n")[result.start_line - 1 : result.end_line]
        tokens = approximate_tokens("\n".join([f"{result.path} {result.name}", *lines]))
        if tokens <= budget:
            numbers = range(result.start_line, result.end_line + 1)
            shown_lines.setdefault(result.path, set()).update(numbers)
            budget -= tokens
    return shown_lines


_WHOLE, _OURS = "whole files in the order of search", "`cortex context`"
_SYSTEMS: dict[str, System] = {
    _WHOLE: _whole_files,
    "places in the order of search": _graph_lines,
    _OURS: _packed(),
    "without signatures of further files": _packed(PackingConfig(signatures=0.0)),
}


def _table(prepared: Sequence[_Prepared]) -> Table:
    count = sum(len(prepared_set.set.queries) for prepared_set in prepared)
    needed = statistics.median(n for prepared_set in prepared for n in _tokens_needed(prepared_set))
    table = Table(
        title=f"context: {count} commits of {', '.join(entry.set.name for entry in prepared)}; "
        f"whole files up to the last one that is needed: {needed:,.0f} tokens (median)"
    )
    table.add_column("all changed files / changed lines shown")
    scores = {
        (name, budget): _scores(prepared, system, budget) for name, system in _SYSTEMS.items() for budget in BUDGETS
    }
    for budget in BUDGETS:
        table.add_column(f"{budget:,}")
        table.add_column(f"{_OURS} minus it: files; lines")
    for name in _SYSTEMS:
        cells = []
        for budget in BUDGETS:
            values, ours = scores[name, budget], scores[_OURS, budget]
            cells.append(" / ".join(f"{value:.3f}" for value in np.nanmean(values, axis=0)))
            cells.append("" if name == _OURS else _difference(ours - values))
        table.add_row(name, *cells)
    return table


def _tokens_needed(prepared: _Prepared) -> Iterator[int]:
    """Of each query, the tokens of whole files up to the last one that its commit changed."""
    for query in prepared.set.queries:
        missing, tokens = set(query.wanted), 0
        for path, text in _ranked_files(prepared, query.text):
            tokens += approximate_tokens(text)
            missing.discard(path)
            if not missing:
                break
        yield tokens


def _scores(prepared: Sequence[_Prepared], system: System, budget: int) -> np.ndarray:
    """A row a query: all changed files are there; share of changed lines shown, nan if unknown."""
    rows = []
    for prepared_set in prepared:
        for query, changed in zip(prepared_set.set.queries, prepared_set.changed, strict=True):
            selected = system(prepared_set, query.text, budget)
            lines = [(path, line) for path, numbers in changed.items() for line in numbers]
            after = [line in selected.get(path, ()) for path, line in lines]
            share = sum(after) / len(after) if after else np.nan
            rows.append((float(query.wanted <= selected.keys()), share))
    return np.array(rows)


def _difference(gaps: np.ndarray) -> str:
    """The paired differences with their intervals."""
    cells = []
    for column in gaps.T:
        cached_vectors = column[~np.isnan(column)].tolist()
        interval = paired_bootstrap(cached_vectors, resamples=2000, confidence=0.95, seed=20)
        cells.append(f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]")
    return "; ".join(cells)
