"""Agreement of the rules with the hand-labelled sample, and calibrated confidences.

A confidence is the rate at which the annotator agreed, shrunk toward the rule author's belief (a beta prior), since a
label may have few cases. The rules were written with the sample at hand, so the rates are optimistic for unseen code.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import TypeAdapter

from cortex_pipelines.annotation.labels.labelling import FileKey, label_units
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.annotation.settings import AnnotationSettings
from cortex_pipelines.extraction.settings import ExtractionSettings
from cortex_pipelines.extraction.units import file_units
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.vocabulary import LANGUAGES

_SAMPLE = Path(__file__).parent / "sample"
_MARK = "=== "


@dataclass(frozen=True)
class LabelledUnit:
    language: str
    path: str
    name: str
    category: str
    labels: frozenset[str]  # its patterns, anti-patterns and smells
    code: str


@dataclass(frozen=True)
class Prediction:
    case: LabelledUnit
    category: str
    score: float
    labels: frozenset[str]


class SampleError(ValueError):
    pass


@cache
def cases(folder: Path = _SAMPLE) -> tuple[LabelledUnit, ...]:
    """All cases, ordered by language and file.

    Raises SampleError: the first line of a case does not have four parts.
    """
    sample = []
    for language in LANGUAGES:
        for part in (folder / f"{language}.txt").read_text(encoding="utf-8").split(f"\n{_MARK}"):
            head, _, code = part.removeprefix(_MARK).partition("\n")
            fields = [field.strip() for field in head.split("|")]
            if not part.strip():
                continue
            if len(fields) != 4:
                raise SampleError(
                    f"sample/{language}.txt: {head!r}: must be `=== path | qualified name | category | "
                    "labels`, with - for no label"
                )
            labels = frozenset(label.strip() for label in fields[3].split(",")) - {"-", ""}
            sample.append(LabelledUnit(language, fields[0], fields[1], fields[2], labels, code.strip("\n") + "\n"))
    return tuple(sample)


@cache
def predict_sample(settings: AnnotationSettings, extraction: ExtractionSettings) -> tuple[Prediction, ...]:
    """Label each case by the rules. Raises SampleError: a case's file has no unit with its name."""
    rows: list[dict[str, Any]] = []
    texts: dict[FileKey, str] = {}
    for number, case in enumerate(cases()):
        parsed = file_units(case.code, case.language, case.path, extraction)
        named_units = [unit for unit in parsed if unit.qualified_name == case.name and unit.kind != "import"]
        if not named_units:
            names = ", ".join(unit.qualified_name for unit in parsed)
            raise SampleError(f"sample/{case.language}.txt: {case.name}: {case.path} has {names}")
        texts[("sample", case.path, str(number))] = case.code
        of_case = {"source": "sample", "path": case.path, "blob": str(number), "language": case.language}
        for index, unit in enumerate(parsed):
            identity = f"{number}" if unit is named_units[-1] else f"{number}.{index}"
            row = {column: getattr(unit, column, None) for column in _COLUMNS}
            rows.append({**row, **of_case, "unit_id": identity, "generated": False})
    labelled = label_units(pl.DataFrame(rows, schema=_COLUMNS, orient="row"), texts, settings)
    by_unit = {row["unit_id"]: row for row in labelled.to_dicts()}
    return tuple(
        Prediction(case, row["category"], row["category_score"], frozenset(row["patterns"]))
        for case, row in ((case, by_unit[f"{number}"]) for number, case in enumerate(cases()))
    )


_COLUMNS: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("unit_id", "source", "path", "blob", "language", "kind", "name", "qualified_name"), pl.String),
    **dict.fromkeys(("start_byte", "end_byte", "body_start_byte"), pl.Int64),
    **dict.fromkeys(("docstring", "code"), pl.String),
    **dict.fromkeys(("has_error", "generated"), pl.Boolean),
}


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
    judgements = predict_sample(settings, extraction)
    pairs = [(judgement.category, judgement.case.category) for judgement in judgements]
    label_pairs = [(judgement.labels, judgement.case.labels) for judgement in judgements]
    return Agreement(
        cases=len(judgements),
        categories={
            name: _counts([(rule == name, person == name) for rule, person in pairs])
            for name in sorted({category for pair in pairs for category in pair})
        },
        labels={
            name: _counts([(name in by_rule, name in by_person) for by_rule, by_person in label_pairs])
            for name in LABELS
        },
        right=sum(rule == person for rule, person in pairs),
        bands=_bands(judgements),
    )


def cached_agreement(settings: AnnotationSettings, extraction: ExtractionSettings, cache: RowCache | None) -> Agreement:
    """Agreement from the cache, recomputed when rules or sample change.

    ``cache``: cache for one version of rules and sample; None recomputes.
    """
    key = ("agreement", settings.model_dump(mode="json"), extraction.model_dump(mode="json"))
    cached = cache.get(*key) if cache else None
    if cached is not None:
        return TypeAdapter(Agreement).validate_json(cached)
    measured = agreement(settings, extraction)
    if cache:
        cache.put(json.dumps(asdict(measured)).encode(), *key)
    return measured


def _counts(pairs: list[tuple[bool, bool]]) -> ConfusionCounts:
    return ConfusionCounts(
        pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True)), pairs.count((False, False))
    )


def _bands(judgements: Sequence[Prediction]) -> tuple[tuple[float, float], ...]:
    """Accuracy by score band, made monotone by isotonic regression."""
    from scipy.optimize import isotonic_regression

    rates: list[float] = []
    weights: list[int] = []
    for start, end in zip(_BANDS, (*_BANDS[1:], 2.0), strict=True):
        inside = [judgement for judgement in judgements if start <= judgement.score < end]
        right = sum(judgement.category == judgement.case.category for judgement in inside)
        weights.append(len(inside) + _CATEGORY_PRIOR)
        rates.append((right + _CATEGORY_PRIOR * (start + min(end, 1.0)) / 2) / weights[-1])
    pooled = isotonic_regression(rates, weights=weights).x
    return tuple((start, round(float(rate), 4)) for start, rate in zip(_BANDS, pooled, strict=True))
