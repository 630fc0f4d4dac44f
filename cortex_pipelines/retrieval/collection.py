"""Documents of many files, with what a search adds up: the part of an index that is computed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from cortex_pipelines.retrieval.bm25f import (
    FieldTermCounts,
    Floats,
    Postings,
    Statistics,
    Vocabulary,
    Weights,
    postings,
    statistics,
)
from cortex_pipelines.retrieval.documents import FIELDS, NOT_CODE, FileText, embedded_text
from cortex_pipelines.retrieval.encoder_text import UNITS, text_number
from cortex_pipelines.words import same_name

Encode = Callable[[Sequence[str]], Floats]
"""Texts to vectors of length 1, one a row."""

DOCUMENTS = pl.Schema(
    {
        "file": pl.Int32,
        "kind": pl.String,
        "name": pl.String,
        "start_line": pl.Int32,
        "end_line": pl.Int32,
        "text": pl.UInt64,
        "category": pl.String,
        "complexity": pl.Int64,
    }
)
_FILES: dict[str, pl.DataType | type[pl.DataType]] = {
    "path": pl.String,
    "size": pl.Int64,
    "mtime": pl.Int64,
    "blob": pl.String,
    "language": pl.String,
    "commit": pl.String,
    "is_test": pl.Boolean,
    "generated": pl.Boolean,
    "left_out": pl.String,
    "licence": pl.String,
    "author": pl.String,
    "changed": pl.Datetime("us", "UTC"),
}
FILES = pl.Schema(_FILES)

UNIT_WEIGHTS = Weights((0.2, 3.0, 1.2, 2.5, 0.8), (0.2, 0.2, 0.5, 0.5, 0.75), 2.0)
FILE_WEIGHTS = Weights((3.0, 3.0, 0.75, 0.4, 0.75), (0.4, 0.85, 0.6, 0.7, 0.8), 2.2)
"""Of ``FIELDS``, for documents and for whole files; see docs/guides/search.md."""


_FOLDER_FILES = frozenset({"__init__", "index", "mod", "lib"})
"""Names of files that stand for their folder."""


_ALL_COMPARED = 200_000
"""Documents up to which a query is compared with every vector: 10 ms of one core."""
_COMPARED = 2_000
"""Documents of a larger collection that a query is compared with, of each of two kinds."""


@dataclass(frozen=True)
class Vectors:
    """Vectors by the number of their text.

    Args:
        numbers: Number of each text.
        rows: Their vectors, shape (texts, width).
    """

    numbers: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.float16]

    @cached_property
    def places(self) -> dict[int, int]:
        """Row of each number."""
        return {int(number): place for place, number in enumerate(self.numbers)}


@dataclass(frozen=True)
class Collection:
    """Documents and the files that they are of.

    Args:
        documents: Rows of ``DOCUMENTS``.
        files: Rows of ``FILES``.
        of_units: Postings of the documents.
        of_files: Postings of the files, each as all of its documents.
        vectors: A row a document, length 1 or all zero; None without an encoder.
    """

    documents: pl.DataFrame
    files: pl.DataFrame
    of_units: Postings
    of_files: Postings
    vectors: npt.NDArray[np.float16] | None

    @cached_property
    def embedded(self) -> Vectors | None:
        """The vectors of the texts that have one."""
        if self.vectors is None:
            return None
        has = ~self.unembedded
        return Vectors(self.documents["text"].to_numpy()[has], self.vectors[has])

    @cached_property
    def unembedded(self) -> npt.NDArray[np.bool_]:
        """Which documents have no vector."""
        if self.vectors is None:
            return np.ones(self.documents.height, dtype=bool)
        return ~np.asarray(self.vectors.any(axis=1), dtype=bool)

    @cached_property
    def file_of(self) -> npt.NDArray[np.int32]:
        """Number of the file of each document."""
        return self.documents["file"].to_numpy()

    @cached_property
    def directions(self) -> Floats:
        """The vectors as they are multiplied; half precision is what is stored."""
        if self.vectors is None:
            return np.zeros((self.documents.height, 0), dtype=np.float32)
        return self.vectors.astype(np.float32)

    def likeness(
        self, vector: Floats, shown: npt.NDArray[np.bool_], scores: Floats
    ) -> Floats | None:
        """Cosine of each document to a query, at least 0; None without vectors.

        In a collection of more than ``_ALL_COMPARED`` documents only the likeliest of those shown
        are compared, by the signs of their numbers (Charikar 2002), and those with the highest
        other scores; the rest have 0.

        Args:
            vector: Of the query, length 1.
            shown: Documents that may be results.
            scores: Other scores of the documents.
        """
        if self.vectors is None:
            return None
        if self.documents.height <= _ALL_COMPARED:
            exact: Floats = np.maximum(0, self.directions @ vector)
            return exact
        places = np.flatnonzero(shown)
        if len(places) > 2 * _COMPARED:
            near = _lowest(np.where(shown, self._signs_apart(vector), self.vectors.shape[1] + 1))
            high = _lowest(np.where(shown, -scores, 0))
            places = np.union1d(near, high[shown[high]])
        likeness = np.zeros(self.documents.height, dtype=np.float32)
        likeness[places] = np.maximum(0, self.vectors[places].astype(np.float32) @ vector)
        return likeness

    def _signs_apart(self, vector: Floats) -> npt.NDArray[np.uint16]:
        """In how many numbers each document's vector has another sign than this one."""
        apart = np.zeros(self.documents.height, dtype=np.uint16)
        for word, signs in zip(_signs(vector[None])[:, 0], self.signs, strict=True):
            apart += np.bitwise_count(signs ^ word)
        return apart

    @cached_property
    def signs(self) -> npt.NDArray[np.uint64]:
        """Signs of the vectors, 64 in a word, shape (words, documents)."""
        return _signs(self.directions if self.vectors is None else self.vectors)

    @cached_property
    def tests(self) -> npt.NDArray[np.bool_]:
        """Which documents are in files of tests."""
        return self.files["is_test"].to_numpy()[self.file_of]

    @cached_property
    def generated(self) -> npt.NDArray[np.bool_]:
        """Which documents are in generated files."""
        return self.files["generated"].to_numpy()[self.file_of]

    @cached_property
    def prose(self) -> npt.NDArray[np.bool_]:
        """Which documents are in files of prose or data."""
        not_code = self.files["language"].is_null() | self.files["language"].is_in(
            [name for name in NOT_CODE if name]
        )
        return not_code.to_numpy()[self.file_of]

    @cached_property
    def names(self) -> list[str]:
        """Name of each document."""
        return self.documents["name"].to_list()

    @cached_property
    def left_over(self) -> npt.NDArray[np.bool_]:
        """Which documents are what no unit of a file of code holds."""
        return (self.documents["kind"] == "file").to_numpy() & ~self.prose

    @cached_property
    def stubs(self) -> npt.NDArray[np.bool_]:
        """Which documents only declare what another one of the same name defines."""
        declaring = self.files["path"].str.contains(r"\.(?:pyi|d\.[cm]?ts)$").to_numpy()
        in_stubs: npt.NDArray[np.bool_] = declaring[self.file_of]
        names = self.documents["name"]
        defined = names.is_in(names.filter(~in_stubs).implode()).to_numpy()
        return np.asarray(in_stubs & defined, dtype=bool)

    @cached_property
    def simple_names(self) -> dict[str, list[int]]:
        """Documents by the last part of their names."""
        places: dict[str, list[int]] = {}
        units = self.documents.with_row_index().filter(pl.col("kind").is_in(UNITS))
        for place, name in units.select("index", "name").iter_rows():
            places.setdefault(same_name(name.rpartition(".")[2]), []).append(place)
        return places

    @cached_property
    def by_ending(self) -> dict[str, list[int]]:
        """Files by each ending of their paths, without the ending of the name."""
        places: dict[str, list[int]] = {}
        for number, path in enumerate(self.files["path"]):
            parts = same_name(path).lower().split("/")
            name = parts[-1]
            stem = name.rpartition(".")[0] or name
            if stem in _FOLDER_FILES and len(parts) > 1:
                parts, stem = parts[:-1], parts[-2]
            for start in range(max(0, len(parts) - 6), len(parts)):
                places.setdefault("/".join([*parts[start:-1], stem]), []).append(number)
        return places


