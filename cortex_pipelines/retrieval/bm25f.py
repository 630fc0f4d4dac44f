"""BM25F (Robertson, Zaragoza, Taylor 2004): BM25 over fields that count differently.

The frequencies of a term in the fields are added up, each divided by the field's relative length and weighted, before
they saturate once. All of that is computed when the index is made: a query only adds up rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cortex_pipelines.retrieval.queries import terms_of_word
from cortex_pipelines.retrieval.vectors import Floats
from cortex_pipelines.words import split_words


@dataclass(frozen=True)
class Bm25fWeights:
    """Of each field its weight and how much its length counts, 0 to 1 (``b``); ``saturation`` is ``k1``."""

    fields: tuple[float, ...]
    lengths: tuple[float, ...]
    saturation: float


class Vocabulary:
    def __init__(self, names: Sequence[str] = ()) -> None:
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(names)}
        self._words: dict[str, tuple[int, ...]] = {}

    def word_terms(self, word: str) -> tuple[int, ...]:
        word_numbers = self._words.get(word)
        if word_numbers is None:
            numbers = self.numbers
            word_numbers = tuple(numbers.setdefault(t, len(numbers)) for t in terms_of_word(word))
            self._words[word] = word_numbers
        return word_numbers

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass
class FieldTermCounts:
    rows: list[int] = field(default_factory=list)
    terms: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def add(self, row: int, text: str, vocabulary: Vocabulary) -> None:
        term_counts: Counter[int] = Counter()
        for word, count in Counter(split_words(text)).items():
            for term in vocabulary.word_terms(word):
                term_counts[term] += count
        self.rows += [row] * len(term_counts)
        self.terms += term_counts.keys()
        self.values += term_counts.values()

    def matrix(self, rows: int, terms: int) -> sparse.csr_matrix:
        """Shape (documents, terms)."""
        data = np.array(self.values, dtype=np.float32)
        return sparse.csr_matrix((data, (self.rows, self.terms)), shape=(rows, terms))


@dataclass(frozen=True)
class TermStatistics:
    """Term statistics of a collection, by which documents added later are scored.

    ``lengths`` are the fields' means; ``unseen`` is the inverse document frequency of a new term."""

    idf: Floats
    unseen: float
    lengths: tuple[float, ...]


def term_statistics(fields: Sequence[sparse.csr_matrix]) -> TermStatistics:
    documents = fields[0].shape[0]
    all_fields = sum(fields[1:], start=fields[0])
    frequency = np.bincount(all_fields.indices, minlength=all_fields.shape[1])
    idf = np.log1p((documents - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    lengths = tuple(float(matrix.sum()) / max(1, documents) for matrix in fields)
    return TermStatistics(idf, float(np.log1p((documents + 0.5) / 0.5)), lengths)


@dataclass(frozen=True)
class Postings:
    """What each term adds to the score of each document that has it.

    A term's documents begin at ``starts[term]`` and end at ``starts[term + 1]``."""

    starts: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int32]
    impacts: Floats
    size: int

    def scores(self, query: Mapping[int, float]) -> Floats:
        total = np.zeros(self.size, dtype=np.float32)
        for term, weight in query.items():
            if term + 1 < len(self.starts):
                span = slice(self.starts[term], self.starts[term + 1])
                total[self.documents[span]] += np.float32(weight) * self.impacts[span]
        return total

    def impact(self, term: int, document: int) -> float:
        if term + 1 >= len(self.starts):
            return 0.0
        start, end = int(self.starts[term]), int(self.starts[term + 1])
        position = start + int(np.searchsorted(self.documents[start:end], document))
        if position == end or self.documents[position] != document:
            return 0.0
        return float(self.impacts[position])

    def save(self, folder: Path, name: str) -> None:
        for part in ("starts", "documents", "impacts"):
            np.save(folder / f"{name}_{part}.npy", getattr(self, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str, size: int) -> "Postings":
        starts, documents, impacts = (
            np.asarray(np.load(folder / f"{name}_{part}.npy", mmap_mode="r", allow_pickle=False))
            for part in ("starts", "documents", "impacts")
        )
        return cls(starts, documents, impacts, size)


def build_postings(fields: Sequence[sparse.csr_matrix], statistics: TermStatistics, weights: Bm25fWeights) -> Postings:
    """Score documents by the frequencies of terms in their fields, each of shape (documents, terms)."""
    rows, terms = fields[0].shape
    total = sparse.csr_matrix((rows, terms), dtype=np.float32)
    for matrix, weight, b, mean in zip(fields, weights.fields, weights.lengths, statistics.lengths, strict=True):
        if weight and matrix.nnz:
            length = np.asarray(matrix.sum(axis=1)).ravel()
            scale = weight / (1 - b + b * length / max(mean, 1e-9))
            total = total + sparse.diags(scale.astype(np.float32)) @ matrix
    by_term = total.tocsc()
    by_term.sort_indices()
    frequency = by_term.data
    term = np.repeat(np.arange(terms), np.diff(by_term.indptr))
    new_terms = np.full(max(0, terms - len(statistics.idf)), statistics.unseen, dtype=np.float32)
    idf = np.concatenate([statistics.idf, new_terms])  # the vocabulary may have grown since
    impacts = idf[term] * frequency / (weights.saturation + frequency)
    return Postings(by_term.indptr.astype(np.int64), by_term.indices.astype(np.int32), impacts.astype(np.float32), rows)
