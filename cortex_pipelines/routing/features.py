"""Features of tasks for the candidate models: text, embedding, word and character counts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.embeddings.encoder import Floats, sentence_part
from cortex_pipelines.words import fold, folded_words

Doubles = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_NOTHING = np.zeros(0, dtype=np.float32)

_MIN_VARIANCE_SHARE = 1e-6  # share of the largest variance below which a component is rounding noise
_MAX_CHARACTERS = 20_000  # most characters of a task that are counted, which bounds the cost of huge texts


@dataclass(frozen=True)
class Features:
    """Features of some tasks.

    ``embeddings`` is all that the encoder pools, (tasks, parts x width); ``sentence`` its embedding proper, rows of
    length 1; ``projected`` (tasks, dimensions); ``lexical`` sparse TF-IDF of words and letters. ``asked``: when each
    task is decided, in seconds since 1970, infinite for now and NaN if not known.
    """

    texts: tuple[str, ...]
    embeddings: Floats
    sentence: Floats
    projected: Floats
    lexical: Any
    asked: Doubles

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Indices) -> "Features":
        return Features(
            tuple(self.texts[index] for index in indices),
            self.embeddings[indices],
            self.sentence[indices],
            self.projected[indices],
            self.lexical[indices],
            self.asked[indices],
        )


class FeatureExtractor:
    """Fitted on texts without labels.

    ``arrays`` are ``mean`` and ``components`` (principal components, (width, dimensions)) of the embeddings, and the
    inverse document frequencies of ``words`` and ``letters``, whose terms are in ``vocabulary``.
    """

    def __init__(self, arrays: Mapping[str, Floats], vocabulary: Mapping[str, Sequence[str]]) -> None:
        self.arrays, self.vocabulary = dict(arrays), {level: list(vocabulary[level]) for level in ("words", "letters")}
        words, letters = self.vocabulary.values()
        self._counters = (
            _Counter("words", words, 0, arrays["words"]),
            _Counter("letters", letters, len(words), arrays["letters"]),
        )

    @classmethod
    def fit(cls, texts: Sequence[str], embeddings: Floats, dimensions: int) -> "FeatureExtractor":
        from sklearn.feature_extraction.text import TfidfVectorizer

        mean, components = _components(embeddings, dimensions)
        arrays = {"mean": mean, "components": components}
        vocabulary: dict[str, list[str]] = {}
        for level in ("words", "letters"):
            # letters that only one task has cost memory and say little
            fewest = 2 if level == "letters" and len(texts) > 1 else 1
            counter = TfidfVectorizer(**_options(level), min_df=fewest)
            try:
                counter.fit([_clean(text) for text in texts])
            except ValueError:  # an empty vocabulary, or none left
                vocabulary[level], arrays[level] = [], _NOTHING
            else:
                vocabulary[level] = counter.get_feature_names_out().tolist()
                arrays[level] = counter.idf_.astype(np.float32)
        return cls(arrays, vocabulary)

    def features(
        self, texts: Sequence[str], embeddings: Floats, lexical: Any = None, asked: Doubles | None = None
    ) -> Features:
        """``lexical`` of the texts where it is known; without ``asked`` all are decided now."""
        return Features(
            tuple(texts),
            embeddings,
            sentence_part(embeddings),
            ((embeddings - self.arrays["mean"]) @ self.arrays["components"]).astype(np.float32),
            self.lexical(texts) if lexical is None else lexical,
            np.full(len(texts), np.inf) if asked is None else asked,
        )

    def lexical(self, texts: Sequence[str]) -> Any:
        """Sparse TF-IDF, shape (texts, terms)."""
        from scipy.sparse import csr_matrix

        columns: list[int] = []
        values: list[Floats] = [_NOTHING]
        ends = [0]
        for text in texts:
            clipped = _clean(text)
            for counter in self._counters:
                term_columns, weights = counter.weigh(clipped)
                columns += term_columns
                values.append(weights)
            ends.append(len(columns))
        shape = (len(texts), sum(map(len, self.vocabulary.values())))
        return csr_matrix((np.concatenate(values), columns, ends), shape=shape)


def _clean(text: str) -> str:
    clipped = text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return clipped if clipped.isascii() else fold(clipped)


def _options(level: str) -> dict[str, Any]:
    """Word 1-2-grams and character 2-5-grams: the usual baseline for short texts."""
    words: dict[str, Any] = {"tokenizer": folded_words, "token_pattern": None, "ngram_range": (1, 2)}
    words |= {"lowercase": False}  # .NET is told by its case
    letters = {"analyzer": "char_wb", "ngram_range": (2, 5)}
    return {**(letters if level == "letters" else words), "sublinear_tf": True, "dtype": np.float32}


_CACHED_WORDS, _LONG_WORD = 50_000, 40
"""Words whose character n-grams are cached, and length from which a word is not cached."""


def _word_terms(text: str) -> list[str]:
    """As the analyser of a ``TfidfVectorizer`` with the options of words, whose package is slow to import."""
    words = folded_words(text)
    return [*words, *map(" ".join, pairwise(words))]


def _letter_terms(text: str) -> list[str]:
    terms = []
    for word in text.lower().split():
        padded = f" {word} "
        for length in range(2, 6):
            terms += [padded[start : start + length] for start in range(max(1, len(padded) - length + 1))]
            if len(padded) <= length:
                break
    return terms


class _Counter:
    """TF-IDF weights of one text, as ``TfidfVectorizer.transform`` but without its checks.

    They take ten times as long as the counting, which matters where a decision takes milliseconds.
    """

    def __init__(self, level: str, terms: Sequence[str], first: int, weights: Floats) -> None:
        self._terms_of: Callable[[str], list[str]] = _letter_terms if level == "letters" else _word_terms
        self._columns = {term: first + number for number, term in enumerate(terms)}
        self._first, self._weights = first, weights
        self._within_words = level == "letters"
        # a task's words are seldom new, and the letters within a word are always the same
        self._columns_of_word = lru_cache(_CACHED_WORDS)(self._known_columns)

    def weigh(self, text: str) -> tuple[list[int], Floats]:
        """Sorted columns and their weights (1 + log count) x idf, normalised to length 1."""
        counts: Counter[int] = Counter()
        if self._columns and not self._within_words:
            counts.update(self._known_columns(text))
        for word in text.lower().split() if self._columns and self._within_words else ():
            counts.update((self._columns_of_word if len(word) < _LONG_WORD else self._known_columns)(word))
        columns = sorted(counts)
        if not columns:
            return [], _NOTHING
        occurrences = np.array([counts[column] for column in columns], dtype=np.float32)
        tfidf = (1.0 + np.log(occurrences)) * self._weights[np.array(columns) - self._first]
        normalised: Floats = (tfidf / np.sqrt((tfidf * tfidf).sum())).astype(np.float32)
        return columns, normalised

    def _known_columns(self, text: str) -> list[int]:
        columns = (self._columns.get(term) for term in self._terms_of(text))
        return [column for column in columns if column is not None]


def _components(embeddings: Floats, dimensions: int) -> tuple[Floats, Floats]:
    """Mean and principal components, without those that are rounding noise.

    They are the eigenvectors of whichever is smaller, the covariance or the Gram matrix.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = (embeddings - mean).astype(np.float64)
    tasks, columns = centred.shape
    square = centred @ centred.T if tasks < columns else centred.T @ centred
    values, vectors = np.linalg.eigh(square / tasks)
    rank = max(1, int((values > _MIN_VARIANCE_SHARE * max(values[-1], 1e-12)).sum()))
    components = vectors[:, ::-1][:, : min(dimensions, rank)]
    if tasks < columns:
        components = centred.T @ components
        lengths = np.linalg.norm(components, axis=0)
        components = components / np.where(lengths > 0, lengths, 1.0)
    return mean, np.ascontiguousarray(components, dtype=np.float32)
