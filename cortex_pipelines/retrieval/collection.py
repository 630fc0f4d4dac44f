"""Documents of many files with their postings and vectors: the computed part of an index."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from cortex_pipelines.retrieval.bm25f import (
    Bm25fWeights,
    FieldTermCounts,
    Postings,
    TermStatistics,
    Vocabulary,
    build_postings,
    term_statistics,
)
from cortex_pipelines.retrieval.documents import FIELDS, NOT_CODE, FileText, embedded_text, only_declares
from cortex_pipelines.retrieval.vectors import Encode, Floats, text_number
from cortex_pipelines.schemas.vocabulary import DEFINITIONS
from cortex_pipelines.words import normalise_name


@dataclass(frozen=True)
class PinnedEncoder:
    """The pinned sentence encoder, loaded at its first use; ``name`` is what decides its vectors."""

    name: str
    encode: Encode


_DOCUMENTS: dict[str, pl.DataType | type[pl.DataType]] = {
    "file": pl.Int32,
    "kind": pl.String,
    "name": pl.String,
    "start_line": pl.Int32,
    "end_line": pl.Int32,
    "is_test": pl.Boolean,
    "text": pl.UInt64,
    "category": pl.String,
    "complexity": pl.Int64,
    "technologies": pl.List(pl.String),
    "intent": pl.String,
    "intent_kind": pl.String,
    "only_declares": pl.Boolean,
}
DOCUMENTS = pl.Schema(_DOCUMENTS)
_FILES: dict[str, pl.DataType | type[pl.DataType]] = {
    "path": pl.String,
    "size": pl.Int64,
    "mtime": pl.Int64,
    "blob": pl.String,
    "language": pl.String,
    "commit": pl.String,
    "generated": pl.Boolean,
    "left_out": pl.String,
    "licence": pl.String,
    "author": pl.String,
    "changed": pl.Datetime("us", "UTC"),
}
FILES = pl.Schema(_FILES)

UNIT_WEIGHTS = Bm25fWeights((0.2, 3.0, 1.2, 2.5, 0.8), (0.2, 0.2, 0.5, 0.5, 0.75), 2.0)
FILE_WEIGHTS = Bm25fWeights((3.0, 3.0, 0.75, 0.4, 0.75), (0.4, 0.85, 0.6, 0.7, 0.8), 2.2)
"""Of ``FIELDS``, for documents and for whole files; see docs/guides/search.md."""

_FOLDER_FILES = frozenset({"__init__", "index", "mod", "lib"})  # names of files that stand for their folder

_EXACT_LIMIT = 200_000  # documents up to which a query is compared with every vector: 10 ms of one core
_CANDIDATES = 2_000  # documents of a larger collection that a query is compared with, of each of two kinds


@dataclass(frozen=True)
class Vectors:
    """Vectors of texts, shape (texts, width), by the number of the text."""

    numbers: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.float16]

    @cached_property
    def rows_by_number(self) -> dict[int, int]:
        return {int(number): row for row, number in enumerate(self.numbers)}


@dataclass(frozen=True)
class Collection:
    """Documents (rows of ``DOCUMENTS``) and their files (rows of ``FILES``), with what a search adds up.

    Vectors have a row a document, of length 1 or all zero; None without an encoder."""

    documents: pl.DataFrame
    files: pl.DataFrame
    unit_postings: Postings
    file_postings: Postings
    vectors: npt.NDArray[np.float16] | None

    @cached_property
    def text_vectors(self) -> Vectors | None:
        if self.vectors is None:
            return None
        has = ~self.unembedded
        return Vectors(self.documents["text"].to_numpy()[has], self.vectors[has])

    @cached_property
    def unembedded(self) -> npt.NDArray[np.bool_]:
        if self.vectors is None:
            return np.ones(self.documents.height, dtype=bool)
        return ~np.asarray(self.vectors.any(axis=1), dtype=bool)

    @cached_property
    def file_numbers(self) -> npt.NDArray[np.int32]:
        return self.documents["file"].to_numpy()

    @cached_property
    def float_vectors(self) -> Floats:
        if self.vectors is None:
            return np.zeros((self.documents.height, 0), dtype=np.float32)
        return self.vectors.astype(np.float32)

    def similarity(self, vector: Floats, eligible: npt.NDArray[np.bool_], scores: Floats) -> Floats | None:
        """Cosine of each document to a query, at least 0; None without vectors.

        In a collection of more than ``_EXACT_LIMIT`` documents only the likeliest of those eligible are compared, by
        the signs of their numbers (Charikar 2002), and those with the highest other scores; the rest have 0.
        """
        if self.vectors is None:
            return None
        if self.documents.height <= _EXACT_LIMIT:
            exact: Floats = np.maximum(0, self.float_vectors @ vector)
            return exact
        candidates = np.flatnonzero(eligible)
        if len(candidates) > 2 * _CANDIDATES:
            distance = np.zeros(self.documents.height, dtype=np.uint16)
            for word, signs in zip(_signs(vector[None])[:, 0], self.signs, strict=True):
                distance += np.bitwise_count(signs ^ word)
            nearest = _lowest(np.where(eligible, distance, self.vectors.shape[1] + 1))
            highest = _lowest(np.where(eligible, -scores, 0))
            candidates = np.union1d(nearest, highest[eligible[highest]])
        similarities = np.zeros(self.documents.height, dtype=np.float32)
        similarities[candidates] = np.maximum(0, self.vectors[candidates].astype(np.float32) @ vector)
        return similarities

    @cached_property
    def signs(self) -> npt.NDArray[np.uint64]:
        """Signs of the vectors, 64 in a word, shape (words, documents)."""
        return _signs(self.float_vectors if self.vectors is None else self.vectors)

    @cached_property
    def is_test(self) -> npt.NDArray[np.bool_]:
        return self.documents["is_test"].to_numpy()

    @cached_property
    def is_generated(self) -> npt.NDArray[np.bool_]:
        return self.files["generated"].to_numpy()[self.file_numbers]

    @cached_property
    def is_prose(self) -> npt.NDArray[np.bool_]:
        not_code = self.files["language"].is_null() | self.files["language"].is_in([name for name in NOT_CODE if name])
        return not_code.to_numpy()[self.file_numbers]

    @cached_property
    def names(self) -> list[str]:
        return self.documents["name"].to_list()

    @cached_property
    def outside_units(self) -> npt.NDArray[np.bool_]:
        """Mask of the documents that are code outside of units."""
        return (self.documents["kind"] == "file").to_numpy() & ~self.is_prose

    @cached_property
    def is_stub(self) -> npt.NDArray[np.bool_]:
        """Mask of the documents that only declare what another of the same name defines."""
        in_stub_files = self.files["path"].str.contains(r"\.(?:pyi|d\.[cm]?ts)$").to_numpy()
        declares = in_stub_files[self.file_numbers] | self.documents["only_declares"].to_numpy()
        names = self.documents["name"]
        defined = names.is_in(names.filter(~declares).implode()).to_numpy()
        return np.asarray(declares & defined, dtype=bool)

    @cached_property
    def documents_by_name(self) -> dict[str, list[int]]:
        numbers_by_name: dict[str, list[int]] = {}
        units = self.documents.with_row_index().filter(pl.col("kind").is_in(DEFINITIONS))
        for number, name in units.select("index", "name").iter_rows():
            numbers_by_name.setdefault(normalise_name(name.rpartition(".")[2]), []).append(number)
        return numbers_by_name

    @cached_property
    def files_by_ending(self) -> dict[str, list[int]]:
        """Files by each ending of their paths, without the ending of the name."""
        numbers_by_ending: dict[str, list[int]] = {}
        for number, path in enumerate(self.files["path"]):
            parts = normalise_name(path).lower().split("/")
            name = parts[-1]
            stem = name.rpartition(".")[0] or name
            if stem in _FOLDER_FILES and len(parts) > 1:
                parts, stem = parts[:-1], parts[-2]
            for start in range(max(0, len(parts) - 6), len(parts)):
                numbers_by_ending.setdefault("/".join([*parts[start:-1], stem]), []).append(number)
        return numbers_by_ending


@dataclass(frozen=True)
class CollectionStatistics:
    of_units: TermStatistics
    of_files: TermStatistics


@dataclass(frozen=True)
class TermFrequencies:
    documents: pl.DataFrame
    files: pl.DataFrame
    fields: tuple[sparse.csr_matrix, ...]
    texts: tuple[str, ...]

    def in_files(self) -> tuple[sparse.csr_matrix, ...]:
        """The same by file; a path counts once and not with each document."""
        count = self.documents.height
        coordinates = (self.documents["file"].to_numpy(), np.arange(count))
        ones = np.ones(count, dtype=np.float32)
        sums = sparse.csr_matrix((ones, coordinates), shape=(self.files.height, count))
        file_fields = [sums @ matrix for matrix in self.fields]
        per_file = np.maximum(1, np.asarray(sums.sum(axis=1)).ravel())
        file_fields[0] = sparse.diags((1 / per_file).astype(np.float32)) @ file_fields[0]
        return tuple(sparse.csr_matrix(matrix) for matrix in file_fields)


def count_terms(files: Iterable[FileText], vocabulary: Vocabulary) -> TermFrequencies:
    rows: list[tuple[object, ...]] = []
    file_rows: list[tuple[object, ...]] = []
    counts = [FieldTermCounts() for _ in FIELDS]
    texts: list[str] = []
    for number, file in enumerate(files):
        file_rows.append(tuple(getattr(file, name) for name in FILES))
        for document in file.documents:
            for field_counts, text in zip(counts, document.texts, strict=True):
                field_counts.add(len(rows), text, vocabulary)
            text = embedded_text(document, file)
            location = (document.kind, document.name, document.start_line, document.end_line, document.is_test)
            facts = (text_number(text), document.category, document.complexity, list(document.technologies))
            intent = (document.intent, document.intent_kind)
            rows.append((number, *location, *facts, *intent, only_declares(document)))
            texts.append(text)
    return TermFrequencies(
        pl.DataFrame(rows, schema=DOCUMENTS, orient="row"),
        pl.DataFrame(file_rows, schema=FILES, orient="row"),
        tuple(frequencies.matrix(len(rows), len(vocabulary)) for frequencies in counts),
        tuple(texts),
    )


def build_collection(
    frequencies: TermFrequencies,
    statistics: CollectionStatistics | None,
    encode: Encode | None,
    cached_vectors: Vectors | None = None,
    most_embedded: int | None = None,
) -> tuple[Collection, CollectionStatistics]:
    """Make the postings, and the vectors if there is an encoder or there are vectors already.

    Args:
        statistics: Statistics of the index that these documents are added to; None for a new one.
        encode: The encoder; None to embed nothing new.
        cached_vectors: Vectors of the same encoder, reused for equal texts.
        most_embedded: Most texts that are embedded; None for all.
    """
    in_files = frequencies.in_files()
    statistics = statistics or CollectionStatistics(term_statistics(frequencies.fields), term_statistics(in_files))
    vectors = None
    if encode is not None or cached_vectors is not None:
        row_by_number = cached_vectors.rows_by_number if cached_vectors is not None else {}
        numbers = frequencies.documents["text"].to_numpy()
        rows = np.array([row_by_number.get(int(number), -1) for number in numbers], dtype=np.int64)
        missing = [n for n, text in enumerate(frequencies.texts) if text and rows[n] < 0][:most_embedded]
        embedded = encode([frequencies.texts[n] for n in missing] or [""]) if encode is not None else np.zeros((1, 0))
        width = embedded.shape[1] if cached_vectors is None else cached_vectors.rows.shape[1]
        vectors = np.zeros((len(rows), width), dtype=np.float16)  # zeros where a text is empty
        if encode is not None:
            vectors[missing] = embedded[: len(missing)]
        if cached_vectors is not None:
            vectors[rows >= 0] = cached_vectors.rows[rows[rows >= 0]]
    unit_postings = build_postings(frequencies.fields, statistics.of_units, UNIT_WEIGHTS)
    file_postings = build_postings(in_files, statistics.of_files, FILE_WEIGHTS)
    return Collection(frequencies.documents, frequencies.files, unit_postings, file_postings, vectors), statistics


def _signs(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    packed = np.packbits(rows > 0, axis=1)
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(padded.view(np.uint64).T)


def _lowest(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.argpartition(values, _CANDIDATES)[:_CANDIDATES]
