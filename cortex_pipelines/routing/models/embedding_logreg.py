"""Logistic regression on the sentence embedding."""

from collections.abc import Mapping

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.softmax import fit_softmax, log_softmax


class EmbeddingLogreg:
    """Logistic regression on the embedding; weights of shape (dimensions + 1, masters), the biases last."""

    def __init__(self, weights: Floats) -> None:
        self._weights = weights

    @classmethod
    def fit(cls, training: TrainingData) -> "EmbeddingLogreg":
        penalty = training.settings.semantic_penalty
        return cls(
            fit_softmax(training.features.projected, training.labels, training.weights, training.masters, penalty)
        )

    def scores(self, features: Features) -> Doubles:
        logits = features.projected @ self._weights[:-1] + self._weights[-1]
        return log_softmax(logits.astype(np.float64))

    def arrays(self) -> Mapping[str, Floats]:
        return {"weights": self._weights}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "EmbeddingLogreg":
        return cls(arrays["weights"])
