"""Search an index: freshness, ranking and the description of hits."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.retrieval.collection import Collection, build_collection, count_terms
from cortex_pipelines.retrieval.documents import FileText, ReadingLimits, read_file
from cortex_pipelines.retrieval.excerpts import DocumentLocation, ExcerptSource
from cortex_pipelines.retrieval.filters import NO_FILTERS, FilterError, Filters, matching_documents, no_match_message
from cortex_pipelines.retrieval.index import SearchIndex
from cortex_pipelines.retrieval.listing import head_commit, list_files
from cortex_pipelines.retrieval.queries import ParsedQuery, parse_query, query_terms_of_word
from cortex_pipelines.retrieval.ranking import (
    FOR_FILES,
    FOR_UNITS,
    CollectionScores,
    SignalWeights,
    combine_file_scores,
    combine_unit_scores,
    score_collection,
)
from cortex_pipelines.retrieval.vectors import Encode, Floats
from cortex_pipelines.words import folded_words, split_words

_OVERLAY_BYTES = 1_500_000  # bytes of changed files that are read again at once: less than a second of one core
_EMBEDDED_AT_ONCE = 20  # new texts of changed files that are embedded at once; more are found by their words alone
_QUERY_CHARACTERS = 2_000  # of a query, what the encoder is given: more than its tokens
_SHOWN_WORDS = 6
_FILES_OF_FOLDERS = 200  # files by which folders are ranked
_DEPTH_DECAY, _FOLDER_SIMILARITY = 0.9, 0.5
"""Factor on a file's score for each further folder above it, and weight of the similarity of the
folder's own vector: set by hand, no set of queries for folders has been measured."""


@dataclass(frozen=True)
class SearchHit:
    """One place; lines count from 1, inclusive, and may be wrong if it is stale.

    Scores are comparable only within one query; ``commit`` has the file as it was indexed.
    """

    path: str
    start_line: int
    end_line: int
    name: str
    kind: str
    score: float
    why: str
    commit: str | None
    stale: bool

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class RankedFile:
    """One file with number and score of each document that answers at all, best first."""

    part: CollectionScores
    number: int
    path: str
    score: float
    documents: tuple[tuple[int, float], ...]
    stale: bool


@dataclass(frozen=True)
class FolderChanges:
    """How the folder differs from what was indexed.

    ``stale`` are files with other content; ``overlay`` is what changed and new files hold now, None if
    that is nothing, or too much.
    """

    deleted: frozenset[int] = frozenset()
    stale: frozenset[int] = frozenset()
    overlay: Collection | None = None


