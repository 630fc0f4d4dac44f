"""Out-of-scope detection: a score from 0 to 1 and its threshold.

Nobody logs requests that belong to no master. So the tasks are set against requests of daily life,
written for this purpose: a task is familiar if its nearest known tasks are nearer than its nearest
such requests. How near each known task is to the others sets the limit.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Indices

NEAREST = 10  # neighbours in the mean cosine; the best of 1, 3, 5 and 10 on the training tasks
_REQUESTS = Path(__file__).parent / "out_of_scope_requests.txt"

_BLOCK_ROWS = 1024  # tasks per block of the similarity matrix
_STRENGTH = 100.0  # inverse regularisation (C) of the slope: finite where the classes are separable


def read_requests(path: Path = _REQUESTS) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True)
class OutOfScopeModel:
    """Logistic model of in-scope tasks, both classes being equally many; below ``limit`` a person decides."""

    requests: Floats
    slope: float
    bias: float
    limit: float

    def score(self, cosines: Floats, sentences: Floats) -> Doubles:
        """``cosines`` to the nearest known tasks, best first, shape (tasks, at least ``NEAREST``)."""
        return self.probability(familiarity(cosines, sentences @ self.requests.T))

    def probability(self, familiar: Doubles) -> Doubles:
        logits = np.clip(self.slope * familiar + self.bias, -50, 50)
        return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def familiarity(to_tasks: Floats, to_requests: Floats) -> Doubles:
    """Similarity to the nearest known tasks minus that to out-of-scope requests."""
    return _mean_of_nearest(to_tasks) - _mean_of_nearest(to_requests)


def learn_scope(
    sentences: Floats, confirmed: Indices, requests: Floats, in_scope_share: float
) -> tuple[OutOfScopeModel, dict[str, float]]:
    """Learn the score leave-one-out; with its AUROC, and the share of requests below the limit (abstained).

    ``confirmed`` tasks set the limit, of which ``in_scope_share`` are to be in scope.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    blocks = []
    for start in range(0, len(sentences), _BLOCK_ROWS):
        block = sentences[start : start + _BLOCK_ROWS]
        blocks.append(familiarity(_without_self(block @ sentences.T, start), block @ requests.T))
    of_tasks = np.concatenate(blocks)
    of_requests = familiarity(requests @ sentences.T, _without_self(requests @ requests.T, 0))
    familiarities = np.concatenate([of_tasks, of_requests])
    labels = np.arange(len(familiarities)) < len(of_tasks)
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced").fit(familiarities[:, None], labels)
    # more familiar never means less in scope
    slope = max(0.0, round(float(model.coef_[0, 0]), 6))
    scope = OutOfScopeModel(requests, slope, round(float(model.intercept_[0]), 6), 0.0)
    lowest = np.quantile(scope.probability(of_tasks[confirmed]), 1.0 - in_scope_share)
    scope = replace(scope, limit=float(np.floor(lowest * 1e6) / 1e6))
    abstained = float((scope.probability(of_requests) < scope.limit).mean())
    return scope, {"scope_auroc": float(roc_auc_score(labels, familiarities)), "scope_abstained": abstained}


def _without_self(cosines: Floats, first: int) -> Floats:
    """Drop each row's own column, which is ``first`` for the first row."""
    rows, width = cosines.shape
    if width < 2:
        return cosines
    off_diagonal = np.arange(width) != (first + np.arange(rows))[:, None]
    return np.asarray(cosines[off_diagonal].reshape(rows, width - 1))


def _mean_of_nearest(cosines: Floats) -> Doubles:
    count = min(NEAREST, cosines.shape[1])
    best = np.sort(np.partition(cosines, -count, axis=1)[:, -count:], axis=1)[:, ::-1]
    return np.asarray(best.astype(np.float64).mean(axis=1))
