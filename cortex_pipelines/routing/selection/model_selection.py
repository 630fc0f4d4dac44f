"""Model selection: a candidate is adopted only if it beats a simpler one on the same folds.

Several learned routers lose to a simple baseline (LLMRouterBench, arXiv 2601.07206). So selection
begins with the simplest, and the next to be adopted is the simplest candidate that gets more tasks
right and is significantly better: by McNemar's exact test of who is right, or, which sees smaller
gains, by the paired t-test of the likelihood that the two give to the right masters. The p-values
of both tests of all candidates above are corrected together (Holm), so that among many candidates
one that is not better is adopted with a probability of at most the level. All that a candidate
learns, terms and components included, it learns without the fold that it is compared on.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortex_pipelines.progress import track
from cortex_pipelines.routing.features import Doubles, Indices
from cortex_pipelines.routing.models.base import CandidateModel, KeywordRules, TrainingData, refitted
from cortex_pipelines.routing.models.knn import KnnClassifier
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, KernelRidge, TfidfLogreg
from cortex_pipelines.routing.models.network import JointNetwork, NeuralSettings
from cortex_pipelines.routing.selection.ensemble import combine, cross_fit, expected_calibration_error, learn_weights
from cortex_pipelines.routing.selection.first_tier import FirstTier, learn_first_tier, signals_of, word_columns
from cortex_pipelines.routing.selection.out_of_scope import read_requests
from cortex_pipelines.statistics.significance import higher_likelihood_p, holm, mcnemar_exact

JOINT = "joint"
ORDER = ("rules", "lexical", "semantic", "retrieval", "kernel", JOINT)
"""Candidates, simplest first; rules are absent without a rules file."""

_SECOND_THREAD = ("lexical", "semantic")
"""Candidates trained in a thread of their own, as they use no random numbers of torch."""

AVERAGE, ENSEMBLE = "average", "ensemble"


@dataclass(frozen=True)
class SelectionStep:
    """A candidate's row in the comparison table; all metrics are out of fold, loss and ECE calibrated on other folds.

    ``gained`` counts tasks that only this one gets right, ``lost`` those that only ``against`` does. ``p_value`` is
    McNemar's, ``p_loss`` of the paired t-test of log-likelihoods, ``p_corrected`` the smaller of the two after Holm's
    correction; None for the first, and for the average, which is there to be beaten. ``weight`` calibrates the scores
    of a single model.
    """

    model: str
    accuracy: float
    loss: float
    ece: float
    against: str | None
    gained: int
    lost: int
    p_value: float | None = None
    p_loss: float | None = None
    p_corrected: float | None = None
    adopted: bool = False
    weight: float | None = None


@dataclass(frozen=True)
class ModelSelection:
    """``candidates`` are trained on all tasks; one without a say has no weight; ``metrics`` are out of fold.

    ``log_probabilities`` of the compared tasks are those of the chosen model, out of fold; ``first_tier`` decides the
    tasks that need no other model.
    """

    candidates: Mapping[str, CandidateModel]
    weights: Mapping[str, float]
    steps: tuple[SelectionStep, ...]
    metrics: Mapping[str, float]
    log_probabilities: Doubles
    first_tier: FirstTier | None


def select_model(
    training: TrainingData,
    compared: Indices,
    folds: Indices,
    rules: KeywordRules | None,
    hyperparameters: NeuralSettings,
) -> ModelSelection:
    """``compared`` are the tasks with a confirmed label that no setting was chosen on."""
    trained, out_of_fold, of_tasks, of_requests = _all_scores(training, folds, hyperparameters)
    if rules is not None:
        trained = {"rules": rules, **trained}
        out_of_fold = {"rules": rules.scores(training.features), **out_of_fold}
    order = [name for name in ORDER if name in trained]
    table = {name: out_of_fold[name][compared] for name in order}
    labels, shares = training.labels[compared], np.ones(len(compared))
    steps, top, logs = _steps(table, labels, shares, folds[compared], training.settings.adopt_p)
    alone = {name: learn_weights([scores], labels, shares)[0] for name, scores in table.items()}
    steps = tuple(replace(step, weight=alone.get(step.model)) for step in steps)
    voters = order if top == ENSEMBLE else [top]
    weights = dict(zip(voters, learn_weights([table[n] for n in voters], labels, shares), strict=True))
    plain = combine([table[name] for name in voters], [1.0 / len(voters)] * len(voters))
    right = logs.argmax(axis=1) == labels
    metrics = _metrics(logs, labels) | {"ece_before": _metrics(plain, labels)["ece"]}
    if right.any() and not right.all():
        from sklearn.metrics import roc_auc_score

        metrics["confidence_auroc"] = float(roc_auc_score(right, logs.max(axis=1)))
    # where nothing can be learnt all weights may be 0: every master is then as likely as any other
    weights = {name: weight for name, weight in weights.items() if weight > 0} or {voters[0]: 0.0}
    reads_outcomes = JOINT in weights and training.attempts is not None  # of which words know nothing
    tier = (
        None
        if reads_outcomes
        else learn_first_tier(
            of_tasks[compared],
            of_requests,
            folds[compared],
            table["lexical"],
            logs,
            labels,
            training.settings.accept,
            training.settings.first_tier_risk,
        )
    )
    return ModelSelection(trained, weights, steps, metrics, logs, tier)


def _all_scores(
    training: TrainingData, folds: Indices, hyperparameters: NeuralSettings
) -> tuple[dict[str, Any], dict[str, Doubles], Doubles, Doubles]:
    """Candidates trained on all tasks, their scores out of fold, and the first tier's signals of tasks and requests."""
    fits: dict[str, Callable[[TrainingData], Any]] = {
        "lexical": TfidfLogreg.fit,
        "semantic": EmbeddingLogreg.fit,
        "retrieval": KnnClassifier.fit,
        "kernel": KernelRidge.fit,
        JOINT: lambda part: JointNetwork.fit(part, hyperparameters),
    }
    scores = {name: np.zeros((len(training.labels), training.masters)) for name in fits}
    attempts, history = training.attempts, training.history
    outcomes = np.zeros((len(attempts.rows) if attempts else 0, 7))
    requests = read_requests()
    of_tasks, of_requests = np.zeros((len(training.labels), 3)), np.zeros((len(requests), 3))

    def fit_all(part: TrainingData) -> dict[str, Any]:
        second_thread = executor.submit(lambda: {name: fits[name](part) for name in _SECOND_THREAD})
        first_thread = {name: fit(part) for name, fit in fits.items() if name not in _SECOND_THREAD}
        return first_thread | second_thread.result()

    with ThreadPoolExecutor(1) as executor:
        for fold in track(list(np.unique(folds)), "Comparing routers"):
            inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            part, features, extractor = training.refit(outside, inside, int(fold))
            candidates = fit_all(part)
            for name, candidate in candidates.items():
                scores[name][inside] = candidate.scores(features)
            if attempts is not None:
                mine = attempts.folds == fold
                tried = attempts.take(np.flatnonzero(mine))
                tasks = refitted(extractor, tried.features)
                outcomes[mine] = candidates[JOINT].outcomes(tasks, history.masters[tried.rows])
            unlike, words = extractor.lexical(requests), len(extractor.vocabulary["words"])
            mine = np.arange(len(requests)) % (folds.max() + 1) == fold
            known = [word_columns(rows, words) for rows in (part.features.lexical, unlike[~mine])]
            for table, rows, lexical in ((of_tasks, inside, features.lexical), (of_requests, mine, unlike[mine])):
                table[rows] = signals_of(candidates["lexical"], lexical, *known)
        trained = fit_all(training)
    if attempts is not None:
        trained[JOINT] = trained[JOINT].calibrated(outcomes, history.outcomes[attempts.rows])
    return trained, scores, of_tasks, of_requests


