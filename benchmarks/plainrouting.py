"""Simple alternatives to the router that take ten minutes to write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_AT_ONCE = 32
"""Batch size; the default of sentence-transformers."""


def lexical() -> Any:
    """Words and letters, logistic regression: a scikit-learn pipeline."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    return make_pipeline(
        make_union(
            TfidfVectorizer(ngram_range=(1, 2)), TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2)
        ),
        LogisticRegression(max_iter=50),
    )


class PlainEncoder:
    """A sentence encoder by transformers, mean pooling and all, with logistic regression on top.

    It does what sentence-transformers does: texts sorted by length, padded batches.

    Args:
        folder: Weights of the encoder.
    """

    def __init__(self, folder: Path) -> None:
        from sklearn.linear_model import LogisticRegression
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # nosec B615: a local folder
        self._model: Any = AutoModel.from_pretrained(folder).eval()  # nosec B615
        self._head = LogisticRegression(C=10.0, max_iter=200)

    def fit(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Train the logistic regression."""
        self._head.fit(self.embed(texts), labels)

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Probability of each label, shape (texts, labels)."""
        probabilities: np.ndarray = self._head.predict_proba(self.embed(texts))
        return probabilities

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings at length 1, shape (texts, width)."""
        import torch

        order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
        rows: list[Any] = [None] * len(texts)
        with torch.inference_mode():
            for start in range(0, len(order), _AT_ONCE):
                indices = order[start : start + _AT_ONCE]
                encoded = self._tokenizer(
                    [texts[number] for number in indices], padding=True, truncation=True, return_tensors="pt"
                )
                states = self._model(**encoded).last_hidden_state
                mask = encoded["attention_mask"][:, :, None]
                means = (states * mask).sum(dim=1) / mask.sum(dim=1)
                vectors = torch.nn.functional.normalize(means, dim=1).numpy()
                for index, vector in zip(indices, vectors, strict=True):
                    rows[index] = vector
        return np.stack(rows)
