"""TF-IDF with logistic regression, one master against the rest."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Views
from cortex_pipelines.routing.models.base import Lesson
from cortex_pipelines.routing.models.softmax import log_softmax

_STEPS = 12
"""Passes of the dual solver. It has not converged by then; what remains changes no decision that
five folds of Banking77 could show, and costs three times as long."""

_UNSEEN = -12.0
"""Logit of a master that has no task here."""


class Lexical:
    """A trained rung.

    Args:
        weights: Shape (terms, masters).
        biases: Shape (masters,).
    """

    def __init__(self, weights: Floats, biases: Floats) -> None:
        self._weights, self._biases = weights, biases

    @classmethod
    def fit(cls, lesson: Lesson) -> "Lexical":
        """Train one."""
        terms = lesson.views.lexical.shape[1]
        weights = np.zeros((terms, lesson.masters), dtype=np.float32)
        biases = np.full(lesson.masters, _UNSEEN, dtype=np.float32)
        present = np.unique(lesson.labels)
        if len(present) < 2 or not terms:
            biases[present] = 0.0
            return cls(weights, biases)
        matrix = lesson.views.lexical.astype(np.float64)
        # liblinear lets other threads run; which of them is first changes nothing
        with ThreadPoolExecutor(lesson.settings.solver_threads) as pool:
            fitted = pool.map(lambda master: _against_the_rest(lesson, matrix, master), present)
            for master, (column, bias) in zip(present, fitted, strict=True):
                weights[:, master] = column
                biases[master] = bias
        return cls(weights, biases)

    def scores(self, views: Views) -> Doubles:
        """See ``Rung``."""
        return log_softmax(self.logits(views))

    def logits(self, views: Views) -> Doubles:
        """Each master's logit against all others; low for all where nothing is familiar."""
        found: Doubles = np.asarray(views.lexical @ self._weights, dtype=np.float64) + self._biases
        return found

    def arrays(self) -> Mapping[str, Floats]:
        """See ``Rung``."""
        return {"weights": self._weights, "biases": self._biases}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "Lexical":
        """Of what ``arrays`` gave."""
        return cls(arrays["weights"], arrays["biases"])


def _against_the_rest(lesson: Lesson, matrix: object, master: int) -> tuple[Floats, float]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(
        C=lesson.settings.lexical_penalty,
        solver="liblinear",
        dual=True,
        max_iter=_STEPS,
        random_state=lesson.settings.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(matrix, lesson.labels == master, sample_weight=lesson.weights)
    return solver.coef_[0].astype(np.float32), float(solver.intercept_[0])
