"""Logistic regression on what the sentence encoder pools."""

from collections.abc import Mapping

import numpy as np

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Views
from cortex_pipelines.routing.models.base import Lesson
from cortex_pipelines.routing.models.softmax import fit_softmax, log_softmax


class Semantic:
    """A trained rung.

    Args:
        weights: Shape (dimensions + 1, masters), the biases last.
    """

    def __init__(self, weights: Floats) -> None:
        self._weights = weights

    @classmethod
    def fit(cls, lesson: Lesson) -> "Semantic":
        """Train one."""
        penalty = lesson.settings.semantic_penalty
        return cls(
            fit_softmax(
                lesson.views.projected, lesson.labels, lesson.weights, lesson.masters, penalty
            )
        )

    def scores(self, views: Views) -> Doubles:
        """See ``Rung``."""
        logits = views.projected @ self._weights[:-1] + self._weights[-1]
        return log_softmax(logits.astype(np.float64))

    def arrays(self) -> Mapping[str, Floats]:
        """See ``Rung``."""
        return {"weights": self._weights}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "Semantic":
        """Of what ``arrays`` gave."""
        return cls(arrays["weights"])
