"""The competition: every candidate on the same folds, each adopted only if it beats the one below.

Several learned routers lose to a simple baseline (LLMRouterBench, arXiv 2601.07206). So a candidate
is adopted where it is right more often than the best one adopted below it and a paired test says
that it is better by more than chance: McNemar's exact test of who is right, or, which sees smaller
gains, the paired t-test of the likelihood that the two give to the right masters; two tests, so
each at half the level. Otherwise the simpler one stays, and the table says so.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cortex_pipelines.progress import track
from cortex_pipelines.routing.features.features import Doubles, Indices
from cortex_pipelines.routing.models.attention import Neural, NeuralSettings
from cortex_pipelines.routing.models.base import CandidateModel, TrainingData
from cortex_pipelines.routing.models.embedding_logreg import Semantic
from cortex_pipelines.routing.models.kernel_ridge import Kernel
from cortex_pipelines.routing.models.keywords import Keywords
from cortex_pipelines.routing.models.knn import Retrieval
from cortex_pipelines.routing.models.tfidf import Lexical
from cortex_pipelines.routing.selection.calibration import expected_calibration_error
from cortex_pipelines.routing.selection.ensemble import combined, cross_fitted, learn_weights
from cortex_pipelines.routing.selection.mcnemar import mcnemar_exact
from cortex_pipelines.routing.selection.out_of_scope import Scope, learn_scope, ranked_area, signs

ORDER = ("rules", "lexical", "semantic", "retrieval", "kernel", "neural")
"""Rungs from the plainest up; rules are absent where there is no rules file."""

_ASIDE = ("lexical", "semantic")
"""Rungs that are trained in a thread of their own; neither draws anything at random from torch."""

AVERAGE, ENSEMBLE = "average", "ensemble"


@dataclass(frozen=True)
class SelectionStep:
    """A candidate model in the table of the competition; all figures are out of fold.

    Args:
        model: Its name.
        accuracy: Share of tasks that it gets right.
        loss: Mean negative log-likelihood of the right masters, calibrated on the other folds.
        ece: Expected calibration error, calibrated on the other folds.
        against: Best candidate adopted below it; None for the first.
        gained: Tasks that only this one gets right.
        lost: Tasks that only the other gets right.
        p_value: Of McNemar's exact test of the two; None for the first.
        p_loss: Of the paired t-test of their log-likelihoods; None for the first.
        adopted: Whether it takes the other's place.
    """

    model: str
    accuracy: float
    loss: float
    ece: float
    against: str | None
    gained: int
    lost: int
    p_value: float | None
    p_loss: float | None
    adopted: bool

    def row(self) -> dict[str, Any]:
        """The step as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """What came of the competition.

    Args:
        candidates: The candidates, trained on all tasks.
        weights: Weight of each candidate in the decision; a candidate that has no say is absent.
        scope: What tells known from unknown tasks.
        steps: The table.
        figures: Figures of the adopted decision, out of fold.
    """

    candidates: Mapping[str, CandidateModel]
    weights: Mapping[str, float]
    scope: Scope
    steps: tuple[SelectionStep, ...]
    figures: Mapping[str, float]


def select_model(
    training: TrainingData,
    judged: Indices,
    folds: Indices,
    rules: Keywords | None,
    chosen: NeuralSettings,
) -> Selection:
    """Run the competition.

    Args:
        training: All tasks.
        judged: Places of the tasks that count in the comparison: those whose label is borne out.
        folds: Fold of each task.
        rules: The keyword rules, if there are any.
        chosen: Settings of the neural candidate.
    """
    fits = _fits(chosen)
    whole, held, known, sure = _all_scores(training, folds, fits)
    if rules is not None:
        whole = {"rules": rules, **whole}
        held = {"rules": rules.scores(training.features), **held}
    order = [name for name in ORDER if name in whole]
    table = {name: held[name][judged] for name in order}
    labels, shares = training.labels[judged], np.ones(len(judged))
    steps, top, logs = _steps(table, labels, shares, folds[judged], training.settings.adopt_p)
    voters = order if top == ENSEMBLE else [top]
    weights = dict(
        zip(voters, learn_weights([table[n] for n in voters], labels, shares), strict=True)
    )
    right = logs.argmax(axis=1) == labels
    figures = _figures(logs, labels) | {
        "ece_before": _uncalibrated([table[name] for name in voters], labels)
    }
    if right.any() and not right.all():
        figures["doubt_auroc"] = ranked_area(*_parted(logs.max(axis=1), right))
        figures["confidence_head_auroc"] = ranked_area(*_parted(sure[judged], right))
    return Selection(
        whole,
        {name: weight for name, weight in weights.items() if weight > 0},
        learn_scope(known, training),
        steps,
        figures,
    )


def _parted(values: Doubles, right: Indices) -> tuple[Any, Any]:
    return values[right], values[~right]