@dataclass(frozen=True)
class Known:
    """Statistics that documents added later are scored by."""

    of_units: Statistics
    of_files: Statistics


@dataclass(frozen=True)
class TermFrequencies:
    """Frequencies of terms in each field of documents; what postings are made from."""

    documents: pl.DataFrame
    files: pl.DataFrame
    fields: tuple[sparse.csr_matrix, ...]
    texts: tuple[str, ...]

    def in_files(self) -> tuple[sparse.csr_matrix, ...]:
        """The same by file; a path counts once and not with each document."""
        count = self.documents.height
        places = (self.documents["file"].to_numpy(), np.arange(count))
        ones = np.ones(count, dtype=np.float32)
        sums = sparse.csr_matrix((ones, places), shape=(self.files.height, count))
        together = [sums @ matrix for matrix in self.fields]
        per_file = np.maximum(1, np.asarray(sums.sum(axis=1)).ravel())
        together[0] = sparse.diags((1 / per_file).astype(np.float32)) @ together[0]
        return tuple(sparse.csr_matrix(matrix) for matrix in together)


def count(files: Iterable[FileText], vocabulary: Vocabulary) -> TermFrequencies:
    """Count the terms of all documents; the vocabulary grows."""
    rows: list[tuple[object, ...]] = []
    listed: list[tuple[object, ...]] = []
    counts = [FieldTermCounts() for _ in FIELDS]
    texts: list[str] = []
    for number, file in enumerate(files):
        listed.append(tuple(getattr(file, name) for name in FILES))
        for document in file.documents:
            for field_counts, text in zip(counts, document.texts, strict=True):
                field_counts.add(len(rows), text, vocabulary)
            text = embedded_text(document, file)
            lines = (document.start_line, document.end_line)
            facts = (text_number(text), document.category, document.complexity)
            rows.append((number, document.kind, document.name, *lines, *facts))
            texts.append(text)
    return TermFrequencies(
        pl.DataFrame(rows, schema=DOCUMENTS, orient="row"),
        pl.DataFrame(listed, schema=FILES, orient="row"),
        tuple(one.matrix(len(rows), len(vocabulary)) for one in counts),
        tuple(texts),
    )