def _steps(
    table: Mapping[str, Doubles], labels: Indices, shares: Doubles, folds: Indices, limit: float
) -> tuple[tuple[SelectionStep, ...], str, Doubles]:
    candidates = {name: cross_fit([scores], labels, shares, folds) for name, scores in table.items()}
    all_scores = list(table.values())
    candidates[AVERAGE] = combine(all_scores, [1.0 / len(all_scores)] * len(all_scores))
    candidates[ENSEMBLE] = cross_fit(all_scores, labels, shares, folds)
    names = list(candidates)
    better: str | None = names[0]
    first = _metrics(candidates[names[0]], labels)
    steps = {names[0]: SelectionStep(names[0], **first, against=None, gained=0, lost=0, adopted=True)}
    while better is not None:
        top = better
        above = names[names.index(top) + 1 :]
        comparisons = compare_above(top, {name: candidates[name] for name in [top, *above]}, labels)
        better = next((step.model for step in comparisons if beats(step, limit)), None)
        steps |= {step.model: replace(step, adopted=step.model == better) for step in comparisons}
    return tuple(steps.values()), top, candidates[top]


def beats(step: SelectionStep, limit: float) -> bool:
    return step.p_corrected is not None and step.gained > step.lost and step.p_corrected <= limit


def compare_above(top: str, candidates: Mapping[str, Doubles], labels: Indices) -> list[SelectionStep]:
    below, tasks = candidates[top], np.arange(len(labels))
    below_right = below.argmax(axis=1) == labels
    steps = []
    for name in (name for name in candidates if name != top):
        logs = candidates[name]
        right, metrics = logs.argmax(axis=1) == labels, _metrics(logs, labels)
        gained, lost = int((right & ~below_right).sum()), int((~right & below_right).sum())
        p_value = mcnemar_exact(gained, lost)
        p_loss = higher_likelihood_p(logs[tasks, labels], below[tasks, labels])
        steps.append(
            SelectionStep(name, **metrics, against=top, gained=gained, lost=lost, p_value=p_value, p_loss=p_loss)
        )
    # the average is there to be beaten: the ensemble has learnt weights and is calibrated
    eligible = [step for step in steps if step.model != AVERAGE]
    corrected = iter(holm([p for step in eligible for p in (step.p_value, step.p_loss) if p is not None]))
    p_corrected = {step.model: min(next(corrected), next(corrected)) for step in eligible}
    return [replace(step, p_corrected=p_corrected.get(step.model)) for step in steps]


def _metrics(logs: Doubles, labels: Indices) -> dict[str, Any]:
    right = logs.argmax(axis=1) == labels
    confidence = np.exp(logs.max(axis=1))
    return {
        "accuracy": float(right.mean()),
        "loss": float(-logs[np.arange(len(labels)), labels].mean()),
        "ece": expected_calibration_error(confidence.tolist(), right.tolist()),
    }
