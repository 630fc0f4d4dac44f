"""Weighted ensemble of the candidates, with weights learnt out of fold, and its calibration."""

from collections.abc import Sequence
from math import fsum

import numpy as np

from cortex_pipelines.routing.features import Doubles, Indices
from cortex_pipelines.routing.models.linear import log_softmax

_PRIOR = 3.0  # weight of the plain average, in tasks: with few tasks the weights stay near it


def combine(scores: Sequence[Doubles], weights: Sequence[float]) -> Doubles:
    """Normalised log-probabilities of the weighted sum of scores, each (tasks, masters).

    The sum of the weights is the inverse of a temperature, so the result is calibrated if the weights were learnt out
    of fold (a product of experts with one temperature each).
    """
    total = sum(weight * score for weight, score in zip(weights, scores, strict=True))
    return log_softmax(np.asarray(total, dtype=np.float64))


def learn_weights(scores: Sequence[Doubles], labels: Indices, shares: Doubles) -> list[float]:
    """Non-negative weights that maximise the likelihood of the labels, which has a single maximum."""
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
        deviation = weights - start
        value = -float((logs[rows, labels] * shares).sum()) / total
        strength = _PRIOR / total
        return value + strength * float((deviation**2).sum()), gradient + 2 * strength * deviation

    optimum = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * len(scores))
    return [round(float(weight), 6) for weight in optimum.x]


def cross_fit(scores: Sequence[Doubles], labels: Indices, shares: Doubles, folds: Indices) -> Doubles:
    """Log-probabilities of each fold, with weights learnt on the other folds.

    So what is said of the ensemble and its calibration is said of tasks that neither candidates nor weights have seen.
    """
    scores_out_of_fold = np.zeros_like(scores[0])
    for fold in np.unique(folds):
        in_fold, out_of_fold = folds == fold, folds != fold
        if not out_of_fold.any():
            return combine(scores, [1.0 / len(scores)] * len(scores))
        weights = learn_weights([s[out_of_fold] for s in scores], labels[out_of_fold], shares[out_of_fold])
        scores_out_of_fold[in_fold] = combine([score[in_fold] for score in scores], weights)
    return scores_out_of_fold


BINS = 10  # bins of equal width; the usual 15 are nearly empty on a small test set


def reliability(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of tasks per non-empty bin."""
    confidences, correct = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    numbers = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = [numbers == number for number in np.unique(numbers)]
    return [(float(confidences[tasks].mean()), float(correct[tasks].mean()), int(tasks.sum())) for tasks in bins]


def expected_calibration_error(confidence: Sequence[float], right: Sequence[bool]) -> float:
    """Over equal-width bins, weighted by tasks."""
    bins = reliability(confidence, right)
    return fsum(abs(mean_confidence - accuracy) * tasks / len(confidence) for mean_confidence, accuracy, tasks in bins)
