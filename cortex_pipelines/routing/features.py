"""Features of tasks for the candidate models: text, embedding, word and character counts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    length 1; ``projected`` (tasks, dimensions); ``lexical`` sparse TF-IDF of words and letters.
    """

    texts: tuple[str, ...]
    embeddings: Floats
    sentence: Floats
    projected: Floats
    lexical: Any

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, indices: Indices) -> "Features":
        return Features(
            tuple(self.texts[index] for index in indices),
            self.embeddings[indices],
            self.sentence[indices],
            self.projected[indices],
            self.lexical[indices],
        )


class FeatureExtractor:
    """Fitted on texts without labels.

    ``components`` are principal components, (width, dimensions); ``terms`` and ``weights`` (inverse document
    frequencies) are of words and of letters.
    """

    def __init__(
        self,
        mean: Floats,
        components: Floats,
        terms: tuple[Sequence[str], Sequence[str]],
        weights: tuple[Floats, Floats],
    ) -> None:
        self._mean, self._components = mean, components
        self._terms, self._weights = terms, weights
        words, letters = terms
        self._counters = (_Counter(0, words, 0, weights[0]), _Counter(1, letters, len(words), weights[1]))

    @classmethod
    def fit(cls, texts: Sequence[str], embeddings: Floats, dimensions: int) -> "FeatureExtractor":
        terms, weights = [], []
        for level in (0, 1):
            names, inverse = _count(level, texts)
            terms.append(names)
            weights.append(inverse)
        mean, components = _components(embeddings, dimensions)
        return cls(mean, components, (terms[0], terms[1]), (weights[0], weights[1]))

    def features(self, texts: Sequence[str], embeddings: Floats) -> Features:
        from scipy.sparse import csr_matrix

        columns: list[int] = []
        values: list[Floats] = []
        ends = [0]
        for text in texts:
            clipped = _clean(text)
            for counter in self._counters:
                term_columns, weights = counter.weigh(clipped)
                columns += term_columns
                values.append(weights)
            ends.append(len(columns))
        lexical = csr_matrix(
            (np.concatenate([*values, _NOTHING]), columns, ends),
            shape=(len(texts), sum(len(names) for names in self._terms)),
        )
        return Features(
            tuple(texts),
            embeddings,
            sentence_part(embeddings),
            ((embeddings - self._mean) @ self._components).astype(np.float32),
            lexical,
        )

    def arrays(self) -> dict[str, Floats]:
        return {
            "mean": self._mean,
            "components": self._components,
            "words": self._weights[0],
            "letters": self._weights[1],
        }

    def vocabulary(self) -> dict[str, list[str]]:
        return {"words": list(self._terms[0]), "letters": list(self._terms[1])}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> "FeatureExtractor":
        return cls(
            arrays["mean"],
            arrays["components"],
            (vocabulary["words"], vocabulary["letters"]),
            (arrays["words"], arrays["letters"]),
        )


def _clean(text: str) -> str:
    clipped = text[:_MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
    return clipped if clipped.isascii() else fold(clipped)


def _options(level: int) -> dict[str, Any]:
    """Word 1-2-grams and character 2-5-grams: the usual baseline for short texts."""
    words: dict[str, Any] = {"tokenizer": folded_words, "token_pattern": None, "ngram_range": (1, 2)}
    words |= {"lowercase": False}  # .NET is told by its case
    letters = {"analyzer": "char_wb", "ngram_range": (2, 5)}
    return {**(letters if level else words), "sublinear_tf": True, "dtype": np.float32}


def _count(level: int, texts: Sequence[str]) -> tuple[list[str], Floats]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # letters that only one task has cost memory and say little
    fewest = 2 if level and len(texts) > 1 else 1
    counter = TfidfVectorizer(**_options(level), min_df=fewest)
    try:
        counter.fit([_clean(text) for text in texts])
    except ValueError:  # an empty vocabulary, or none left
        return [], np.zeros(0, dtype=np.float32)
    return counter.get_feature_names_out().tolist(), counter.idf_.astype(np.float32)


_CACHED_WORDS, _LONG_WORD = 50_000, 40
"""Words whose character n-grams are cached, and length from which a word is not cached."""


class _Counter:
    """TF-IDF weights of one text, as ``TfidfVectorizer.transform`` but without its checks.

    They take ten times as long as the counting, which matters where a decision takes milliseconds.
    """

    def __init__(self, level: int, terms: Sequence[str], first: int, weights: Floats) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._terms_of: Callable[[str], list[str]] = TfidfVectorizer(**_options(level)).build_analyzer()
        self._columns = {term: first + number for number, term in enumerate(terms)}
        self._first, self._weights = first, weights
        self._within_words = bool(level)
        # a task's words are seldom new, and the letters within a word are always the same
        self._columns_of_word = lru_cache(_CACHED_WORDS)(self._known_columns)

    def weigh(self, text: str) -> tuple[list[int], Floats]:
        """Sorted columns and their weights (1 + log count) x idf, normalised to length 1."""
        counts: dict[int, int] = {}
        for column in self._columns_in(text) if self._columns else ():
            counts[column] = counts.get(column, 0) + 1
        columns = sorted(counts)
        if not columns:
            return [], _NOTHING
        occurrences = np.array([counts[column] for column in columns], dtype=np.float32)
        positions = np.array(columns) - self._first
        tfidf = (1.0 + np.log(occurrences)) * self._weights[positions]
        normalised: Floats = (tfidf / np.sqrt((tfidf * tfidf).sum())).astype(np.float32)
        return columns, normalised

    def _columns_in(self, text: str) -> Iterator[int]:
        if not self._within_words:
            yield from self._known_columns(text)
            return
        for word in text.lower().split():
            yield from (self._columns_of_word if len(word) < _LONG_WORD else self._known_columns)(word)

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
