"""Whether a task is like those that the router knows: a score from 0 to 1.

Nobody logs tasks that belong to no master, so they are made out of those that there are: for a part
of the masters at a time, their tasks are looked at as if these masters were unknown. What they look
like then (how much the kernel regression says for any master, how near the nearest tasks are) is
set against tasks looked at out of fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features, Indices
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.kernel_ridge import Kernel
from cortex_pipelines.routing.models.knn import Retrieval

NEAREST = 5
_GROUPS = 3
"""Parts of the masters that are left out one after the other."""

_FAMILIAR = 4.0
"""Logit of a task as familiar as known ones, should there be too little to learn from."""


@dataclass(frozen=True)
class Scope:
    """What tells known from unknown.

    Args:
        weights: Of each sign (see ``signs``), the bias last.
    """

    weights: tuple[float, ...]

    def score(self, signs: Doubles) -> Doubles:
        """0 to 1 for each task; low where it is like none that is known."""
        logits = signs @ np.asarray(self.weights[:-1]) + self.weights[-1]
        found: Doubles = 1.0 / (1.0 + np.exp(-np.clip(logits, -50, 50)))
        return found


def signs(features: Features, kernel: Kernel, retrieval: Retrieval) -> Doubles:
    """Signs that a task is familiar, shape (tasks, 4).

    The kernel's highest membership and how much it is above the second, the cosine of the nearest
    task, and the mean of the five nearest.
    """
    _, cosines = retrieval.nearest(features, NEAREST)
    return signs_of(kernel.raw(features), cosines)


def signs_of(raw: Doubles, cosines: Floats) -> Doubles:
    """Signs, what the kernel says and the cosines of the nearest tasks being known."""
    cosines = cosines[:, :NEAREST]
    top = np.sort(raw, axis=1)[:, ::-1]
    second = top[:, 1] if top.shape[1] > 1 else np.zeros(len(top))
    return np.stack([top[:, 0], top[:, 0] - second, cosines[:, 0], cosines.mean(axis=1)], axis=1)


def learn_scope(known: Doubles, training: TrainingData) -> Scope:
    """Learn to tell known tasks from made-up unknown ones.

    Args:
        known: Signs of tasks, out of fold.
        training: All tasks.
    """
    groups = np.arange(training.masters) % _GROUPS
    unknown = []
    for group in range(_GROUPS):
        left_out = groups[training.labels] == group
        if left_out.any() and len(np.unique(training.labels[~left_out])) > 1:
            unknown.append(_as_unknown(training, left_out))
    if not unknown:
        return Scope((0.0, 0.0, 4 * _FAMILIAR, 0.0, -2 * _FAMILIAR))
    return Scope(_logistic(known, np.concatenate(unknown)))


def _as_unknown(training: TrainingData, left_out: Indices) -> Doubles:
    kept = training.take(np.flatnonzero(~left_out))
    features = training.features.take(np.flatnonzero(left_out))
    return signs(features, Kernel.fit(kept), Retrieval.fit(kept))


def _logistic(known: Doubles, unknown: Doubles) -> tuple[float, ...]:
    """Weights of signs that are not negative: more familiar never means less in scope."""
    from scipy.optimize import minimize

    inputs = np.concatenate([known, unknown])
    wanted = np.concatenate([np.ones(len(known)), np.zeros(len(unknown))])
    shares = np.where(wanted > 0, 0.5 / len(known), 0.5 / len(unknown))

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        logits = inputs @ weights[:-1] + weights[-1]
        chance = 1.0 / (1.0 + np.exp(-np.clip(logits, -50, 50)))
        error = (chance - wanted) * shares
        value = (np.logaddexp(0.0, logits) - wanted * logits) @ shares
        decay = 1e-4 * weights[:-1]
        gradient = np.append(inputs.T @ error + decay, error.sum())
        return float(value + decay @ weights[:-1] / 2), gradient

    size = inputs.shape[1]
    found = minimize(
        loss,
        np.zeros(size + 1),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * size + [(None, None)],
    )
    return tuple(round(float(weight), 6) for weight in found.x)


def ranked_area(known: Sequence[float], unknown: Sequence[float]) -> float:
    """Chance that a known task has a higher score than an unknown one (AUROC); ties count half."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known, unknown]))
    above = ranks[: len(known)].sum() - len(known) * (len(known) + 1) / 2
    return float(above / (len(known) * len(unknown)))
