"""What a person wants to know of a router: how often it is right, what it confuses, whether more tasks would help."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from cortex_pipelines.routing.dataset.labels import normalised, shares_words
from cortex_pipelines.routing.features import Indices
from cortex_pipelines.routing.models.base import CandidateModel, TrainingData
from cortex_pipelines.routing.models.linear import EmbeddingLogreg, TfidfLogreg
from cortex_pipelines.routing.train import Comparison
from cortex_pipelines.statistics.intervals import wilson

_SHARES = (0.25, 0.5, 1.0)
"""Shares of the tasks on which the curve is measured."""
_FURTHER = 4
"""Times the tasks up to which the curve is drawn on: a power law has no floor, labels and tasks have one."""
_FEW = 1000
"""Tasks up to which the curve is measured: with more, it says little and takes long."""
_MANY = 0.1
"""Least share of tasks with their master's name that is worth a word: what is left out then changes the figure."""
_LATEST, _FEWEST_LATEST = 0.2, 20
"""Share of the held-out tasks that counts as the latest ones, and how many there must be to say anything of them."""
_FITS: dict[str, Callable[[TrainingData], CandidateModel]] = {
    "lexical": TfidfLogreg.fit,
    "semantic": EmbeddingLogreg.fit,
}


@dataclass(frozen=True)
class MasterScore:
    """Of held-out tasks: ``tasks`` belong to the master; ``taken_for`` are other masters that got them, with counts."""

    master: str
    tasks: int
    precision: float | None
    recall: float
    taken_for: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class LatestTasks:
    """Of the latest tasks, ``right`` is the share of a model that learnt from the earlier ones alone.

    ``right_of_router`` is that of the router out of fold, which had learnt from others of their time.
    """

    since: datetime
    tasks: int
    right: float
    right_of_router: float


@dataclass(frozen=True)
class HeldOutReport:
    """Shares of ``tasks`` that no model or weight had seen.

    ``rules`` have the share of the keyword rules, None without; ``most_common`` is the share of the largest master.
    ``curve`` has the number of tasks learnt from and the share right of ``curve_model``.
    """

    tasks: int
    right: float
    rules: float | None
    most_common: tuple[str, float]
    masters: Sequence[MasterScore]
    curve_model: str
    curve: Sequence[tuple[int, float]]
    trained_on: int
    """All tasks; the curve and the shares are of models that learnt without a fold of them."""
    alike: int = 0
    """Tasks that share most words with one that was learnt, as those of a template do."""
    right_of_others: float = 0.0
    naming: int = 0
    """Tasks whose text has the name of their master."""
    right_of_not_naming: float = 0.0
    latest: LatestTasks | None = None

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """Masters whose tasks go to another one, with how many, most first."""
        pairs = [(score.master, other, count) for score in self.masters for other, count in score.taken_for]
        return sorted(pairs, key=lambda pair: (-pair[2], pair))

    def sentence(self) -> str:
        share = wilson(round(self.right * self.tasks), self.tasks, 0.95)
        master, most = self.most_common
        if self.rules is not None:
            than = f"the keyword rules have {percent(self.rules)}"
        else:
            than = f"always {master} would have {percent(most)}"
        parts = [
            f"{percent(self.right)} right of {self.tasks:,} held-out tasks (95 % interval {percent(share.low)} to "
            f"{percent(share.high)}), where {than}"
        ]
        if self.alike:
            says = "so the share says nothing about tasks of another wording"
            if self.alike < self.tasks:
                says = f"{percent(self.right_of_others)} of the others are right"
            parts.append(f"of these, {self.alike:,} share most words with a learnt one; {says}")
        if self.confused:
            first, second, count = self.confused[0]
            parts.append(f"most often takes {first} for {second} ({count:,} {'task' if count == 1 else 'tasks'})")
        parts += self._more_tasks()
        if self.naming >= _MANY * self.tasks:
            says = "so the share says nothing about tasks that do not"
            if self.naming < self.tasks:
                says = f"{percent(self.right_of_not_naming)} of the others are right"
            parts.append(f"{self.naming:,} name their master; {says}")
        if self.latest:
            parts.append(
                f"of the latest {self.latest.tasks:,} (since {self.latest.since:%Y-%m-%d}), {self.curve_model} gets "
                f"{percent(self.latest.right)} when it learns from the earlier tasks alone, and the router "
                f"{percent(self.latest.right_of_router)} when it learns from others of that time too"
            )
        return "; ".join(parts)

    def _more_tasks(self) -> list[str]:
        if len(self.curve) < len(_SHARES):
            return []
        (few, at_few), (half, at_half), (every, at_all) = self.curve
        shares = f"{percent(at_few)}, {percent(at_half)} and {percent(at_all)}"
        measured = f"{self.curve_model} gets {shares} when it learns from {few:,}, {half:,} and {every:,}"
        if at_all - at_half < 1 / self.tasks:
            return [f"more tasks of the same kind would change little: {measured}"]
        target = _FURTHER * self.trained_on
        guess = extrapolated([(n, 1 - right) for n, right in self.curve], target)
        would = f"; if that goes on, {target:,} would give about {percent(1 - guess)}" if guess is not None else ""
        return [f"{self.trained_on:,} tasks are few: {measured}{would}"]


