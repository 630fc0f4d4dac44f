"""Weighted ensemble of the candidates, with weights learnt out of fold."""

from collections.abc import Sequence

import numpy as np

from cortex_pipelines.routing.features.features import Doubles, Indices
from cortex_pipelines.routing.models.softmax import log_softmax

_PRIOR = 3.0
"""Weight of the plain average, in tasks: with few tasks the weights stay near it."""


def combined(scores: Sequence[Doubles], weights: Sequence[float]) -> Doubles:
    """Normalised log-probabilities of the weighted sum of the candidates' scores.

    The sum of the weights is the inverse of a temperature, so the result is calibrated if the
    weights were learnt out of fold (a product of experts with one temperature each).

    Args:
        scores: Of each candidate, shape (tasks, masters).
        weights: Of each candidate, not negative.
    """
    total = sum(weight * score for weight, score in zip(weights, scores, strict=True))
    return log_softmax(np.asarray(total, dtype=np.float64))


def learn_weights(scores: Sequence[Doubles], labels: Indices, shares: Doubles) -> list[float]:
    """Non-negative weights that maximise the likelihood of the labels.

    The likelihood has a single maximum in the weights.

    Args:
        scores: Of each candidate, out of fold, shape (tasks, masters).
        labels: Number of each task's master.
        shares: Weight of each task.
    """
    from scipy.optimize import minimize

    stacked = np.stack(scores)
    rows = np.arange(len(labels))
    right = stacked[:, rows, labels]
    start = np.full(len(scores), 1.0 / len(scores))
    total = float(shares.sum())

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        logs = log_softmax(np.tensordot(weights, stacked, axes=1))
        expected = np.einsum("rtm,tm->rt", stacked, np.exp(logs), optimize=True)
        gradient = ((expected - right) * shares).sum(axis=1) / total
        away = weights - start
        value = -float((logs[rows, labels] * shares).sum()) / total
        pull = _PRIOR / total
        return value + pull * float((away**2).sum()), gradient + 2 * pull * away

    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(scores))
    return [round(float(weight), 6) for weight in optimum.x]


def cross_fitted(
    scores: Sequence[Doubles], labels: Indices, shares: Doubles, folds: Indices
) -> Doubles:
    """Log-probabilities of each fold, with weights learnt on the other folds.

    So what is said of the ensemble, and of how well it is calibrated, is said of tasks that
    neither the candidates nor the weights have seen.
    """
    scores_out_of_fold = np.zeros_like(scores[0])
    for fold in np.unique(folds):
        held, others = folds == fold, folds != fold
        if not others.any():
            return combined(scores, [1.0 / len(scores)] * len(scores))
        weights = learn_weights([s[others] for s in scores], labels[others], shares[others])
        scores_out_of_fold[held] = combined([score[held] for score in scores], weights)
    return scores_out_of_fold