def _fits(chosen: NeuralSettings) -> dict[str, Callable[[TrainingData], Any]]:
    return {
        "lexical": Lexical.fit,
        "semantic": Semantic.fit,
        "retrieval": Retrieval.fit,
        "kernel": Kernel.fit,
        "neural": lambda training: Neural.fit(training, chosen),
    }


def _all_scores(
    training: TrainingData, folds: Indices, fits: Mapping[str, Callable[[TrainingData], Any]]
) -> tuple[dict[str, Any], dict[str, Doubles], Doubles, Doubles]:
    """Rungs trained on all tasks; scores out of fold; signs and the confidence head's, too."""
    shape = (len(training.labels), training.masters)
    held = {name: np.zeros(shape) for name in fits}
    known, sure = np.zeros((shape[0], 4)), np.zeros(shape[0])
    # on two cores: these two take about as long as all others together
    aside_fits = {name: fits[name] for name in _ASIDE}
    main_fits = {name: fit for name, fit in fits.items() if name not in _ASIDE}
    with ThreadPoolExecutor(1) as aside:
        parts = [np.flatnonzero(folds != fold) for fold in np.unique(folds)]
        beside = [aside.submit(_fitted, aside_fits, training.take(part)) for part in parts]
        last = aside.submit(_fitted, aside_fits, training)
        for fold, fitted in track(
            list(zip(np.unique(folds), beside, strict=True)), "Comparing routers"
        ):
            inside, outside = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            part, features = training.take(outside), training.features.take(inside)
            trained = _fitted(main_fits, part)
            known[inside] = signs(features, trained["kernel"], trained["retrieval"])
            sure[inside] = trained["neural"].sure(features)
            trained |= fitted.result()
            for name, candidate in trained.items():
                held[name][inside] = candidate.scores(features)
        whole = _fitted(main_fits, training) | last.result()
    return whole, held, known, sure


def _fitted(
    fits: Mapping[str, Callable[[TrainingData], Any]], training: TrainingData
) -> dict[str, Any]:
    return {name: fit(training) for name, fit in fits.items()}


def _steps(
    table: Mapping[str, Doubles], labels: Indices, shares: Doubles, folds: Indices, limit: float
) -> tuple[tuple[SelectionStep, ...], str, Doubles]:
    """The table, the name at the top, and its calibrated answers out of fold."""
    candidates = {
        name: cross_fitted([scores], labels, shares, folds) for name, scores in table.items()
    }
    everything = list(table.values())
    candidates[AVERAGE] = combined(everything, [1.0 / len(everything)] * len(everything))
    candidates[ENSEMBLE] = cross_fitted(everything, labels, shares, folds)
    steps: list[SelectionStep] = []
    top: str | None = None
    for name, logs in candidates.items():
        below = None if top is None else candidates[top]
        # the average is there to be beaten: the ensemble has learnt weights and is calibrated
        step = _step(name, logs, labels, top, below, limit, may=name != AVERAGE)
        steps.append(step)
        top = name if step.adopted else top
    found = str(top)
    return tuple(steps), found, candidates[found]


def _step(
    name: str,
    logs: Doubles,
    labels: Indices,
    against: str | None,
    below: Doubles | None,
    limit: float,
    *,
    may: bool,
) -> SelectionStep:
    figures = _figures(logs, labels)
    own = figures["accuracy"], figures["loss"], figures["ece"]
    if below is None:
        return SelectionStep(name, *own, against, 0, 0, None, None, may)
    right, other = logs.argmax(axis=1) == labels, below.argmax(axis=1) == labels
    gained, lost = int((right & ~other).sum()), int((~right & other).sum())
    tasks = np.arange(len(labels))
    chance = mcnemar_exact(gained, lost), likelier(logs[tasks, labels], below[tasks, labels])
    better = gained > lost and min(1.0, 2 * min(chance)) <= limit
    return SelectionStep(name, *own, against, gained, lost, *chance, may and better)


def likelier(first: Doubles, second: Doubles) -> float:
    """One-sided p-value that the first log-likelihoods are no higher than the second, paired."""
    from scipy.stats import ttest_1samp

    apart = first - second
    if not apart.std():  # all tasks alike: nothing to test
        return 1.0
    return float(ttest_1samp(apart, 0.0, alternative="greater").pvalue)


def _figures(logs: Doubles, labels: Indices) -> dict[str, float]:
    right = logs.argmax(axis=1) == labels
    confidence = np.exp(logs.max(axis=1))
    return {
        "accuracy": float(right.mean()),
        "loss": float(-logs[np.arange(len(labels)), labels].mean()),
        "ece": expected_calibration_error(confidence.tolist(), right.tolist()),
    }


def _uncalibrated(scores: Sequence[Doubles], labels: Indices) -> float:
    """Calibration error of the plain average of the voters."""
    return _figures(combined(scores, [1.0 / len(scores)] * len(scores)), labels)["ece"]
