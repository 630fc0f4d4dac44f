"""First tier of the cascade: TF-IDF answers where all models would very likely say the same.

The encoder takes nearly all the time of a decision, and about half of the tasks of Banking77 and CLINC150 do not
need it. A static encoder (model2vec's distillation of the sentence encoder) or the encoder's first two layers beside
TF-IDF agreed with the ensemble on one task in a hundred more, and answered no more tasks at the same risk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, Indices
from cortex_pipelines.routing.models.linear import TfidfLogreg
from cortex_pipelines.routing.selection.ensemble import combine, expected_calibration_error, learn_weights
from cortex_pipelines.routing.selection.out_of_scope import familiarity

_STRENGTH = 100.0  # inverse regularisation (C) of the logistic regression
_BLOCK_ROWS = 1024  # tasks per block of the similarity matrix
_LOST_ACCURACY, _LOST_CALIBRATION = 0.002, 0.003  # most that the tier may cost out of fold, else there is none


@dataclass(frozen=True)
class FirstTier:
    """Decides a task whose ``score``, a logit of the ``signals``, is at least ``limit``.

    ``weight`` of the TF-IDF log-probabilities calibrates them on such tasks.
    """

    slopes: Sequence[float]
    bias: float
    limit: float
    weight: float

    def score(self, values: Doubles) -> Doubles:
        return np.asarray(values @ np.array(self.slopes) + self.bias)


def signals(logits: Doubles, to_tasks: Floats, to_requests: Floats) -> Doubles:
    """How sure TF-IDF is of a task, shape (tasks, 3).

    The largest logit of one master against the rest, which is low for all where none fits; its distance to the second;
    and how much more the words are like those of known tasks than like everyday requests (cosines).
    """
    second, first = np.partition(logits, -2, axis=1)[:, -2:].T
    return np.column_stack([first, first - second, familiarity(to_tasks, to_requests)])


def word_columns(lexical: Any, words: int) -> Any:
    """Rows of TF-IDF as columns, of which only the words are left: letters would cost five times as much."""
    kept = lexical[:, :words]
    kept.resize(lexical.shape)
    return kept.T.tocsr()


def word_cosines(lexical: Any, columns: Any) -> Floats:
    """Cosines of the words of rows of TF-IDF to ``word_columns``."""
    return np.asarray((lexical @ columns).toarray(), dtype=np.float32)


def signals_of(model: TfidfLogreg, lexical: Any, known: Any, requests: Any) -> Doubles:
    """``signals`` of rows of TF-IDF, by ``word_columns`` of known tasks and everyday requests; blocks fit memory."""
    rows = []
    for start in range(0, lexical.shape[0], _BLOCK_ROWS):
        block = lexical[start : start + _BLOCK_ROWS]
        rows.append(signals(model.logits(block), word_cosines(block, known), word_cosines(block, requests)))
    return np.concatenate(rows) if rows else np.zeros((0, 3))


def learn_first_tier(
    of_tasks: Doubles,
    of_requests: Doubles,
    folds: Indices,
    scores: Doubles,
    chosen: Doubles,
    labels: Indices,
    accept: float,
    risk: float,
) -> FirstTier | None:
    """The tier that is expected to decide at most the share ``risk`` of all tasks otherwise, and no everyday request.

    All values are out of fold: signals of tasks and of requests, log-probabilities of TF-IDF (``scores``) and of all
    models (``chosen``), of which none below ``accept`` is to be decided. The share is bounded by conformal risk control
    (Angelopoulos and others, arXiv 2208.02814), which takes 1 / ``risk`` tasks; None with fewer, or where accuracy or
    calibration would suffer.
    """
    from sklearn.linear_model import LogisticRegression

    tasks, requests = len(of_tasks), len(of_requests)
    same = (scores.argmax(axis=1) == chosen.argmax(axis=1)) & (np.exp(chosen.max(axis=1)) >= accept)
    if (tasks + 1) * risk < 1 or not same.any():
        return None
    values, wanted = np.concatenate([of_tasks, of_requests]), np.concatenate([same, np.zeros(requests, dtype=bool)])
    shares = np.concatenate([np.ones(tasks), np.full(requests, tasks / requests)])  # both kinds count alike

    def fit(part: Indices) -> FirstTier:
        model = LogisticRegression(C=_STRENGTH).fit(values[part], wanted[part], shares[part])
        slopes = tuple(round(float(slope), 6) for slope in model.coef_[0])
        return FirstTier(slopes, round(float(model.intercept_[0]), 6), 0.0, 1.0)

    cross_fitted, numbers = np.zeros(len(values)), np.concatenate([folds, np.arange(requests) % (folds.max() + 1)])
    for fold in np.unique(numbers):
        cross_fitted[numbers == fold] = fit(np.flatnonzero(numbers != fold)).score(values[numbers == fold])
    order = np.argsort(-cross_fitted[:tasks], kind="stable")
    allowed = np.flatnonzero((np.cumsum(~same[order]) + 1) / (tasks + 1) <= risk)
    if not len(allowed):
        return None
    limit = max(cross_fitted[order[allowed[-1]]], np.nextafter(cross_fitted[tasks:].max(), np.inf))
    limit = float(np.ceil(limit * 1e6) / 1e6)
    answers = cross_fitted[:tasks] >= limit
    if not answers.any():
        return None
    weight = learn_weights([scores[answers]], labels[answers], np.ones(int(answers.sum())))[0]
    mixed = np.where(answers[:, None], combine([scores], [weight]), chosen)
    (accuracy, error), (accuracy_before, error_before) = (_quality(logs, labels) for logs in (mixed, chosen))
    if accuracy < accuracy_before - _LOST_ACCURACY or error > error_before + _LOST_CALIBRATION:
        return None
    return replace(fit(np.arange(len(values))), limit=limit, weight=weight)


def _quality(logs: Doubles, labels: Indices) -> tuple[float, float]:
    """Accuracy and calibration error."""
    right = logs.argmax(axis=1) == labels
    return float(right.mean()), expected_calibration_error(np.exp(logs.max(axis=1)).tolist(), right.tolist())