def held_out_report(comparison: Comparison) -> HeldOutReport:
    training, selection, names = comparison.training, comparison.selection, comparison.masters
    labels = training.labels[comparison.compared]
    chosen = selection.log_probabilities.argmax(axis=1)
    scores = []
    for number, name in enumerate(names):
        of_master = labels == number
        if of_master.any():
            taken_for = Counter(names[other] for other in chosen[of_master] if other != number)
            assigned = chosen == number
            precision = float((labels[assigned] == number).mean()) if assigned.any() else None
            recall = float((chosen[of_master] == number).mean())
            scores.append(MasterScore(name, int(of_master.sum()), precision, recall, taken_for.most_common()))
    is_alike = _is_alike(comparison)
    texts = (f" {normalised(training.features.texts[task])} " for task in comparison.compared)
    names_master = [f" {normalised(names[label])} " in text for label, text in zip(labels, texts, strict=True)]
    is_naming = np.array(names_master, dtype=np.bool_)
    largest = max(scores, key=lambda score: score.tasks)
    rules = next((step.accuracy for step in selection.steps if step.model == "rules"), None)
    adopted = max(selection.weights, key=lambda name: selection.weights[name])
    model = adopted if adopted in _FITS else "semantic"
    return HeldOutReport(
        tasks=len(labels),
        right=float((chosen == labels).mean()),
        rules=rules,
        most_common=(largest.master, largest.tasks / len(labels)),
        masters=scores,
        curve_model={"lexical": "TF-IDF", "semantic": "the sentence encoder"}[model],
        curve=_curve(comparison, _FITS[model]) if len(training.labels) <= _FEW else [],
        trained_on=len(training.labels),
        alike=int(is_alike.sum()),
        right_of_others=float((chosen == labels)[~is_alike].mean()) if not is_alike.all() else 0.0,
        naming=int(is_naming.sum()),
        right_of_not_naming=float((chosen == labels)[~is_naming].mean()) if not is_naming.all() else 0.0,
        latest=_latest(comparison, _FITS[model], chosen == labels),
    )


def _latest(
    comparison: Comparison, fit: Callable[[TrainingData], CandidateModel], right: npt.NDArray[np.bool_]
) -> LatestTasks | None:
    """How a model of the past does on what came after it: folds mix the times, and so do not show a change."""
    training, times = comparison.training, comparison.times
    ordered = np.sort(times[comparison.compared][~np.isnan(times[comparison.compared])])
    if not len(ordered):
        return None
    since = ordered[math.floor((1 - _LATEST) * len(ordered))]
    is_latest = times[comparison.compared] >= since
    latest, earlier = comparison.compared[is_latest], np.flatnonzero(times < since)
    if len(latest) < _FEWEST_LATEST or len(np.unique(training.labels[earlier])) < 2:
        return None
    part, features, _ = replace(training, attempts=None).refit(earlier, latest)
    foreseen = fit(part).scores(features).argmax(axis=1) == training.labels[latest]
    day = datetime.fromtimestamp(float(since), UTC)
    return LatestTasks(day, len(latest), float(foreseen.mean()), float(right[is_latest].mean()))


def _is_alike(comparison: Comparison) -> npt.NDArray[np.bool_]:
    """Of each compared task, whether one of another fold has most of its words."""
    texts, folds = np.array(comparison.training.features.texts, dtype=object), comparison.folds
    is_alike = np.zeros(len(texts), dtype=np.bool_)
    for fold in np.unique(folds):
        is_alike[folds == fold] = shares_words(texts[folds == fold], texts[folds != fold])
    return is_alike[comparison.compared]


def _curve(comparison: Comparison, fit: Callable[[TrainingData], CandidateModel]) -> list[tuple[int, float]]:
    """Tasks learnt from, and the share right of the same held-out tasks; nested parts of the other folds."""
    training, folds = comparison.training, comparison.folds
    held_out = np.zeros(len(training.labels), dtype=bool)
    held_out[comparison.compared] = True
    curve = []
    for share in _SHARES:
        right, learnt = 0, []
        for fold in np.unique(folds[comparison.compared]):
            inside = np.flatnonzero((folds == fold) & held_out)
            outside = _part(training.labels, np.flatnonzero(folds != fold), share)
            part, features, _ = training.refit(outside, inside)
            right += int((fit(part).scores(features).argmax(axis=1) == training.labels[inside]).sum())
            learnt.append(len(outside))
        curve.append((round(float(np.mean(learnt))), right / int(held_out.sum())))
    return curve


def _part(labels: Indices, tasks: Indices, share: float) -> Indices:
    """The first tasks of each master, at least one: their order is that of a hash."""
    of_masters = (tasks[labels[tasks] == number] for number in np.unique(labels[tasks]))
    first_rows = [rows[: max(1, round(share * len(rows)))] for rows in of_masters]
    return np.sort(np.concatenate(first_rows))


def extrapolated(errors: Sequence[tuple[int, float]], tasks: int) -> float | None:
    """The error at a number of tasks by a power law through the measured ones (Hestness et al., arXiv 1712.00409).

    None where an error of 0 or one that does not fall leaves nothing to go by.
    """
    if min(error for _, error in errors) <= 0 or len({n for n, _ in errors}) < 2:
        return None
    logs = np.log(np.array(errors, dtype=np.float64))
    slope, offset = np.polyfit(logs[:, 0], logs[:, 1], 1)
    return float(np.exp(offset + slope * math.log(tasks))) if slope < 0 else None


def percent(share: float) -> str:
    """In whole numbers; but almost all is not 100 %, and almost none not 0 %."""
    rounded = f"{100 * share:.0f} %"
    return f"{100 * share:.1f} %" if rounded in ("0 %", "100 %") and 0 < share < 1 else rounded
