"""Fairness of a router across groups: by master, priority, source, language."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, wilson
from cortex_pipelines.statistics.significance import holm

ATTRIBUTES = ("master", "priority", "source", "language")
NOT_KNOWN = "not known"


@dataclass(frozen=True)
class AuditGroup:
    """Held-out tasks with the same value of an attribute.

    ``p_accuracy`` is that it is served no worse than the rest.
    """

    attribute: str
    value: str
    items: int
    accuracy: Interval
    confidence: float
    overconfidence: Interval
    abstention: Interval
    p_accuracy: float | None
    p_abstention: float | None
    warnings: tuple[str, ...]


def audit_groups(tasks: pl.DataFrame, min_items: int, settings: EvaluationSettings) -> list[AuditGroup]:
    """All groups, ordered by attribute and value; those below ``min_items`` are shown only, not tested.

    Columns of ``tasks``: ``right``, ``abstained`` (Boolean), ``confidence`` (0 to 1) and ``ATTRIBUTES``.
    """
    rows = []
    for attribute in ATTRIBUTES:
        tasks_with_value = tasks.with_columns(pl.col(attribute).fill_null(NOT_KNOWN))
        values = sorted(tasks_with_value[attribute].unique().to_list())
        groups = [_group(tasks_with_value, attribute, value, settings) for value in values]
        rows += _with_warnings(groups, min_items, 1 - settings.confidence)
    return rows


def _group(tasks: pl.DataFrame, attribute: str, value: str, settings: EvaluationSettings) -> AuditGroup:
    group = tasks.filter(pl.col(attribute) == value)
    others = tasks.filter(pl.col(attribute) != value)
    right, abstained = int(group["right"].sum()), int(group["abstained"].sum())
    gaps = group["confidence"].to_numpy() - group["right"].to_numpy().astype(float)
    return AuditGroup(
        attribute=attribute,
        value=value,
        items=group.height,
        accuracy=wilson(right, group.height, settings.confidence),
        confidence=float(group["confidence"].to_numpy().mean()),
        overconfidence=paired_bootstrap(
            gaps.tolist(), resamples=settings.resamples, confidence=settings.confidence, seed=settings.seed
        ),
        abstention=wilson(abstained, group.height, settings.confidence),
        p_accuracy=_p_fewer(right, group.height, int(others["right"].sum()), others.height),
        p_abstention=_p_fewer(
            group.height - abstained, group.height, others.height - int(others["abstained"].sum()), others.height
        ),
        warnings=(),
    )


def _p_fewer(successes: int, trials: int, other_successes: int, other_trials: int) -> float | None:
    """P-value that a group succeeds less often than the rest: one-sided Fisher's exact test."""
    from scipy.stats import hypergeom

    if not other_trials:
        return None
    total, good = trials + other_trials, successes + other_successes
    return float(hypergeom.cdf(successes, total, good, trials))


def _with_warnings(groups: Sequence[AuditGroup], min_items: int, alpha: float) -> list[AuditGroup]:
    tested = [group for group in groups if group.items >= min_items]
    worse = rejected([group.p_accuracy for group in tested], alpha)
    abstaining = rejected([group.p_abstention for group in tested], alpha)
    warnings: dict[str, list[str]] = {group.value: [] for group in groups}
    for group, less_accurate, abstains_more in zip(tested, worse, abstaining, strict=True):
        group_warnings = warnings[group.value]
        group_warnings += ["right less often than the rest"] if less_accurate else []
        group_warnings += ["left to a person more often than the rest"] if abstains_more else []
        group_warnings += ["more confident than right"] if group.overconfidence.low > 0 else []
    return [AuditGroup(**{**vars(group), "warnings": tuple(warnings[group.value])}) for group in groups]


def rejected(p_values: Sequence[float | None], alpha: float) -> list[bool]:
    """Hypotheses rejected at family-wise error rate ``alpha`` (Holm); missing p-values are none."""
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [p is not None and next(corrected) <= alpha for p in p_values]


def largest_gap(groups: Sequence[AuditGroup], attribute: str, min_items: int) -> float | None:
    accuracies = [g.accuracy.estimate for g in groups if g.attribute == attribute and g.items >= min_items]
    return float(np.max(accuracies) - np.min(accuracies)) if len(accuracies) > 1 else None
