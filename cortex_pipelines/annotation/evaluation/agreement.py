"""Agreement of the rules with the hand-labelled sample, and calibrated confidences.

A confidence is the rate at which the annotator agreed, shrunk toward the rule author's belief (a beta prior), since a
label may have few cases. The rules were written with the sample at hand, so the rates are optimistic for unseen code.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache

from cortex_pipelines.annotation.evaluation.sample import Prediction, predict_sample
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.rowcache import RowCache

_PRIOR = 2
# The category weights were tuned on the sample, so the prior of its rates is stronger.
_CATEGORY_PRIOR = 10
_BANDS = (0.0, 0.5, 0.7, 0.85, 0.95)
"""Where bands of the evidence for a category begin."""


@dataclass(frozen=True)
class ConfusionCounts:
    both: int
    rules_only: int
    person_only: int
    neither: int

    @property
    def precision(self) -> float | None:
        predicted = self.both + self.rules_only
        return self.both / predicted if predicted else None

    @property
    def recall(self) -> float | None:
        real = self.both + self.person_only
        return self.both / real if real else None

    @property
    def kappa(self) -> float | None:
        total = self.both + self.rules_only + self.person_only + self.neither
        predicted, real = self.both + self.rules_only, self.both + self.person_only
        by_chance = predicted * real + (total - predicted) * (total - real)
        if total * total == by_chance:
            return None
        return (total * (self.both + self.neither) - by_chance) / (total * total - by_chance)


@dataclass(frozen=True)
class Agreement:
    """Agreement of the rules with the hand-labelled sample."""

    cases: int
    categories: dict[str, ConfusionCounts]  # counts by category
    labels: dict[str, ConfusionCounts]
    right: int  # cases with the right category
    bands: tuple[tuple[float, float], ...]  # lower bound of each band of evidence, with the accuracy of its categories

    def label_confidence(self, label: str) -> float:
        counts, belief = self.labels[label], LABELS[label].belief
        predicted = counts.both + counts.rules_only
        return round((counts.both + _PRIOR * belief) / (predicted + _PRIOR), 4)

    def category_confidence(self, score: float) -> float:
        return next(rate for start, rate in reversed(self.bands) if score >= start)


@cache
def agreement(settings: AnnotationSettings, extraction: ExtractionSettings) -> Agreement:
    """Compare the rules with the hand-labelled sample."""
    judgements = predict_sample(settings, extraction)
    categories = sorted(
        {judgement.case.category for judgement in judgements} | {judgement.category for judgement in judgements}
    )
    return Agreement(
        cases=len(judgements),
        categories={
            name: _counts([(judgement.category == name, judgement.case.category == name) for judgement in judgements])
            for name in categories
        },
        labels={
            name: _counts([(name in judgement.labels, name in judgement.case.labels) for judgement in judgements])
            for name in LABELS
        },
        right=sum(judgement.category == judgement.case.category for judgement in judgements),
        bands=_bands(judgements),
    )


def cached_agreement(settings: AnnotationSettings, extraction: ExtractionSettings, cache: RowCache | None) -> Agreement:
    """Agreement from the cache, recomputed when rules or sample change.

    ``cache``: cache for one version of rules and sample; None recomputes.
    """
    key = ("agreement", settings.model_dump(mode="json"), extraction.model_dump(mode="json"))
    cached = cache.get(*key) if cache else None
    if cached is not None:
        return _read(cached)
    measured = agreement(settings, extraction)
    if cache:
        cache.put(json.dumps(asdict(measured)).encode(), *key)
    return measured


def _read(serialized: bytes) -> Agreement:
    fields = json.loads(serialized)
    for name in ("categories", "labels"):
        fields[name] = {label: ConfusionCounts(**counts) for label, counts in fields[name].items()}
    return Agreement(**fields | {"bands": tuple((start, rate) for start, rate in fields["bands"])})


def _counts(pairs: list[tuple[bool, bool]]) -> ConfusionCounts:
    return ConfusionCounts(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def _bands(judgements: Iterable[Prediction]) -> tuple[tuple[float, float], ...]:
    """Accuracy by score band, made monotone by pooling adjacent violators."""
    groups: list[tuple[float, float, float]] = []  # start, right, cases; with the prior
    cases = list(judgements)
    for start, end in zip(_BANDS, (*_BANDS[1:], 2.0), strict=True):
        inside = [judgement for judgement in cases if start <= judgement.score < end]
        right = sum(judgement.category == judgement.case.category for judgement in inside)
        middle = (start + min(end, 1.0)) / 2
        groups.append((start, right + _CATEGORY_PRIOR * middle, len(inside) + _CATEGORY_PRIOR))
    # pool adjacent violators: isotonic regression
    pooled: list[list[tuple[float, float, float]]] = []
    for group in groups:
        pooled.append([group])
        while len(pooled) > 1 and _rate(pooled[-2]) > _rate(pooled[-1]):
            last = pooled.pop()
            pooled[-1] += last
    return tuple((start, round(_rate(pool), 4)) for pool in pooled for start, _, _ in pool)


def _rate(groups: list[tuple[float, float, float]]) -> float:
    return sum(right for _, right, _ in groups) / sum(cases for _, _, cases in groups)
