"""Encode features numerically for linear models, fitted on training tasks only.

Missing fields are not a feature. Which fields a record has depends on its file, and some files hold
only finished tasks: a model would learn that from the gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.words import folded_words


def _long_words(text: str) -> list[str]:
    return [word for word in folded_words(text) if len(word) > 1 or not word.isascii()]


_TFIDF_OPTIONS: dict[str, Any] = {
    **{"tokenizer": _long_words, "token_pattern": None, "lowercase": False},
    **{"sublinear_tf": True},
}


@dataclass(frozen=True)
class Columns:
    """``numbers`` are taken as they are, ``amounts`` (not below 0) by their logarithm, ``categories`` one-hot."""

    numbers: tuple[str, ...]
    amounts: tuple[str, ...]
    categories: tuple[str, ...]
    text: str | None


COLUMNS = Columns(
    numbers=("confidence", "margin", "question"),
    amounts=(*("characters", "words", "code_words", "earlier_outcomes", "recent_seconds"), "seconds_since_last"),
    categories=("master", "priority", "hour", "weekday"),
    text="text",
)
"""The features of ``schemas.FEATURES``."""


@dataclass(frozen=True)
class Encoding:
    """Encoding of features as a matrix; ``centre`` stands in for a missing number."""

    columns: Columns
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    categories: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]
    idf: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = len(self.columns.numbers) + len(self.columns.amounts)
        lengths = (len(self.centre), len(self.spread), len(self.categories), len(self.idf))
        if lengths != (numbers, numbers, len(self.columns.categories), len(self.words)):
            raise ValueError("an encoding needs one centre and spread per number, and one idf per word")

    @property
    def width(self) -> int:
        return len(self.centre) + sum(map(len, self.categories)) + len(self.words)

    @classmethod
    def fit(cls, rows: pl.DataFrame, columns: Columns, vocabulary: int, min_documents: int) -> "Encoding":
        numbers = _numbers(rows, columns)
        present = ~np.isnan(numbers)
        count = np.maximum(present.sum(axis=0), 1)
        centre = np.where(present, numbers, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(present, numbers - centre, 0.0) ** 2).sum(axis=0) / count)
        words, idf = _vocabulary(rows, columns.text, vocabulary, min_documents)
        return cls(
            columns=columns,
            centre=tuple(centre.tolist()),
            spread=tuple(np.where(spread > 0, spread, 1.0).tolist()),
            categories=tuple(tuple(sorted(set(_category(rows, name)) - {""})) for name in columns.categories),
            words=words,
            idf=idf,
        )

    def matrix(self, rows: pl.DataFrame) -> Any:
        from scipy import sparse

        numbers = _numbers(rows, self.columns)
        scaled = np.nan_to_num((numbers - np.array(self.centre)) / np.array(self.spread))
        one_hot = [
            np.array([[value == category for category in values] for value in _category(rows, name)])
            for name, values in zip(self.columns.categories, self.categories, strict=True)
        ]
        parts = [scaled, *one_hot]
        dense = [sparse.csr_matrix(p.reshape(rows.height, -1).astype(np.float64)) for p in parts]
        return sparse.hstack([*dense, self._texts(rows)], format="csr")

    def _texts(self, rows: pl.DataFrame) -> Any:
        from scipy import sparse
        from sklearn.feature_extraction.text import TfidfVectorizer

        if not self.words or self.columns.text is None:
            return sparse.csr_matrix((rows.height, 0))
        vectorizer = TfidfVectorizer(**_TFIDF_OPTIONS, vocabulary=list(self.words))
        vectorizer.idf_ = np.array(self.idf)
        return vectorizer.transform(_texts_of(rows, self.columns.text))


def _numbers(rows: pl.DataFrame, columns: Columns) -> np.ndarray:
    plain = rows.select(pl.col(columns.numbers).cast(pl.Float64))
    amounts = rows.select(pl.col(columns.amounts).cast(pl.Float64).clip(0.0).log1p())
    blocks = [frame.fill_null(float("nan")).to_numpy() for frame in (plain, amounts) if frame.width]
    return np.hstack([*blocks, np.zeros((rows.height, 0))])


def _category(rows: pl.DataFrame, name: str) -> list[str]:
    return [str(value) for value in rows[name].cast(pl.String).fill_null("")]


def _texts_of(rows: pl.DataFrame, name: str) -> list[str]:
    return [str(text) for text in rows[name].fill_null("")]


def _vocabulary(
    rows: pl.DataFrame, name: str | None, max_words: int, min_documents: int
) -> tuple[tuple[str, ...], tuple[float, ...]]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if name is None or not max_words:
        return (), ()
    vectorizer = TfidfVectorizer(**_TFIDF_OPTIONS, min_df=min_documents, max_features=max_words)
    try:
        vectorizer.fit(_texts_of(rows, name))
    except ValueError:  # no word stands in enough texts
        return (), ()
    words: Sequence[str] = vectorizer.get_feature_names_out().tolist()
    return tuple(words), tuple(vectorizer.idf_.tolist())