def collect(
    counted: TermFrequencies,
    known: Known | None,
    encode: Encode | None,
    before: Vectors | None = None,
    most_embedded: int | None = None,
) -> tuple[Collection, Known]:
    """Make the postings, and the vectors if there is an encoder or there are vectors already.

    Args:
        counted: Frequencies.
        known: Statistics of the index that these documents are added to; None for a new one.
        encode: The encoder; None to do without, so that only texts in ``before`` have vectors.
        before: Vectors of the same encoder; texts that are the same are not embedded again.
        most_embedded: Most texts that are embedded; None for all.
    """
    in_files = counted.in_files()
    known = known or Known(statistics(counted.fields), statistics(in_files))
    dense = encode is not None or before is not None
    vectors = _embed(counted, encode, before, most_embedded) if dense else None
    collection = Collection(
        counted.documents,
        counted.files,
        postings(counted.fields, known.of_units, UNIT_WEIGHTS),
        postings(in_files, known.of_files, FILE_WEIGHTS),
        vectors,
    )
    return collection, known


def _embed(
    counted: TermFrequencies, encode: Encode | None, before: Vectors | None, most: int | None
) -> npt.NDArray[np.float16]:
    """A vector for each text that is not empty, and zeros for the others.

    Args:
        counted: The documents.
        encode: The encoder; None if nothing is embedded anew.
        before: Vectors that are taken where the text is the same.
        most: Most texts that are embedded anew; those beyond get zeros. None for all.
    """
    numbers = counted.documents["text"].to_numpy()
    known = before.places if before is not None else {}
    at = np.array([known.get(int(number), -1) for number in numbers], dtype=np.int64)
    new = [place for place, text in enumerate(counted.texts) if text and at[place] < 0][:most]
    made = None
    if encode is not None:
        made = encode([counted.texts[place] for place in new] or [""])
    width = before.rows.shape[1] if before is not None else made.shape[1] if made is not None else 0
    vectors = np.zeros((len(counted.texts), width), dtype=np.float16)
    if made is not None:
        vectors[new] = made[: len(new)]
    if before is not None:
        vectors[at >= 0] = before.rows[at[at >= 0]]
    return vectors


def _signs(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    packed = np.packbits(rows > 0, axis=1)
    whole = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(whole.view(np.uint64).T)


def _lowest(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.argpartition(values, _COMPARED)[:_COMPARED]