class Searcher:
    """Answers queries from one index.

    ``note`` says why it searches without the encoder although the index has vectors.
    """

    def __init__(
        self,
        index: SearchIndex,
        limits: ReadingLimits,
        encode: Encode | None = None,
        note: str = "",
        units: SignalWeights = FOR_UNITS,
        files: SignalWeights = FOR_FILES,
    ) -> None:
        self.index = index
        self._limits = limits
        self._encode = encode if index.collection.vectors is not None else None
        self.note = note
        self._units, self._files = units, files
        self.changes = FolderChanges()
        self._last_query: tuple[str, Floats | None] = ("", None)

    def refresh(self) -> str:
        """Compare the folder with the index, and read what has changed if it is little.

        Returns:
            A sentence for people if results may be out of date; else empty.
        """
        if not self.index.manifest.root:
            return ""  # outputs of a project: the index is kept by their versions
        root = Path(self.index.manifest.root)
        if not root.is_dir():
            everything = frozenset(range(self.index.collection.files.height))
            self.changes = FolderChanges(stale=everything)
            return f"{root} is not there any more: results are those of when it was indexed"
        files = self.index.collection.files
        indexed = {
            path: (number, size, mtime, blob)
            for number, (path, size, mtime, blob) in enumerate(
                files.select("path", "size", "mtime", "blob").iter_rows()
            )
        }
        changed, present = [], set()
        for file in list_files(root):
            entry = indexed.get(file.path)
            if entry:
                present.add(entry[0])
            if entry is None or entry[1:3] != (file.size, file.mtime):
                changed.append(file)
        deleted = frozenset(range(files.height)) - present
        if sum(file.size for file in changed) > _OVERLAY_BYTES:
            stale = frozenset(indexed[file.path][0] for file in changed if file.path in indexed)
            self.changes = FolderChanges(deleted, stale)
            return (
                f"{len(changed):,} files have changed since the index was made: results of them "
                "are marked stale; make the index again"
            )
        head = head_commit(root) if changed else None
        texts = [read_file(root, file, head, self._limits) for file in changed]
        texts = [text for text in texts if text.path not in indexed or indexed[text.path][3] != text.blob]
        self.changes = FolderChanges(deleted, *self._build_overlay(texts, indexed))
        return ""

    def _build_overlay(
        self, texts: Sequence[FileText], indexed: dict[str, tuple[int, int, int, str]]
    ) -> tuple[frozenset[int], Collection | None]:
        stale = frozenset(indexed[text.path][0] for text in texts if text.path in indexed)
        frequencies = count_terms(texts, self.index.terms)
        if frequencies.documents.is_empty():
            return stale, None
        base, statistics = self.index.collection, self.index.statistics
        return stale, build_collection(frequencies, statistics, self._encode, base.text_vectors, _EMBEDDED_AT_ONCE)[0]

    def search(self, text: str, k: int = 10, filters: Filters = NO_FILTERS, by: str | None = None) -> list[SearchHit]:
        """The best places for a query, best first.

        Args:
            text: The query: words, an identifier, code, or the text of an issue.
            k: Most results.
            filters: What results may be.
            by: ``unit`` ranks documents, ``file`` gives each file once with its best document,
                ``folder`` each folder; None decides by the query (an issue's text asks for files).

        Raises:
            QueryError: the query is empty, too long, or not text.
            FilterError: no document passes the filters, or the path is not a pattern.
        """
        filters.check()
        query = parse_query(text)
        parts = self.score_collections(query, filters)
        if by == "folder":
            return self.rank_folders(parts, query, k)
        by_file = query.long if by is None else by == "file"
        ranked = self.rank_files(parts, query, k) if by_file else self.rank_units(parts, query, k)
        return [self.describe_hit(parts[part], document, score, query) for part, document, score in ranked]

    def score_collections(self, query: ParsedQuery, filters: Filters = NO_FILTERS) -> list[CollectionScores]:
        vector = self._query_vector(query)
        base, overlay = self.index.collection, self.changes.overlay
        replaced = self.changes.deleted | (self.changes.stale if overlay is not None else frozenset())
        hidden = np.isin(base.file_numbers, list(replaced))
        eligible = [matching_documents(base, filters) & ~hidden]
        collections = [base]
        if overlay is not None:
            collections.append(overlay)
            eligible.append(matching_documents(overlay, filters))
        if not any(mask.any() for mask in eligible):
            raise FilterError(no_match_message(base, filters))
        return [
            score_collection(collection, query, self.index.terms, vector, mask)
            for collection, mask in zip(collections, eligible, strict=True)
        ]

    def _query_vector(self, query: ParsedQuery) -> Floats | None:
        text = query.text[:_QUERY_CHARACTERS]
        if self._encode is not None and self._last_query[0] != text:
            self._last_query = (text, self._encode([text])[0])
        return self._last_query[1] if self._encode is not None else None

    def rank_units(self, parts: list[CollectionScores], query: ParsedQuery, k: int) -> list[tuple[int, int, float]]:
        """Part, document and score of the best documents; none that lies in a better one."""
        totals = combine_unit_scores(parts, self._units, query)
        return _best([np.where(part.eligible, total, 0) for part, total in zip(parts, totals, strict=True)], k)

    def rank_files(self, parts: list[CollectionScores], query: ParsedQuery, k: int) -> list[tuple[int, int, float]]:
        """Part, best document and score of the best files."""
        return [
            (number, document, score)
            for number, _, score, inside in self._best_files(parts, query, k)
            for document, _ in inside[:1]
        ]

    def rank_folders(self, parts: list[CollectionScores], query: ParsedQuery, k: int) -> list[SearchHit]:
        """The best folders: by their own similarity and by the best file in each.

        A folder is as good as its best file, for what lies in the folders below it a little less.
        """
        files = self.rank_files(parts, query, _FILES_OF_FOLDERS)
        best: dict[str, tuple[float, tuple[int, int, float]]] = {}
        for file in files:
            collection = parts[file[0]].collection
            path = PurePosixPath(collection.files["path"][int(collection.file_numbers[file[1]])])
            for depth, folder in enumerate(path.parents):
                worth = file[2] / files[0][2] * _DEPTH_DECAY**depth
                if folder.name and worth > best.get(folder.as_posix(), (0.0, None))[0]:
                    best[folder.as_posix()] = (worth, file)
        scores = {name: worth for name, (worth, _) in best.items()}
        vector, levels = self._query_vector(query), self.index.levels
        if vector is not None and levels is not None:
            names = levels.nodes["path"].to_list()
            rows = [number for number, name in enumerate(names) if name in best]
            similarities = np.maximum(0, levels.vectors[rows].astype(np.float32) @ vector)
            most = max(float(similarities.max(initial=0)), 1e-9)
            for row, similarity in zip(rows, similarities, strict=True):
                scores[names[row]] = best[names[row]][0] + _FOLDER_SIMILARITY * (float(similarity) / most)
        hits = []
        for name in sorted(scores, key=lambda name: (-scores[name], name))[:k]:
            _, (part, document, _) = best[name]
            hit = self.describe_hit(parts[part], document, scores[name], query)
            reason = f"{hit.path}:{hit.start_line} {hit.name} ({hit.why})"
            hits.append(replace(hit, path=name, name=PurePosixPath(name).name, kind="folder", why=reason))
        return hits

    def rank_with_documents(self, query: ParsedQuery, k: int) -> list[RankedFile]:
        parts = self.score_collections(query)
        return [
            RankedFile(
                parts[number],
                file,
                parts[number].collection.files["path"][file],
                score,
                tuple(entry for entry in inside if entry[1] > 0),
                parts[number].collection is self.index.collection and file in self.changes.stale,
            )
            for number, file, score, inside in self._best_files(parts, query, k)
        ]

    def _best_files(
        self, parts: list[CollectionScores], query: ParsedQuery, k: int
    ) -> Iterator[tuple[int, int, float, list[tuple[int, float]]]]:
        """Part, number and score of the best files, and their documents with scores in order."""
        totals = combine_file_scores(parts, self._files, query)
        document_scores = combine_unit_scores(parts, self._units, query)
        visible = []
        for part, total in zip(parts, totals, strict=True):
            eligible = np.zeros(len(total), dtype=bool)
            eligible[part.collection.file_numbers[part.eligible]] = True
            visible.append(np.where(eligible, total, 0))
        for number, file, score in _best(visible, k):
            part = parts[number]
            documents = np.flatnonzero((part.collection.file_numbers == file) & part.eligible)
            ranked = documents[np.argsort(-document_scores[number][documents], kind="stable")]
            yield number, file, score, [(int(p), float(document_scores[number][p])) for p in ranked]

    def open_excerpts(self, file: RankedFile, text: str) -> ExcerptSource:
        collection = file.part.collection
        rows = collection.documents.filter(pl.col("file") == file.number)
        locations = [DocumentLocation(*row) for row in rows.select(*DocumentLocation.__dataclass_fields__).iter_rows()]
        language = collection.files["language"][file.number]
        return ExcerptSource(text, file.path, language, locations, self._limits.extraction)

    def describe_hit(self, part: CollectionScores, document: int, score: float, query: ParsedQuery) -> SearchHit:
        collection = part.collection
        file, kind, name, start, end, *_ = collection.documents.row(document)
        path, commit = (collection.files[column][file] for column in ("path", "commit"))
        reasons = []
        if part.names[document] > 0 or part.exact[document] > 0:
            reasons.append("defines what is named")
        if part.paths[file] > 0:
            reasons.append("its path is named")
        shared: dict[str, float] = {}  # words of the query that the document has
        for word in dict.fromkeys(split_words(query.text)):
            for term in query_terms_of_word(word):
                number = self.index.terms.numbers.get(term)
                if term not in query.weights or number is None:
                    continue
                impact = collection.unit_postings.impact(number, document) * query.weights[term]
                if impact > 0:
                    shared[word] = shared.get(word, 0.0) + impact
        if shared:
            reasons.append(f"words: {', '.join(sorted(shared, key=lambda word: -shared[word])[:_SHOWN_WORDS])}")
        if part.similarity is not None and part.similarity[document] >= 0.3:
            reasons.append(f"like in meaning ({part.similarity[document]:.2f})")
        reason = "; ".join(reasons) or "its file matches"
        stale = collection is self.index.collection and file in self.changes.stale
        return SearchHit(path, start, end, name, kind, round(float(score), 4), reason, commit, stale)


