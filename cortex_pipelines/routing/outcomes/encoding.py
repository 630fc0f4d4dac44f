"""The features of tasks as a matrix that a model of their outcomes is fitted on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.words import folded_words


def _long_words(text: str) -> list[str]:
    return [word for word in folded_words(text) if len(word) > 1 or not word.isascii()]


_TFIDF: dict[str, Any] = {"tokenizer": _long_words, "token_pattern": None, "lowercase": False, "sublinear_tf": True}


@dataclass(frozen=True)
class Columns:
    """``numbers`` are taken as they are, ``amounts`` (not below 0) by their logarithm, ``categories`` one-hot.

    Missing fields are not a feature. Which fields a record has depends on its file, and some files hold only finished
    tasks: a model would learn that from the gap.
    """

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
    """Features as a matrix, fitted on training tasks only; ``centre`` stands in for a missing number."""

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
        from sklearn.feature_extraction.text import TfidfVectorizer

        numbers = _numbers(rows, columns)
        present = ~np.isnan(numbers)
        count = np.maximum(present.sum(axis=0), 1)
        centre = np.where(present, numbers, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(present, numbers - centre, 0.0) ** 2).sum(axis=0) / count)
        words: list[str] = []
        idf: list[float] = []
        if columns.text is not None and vocabulary:
            vectorizer = TfidfVectorizer(**_TFIDF, min_df=min_documents, max_features=vocabulary)
            try:
                vectorizer.fit(_texts(rows, columns.text))
                words, idf = vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.tolist()
            except ValueError:
                pass  # no word stands in enough texts
        return cls(
            columns=columns,
            centre=tuple(centre.tolist()),
            spread=tuple(np.where(spread > 0, spread, 1.0).tolist()),
            categories=tuple(tuple(sorted(set(_texts(rows, name)) - {""})) for name in columns.categories),
            words=tuple(words),
            idf=tuple(idf),
        )

    def matrix(self, rows: pl.DataFrame) -> Any:
        from scipy import sparse
        from sklearn.feature_extraction.text import TfidfVectorizer

        numbers = _numbers(rows, self.columns)
        parts = [np.nan_to_num((numbers - np.array(self.centre)) / np.array(self.spread))]
        for name, values in zip(self.columns.categories, self.categories, strict=True):
            parts.append(np.array([[value == category for category in values] for value in _texts(rows, name)]))
        blocks = [sparse.csr_matrix(part.reshape(rows.height, -1).astype(np.float64)) for part in parts]
        if self.words and self.columns.text is not None:
            vectorizer = TfidfVectorizer(**_TFIDF, vocabulary=list(self.words))
            vectorizer.idf_ = np.array(self.idf)
            blocks.append(vectorizer.transform(_texts(rows, self.columns.text)))
        return sparse.hstack(blocks, format="csr")


def _numbers(rows: pl.DataFrame, columns: Columns) -> np.ndarray:
    plain = rows.select(pl.col(columns.numbers).cast(pl.Float64))
    amounts = rows.select(pl.col(columns.amounts).cast(pl.Float64).clip(0.0).log1p())
    blocks = [frame.fill_null(float("nan")).to_numpy() for frame in (plain, amounts) if frame.width]
    return np.hstack([*blocks, np.zeros((rows.height, 0))])


def _texts(rows: pl.DataFrame, name: str) -> list[str]:
    return rows[name].cast(pl.String).fill_null("").to_list()
