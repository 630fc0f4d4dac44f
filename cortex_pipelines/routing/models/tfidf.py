"""One-vs-rest logistic regression on TF-IDF."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.softmax import log_softmax

_STEPS = 12
"""Passes of the dual solver. It has not converged by then; the rest changes no decision in five
folds of Banking77 and takes three times as long."""

_UNSEEN = -12.0
"""Logit of a master without tasks."""


class TfidfLogreg:
    """Logistic regression on TF-IDF; weights (terms, masters), biases (masters,)."""

    def __init__(self, weights: Floats, biases: Floats) -> None:
        self._weights, self._biases = weights, biases

    @classmethod
    def fit(cls, training: TrainingData) -> "TfidfLogreg":
        terms = training.features.lexical.shape[1]
        weights = np.zeros((terms, training.masters), dtype=np.float32)
        biases = np.full(training.masters, _UNSEEN, dtype=np.float32)
        present = np.unique(training.labels)
        if len(present) < 2 or not terms:
            biases[present] = 0.0
            return cls(weights, biases)
        matrix = training.features.lexical.astype(np.float64)
        # liblinear lets other threads run; which of them is first changes nothing
        with ThreadPoolExecutor(training.settings.solver_threads) as pool:
            fitted = pool.map(lambda master: _fit_one_vs_rest(training, matrix, master), present)
            for master, (column, bias) in zip(present, fitted, strict=True):
                weights[:, master] = column
                biases[master] = bias
        return cls(weights, biases)

    def scores(self, features: Features) -> Doubles:
        return log_softmax(self.logits(features))

    def logits(self, features: Features) -> Doubles:
        """One-vs-rest logits; low for all masters where no term is known."""
        logits: Doubles = np.asarray(features.lexical @ self._weights, dtype=np.float64) + self._biases
        return logits

    def arrays(self) -> Mapping[str, Floats]:
        return {"weights": self._weights, "biases": self._biases}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> "TfidfLogreg":
        return cls(arrays["weights"], arrays["biases"])


def _fit_one_vs_rest(training: TrainingData, matrix: object, master: int) -> tuple[Floats, float]:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    solver = LogisticRegression(
        C=training.settings.lexical_penalty,
        solver="liblinear",
        dual=True,
        max_iter=_STEPS,
        random_state=training.settings.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(matrix, training.labels == master, sample_weight=training.weights)
    return solver.coef_[0].astype(np.float32), float(solver.intercept_[0])