def _best(scores: list[npt.NDArray[Any]], k: int) -> list[tuple[int, int, float]]:
    """Part, place and score of the k highest that are not zero; equal ones in their order."""
    candidates = []
    for number, values in enumerate(scores):
        threshold = 1e-9
        if len(values) > k:
            threshold = max(threshold, float(np.partition(values, len(values) - k)[len(values) - k]))
        positions = np.flatnonzero(values >= threshold)
        candidates += [(-float(values[position]), number, int(position)) for position in positions]
    return [(number, position, -score) for score, number, position in sorted(candidates)[:k]]


_SHOWN_LINES, _SHOWN_WIDTH = 2, 110


def shown_lines(result: SearchHit, text: str | None, words: set[str]) -> list[tuple[int, str]]:
    """The line that names a hit and the one with most words of the query; empty without its text."""
    lines = (text or "").split("\n")
    numbers = [n for n in range(result.start_line, min(result.end_line, len(lines)) + 1) if lines[n - 1].strip()]
    if not numbers:
        return []
    last = result.name.rpartition(".")[2]
    name_line = next(
        (n for n in numbers if last and last in lines[n - 1] and not lines[n - 1].lstrip().startswith("@")), 0
    )
    best = max(numbers, key=lambda n: (len(words & set(folded_words(lines[n - 1]))), n == name_line))
    numbers = sorted({name_line or numbers[0], best})[:_SHOWN_LINES]
    return [(n, lines[n - 1].rstrip().expandtabs(4)[:_SHOWN_WIDTH]) for n in numbers]
