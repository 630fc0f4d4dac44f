"""Candidates of a learned task compared on the same judged items: which one earns its place."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.schemas.learned import LEADERBOARD, MIN_ITEMS
from cortex_pipelines.statistics.intervals import paired_bootstrap

_MIN_CLUSTERS = 5
"""With fewer, a bootstrap over clusters says next to nothing."""


def leaderboard_rows(
    asset: str,
    task: str,
    metric: str,
    scores: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool,
    clusters: Sequence[str] | None = None,
    not_used: Sequence[str] = (),
    resamples: int,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Compare candidates; rows of ``LEADERBOARD``, in the order given.

    ``scores``: candidates from the simplest, the baseline, each with its score or loss on every judged item, in the
    same order. ``clusters``: groups of items that are not independent. ``not_used``: candidates that are only compared.

    Adopted is the baseline, unless the interval of another's difference to it lies above zero: then the best of those.
    The intervals of a task's differences hold together (Bonferroni), so that many candidates do not make a winner by
    chance. With fewer than ``MIN_ITEMS`` items or five clusters the baseline is adopted. Raises ValueError: no items, a
    score that is not finite, or numbers of scores that differ.
    """
    values = {name: np.asarray(each, dtype=np.float64) for name, each in scores.items()}
    for name, each in values.items():
        if not np.isfinite(each).all():
            raise ValueError(f"{asset}, {task}: scores of {name} are missing or infinite")
    baseline = next(iter(values))
    comparisons = max(1, len(values) - 1)
    joint = 1 - (1 - confidence) / comparisons
    groups = len(set(clusters)) if clusters is not None else len(values[baseline])
    is_conclusive = len(values[baseline]) >= MIN_ITEMS and groups >= _MIN_CLUSTERS
    rows: list[dict[str, Any]] = []
    for name, each in values.items():
        value = paired_bootstrap(
            each.tolist(), clusters=clusters, resamples=resamples, confidence=confidence, seed=seed
        )
        gains = each - values[baseline] if higher_is_better else values[baseline] - each
        difference = paired_bootstrap(
            gains.tolist(), clusters=clusters, resamples=resamples, confidence=joint, seed=seed
        )
        rows.append(
            {
                "asset": asset,
                "task": task,
                "candidate": name,
                "metric": f"{metric}, {'higher' if higher_is_better else 'lower'} is better",
                "value": value.estimate,
                "low": value.low,
                "high": value.high,
                "items": len(each),
                "baseline": baseline,
                **difference.as_metrics("difference"),
                "adopted": False,
            }
        )
    winners = [row for row in rows if is_conclusive and row["difference_low"] > 0 and row["candidate"] not in not_used]
    max(winners, key=lambda row: row["difference"], default=rows[0])["adopted"] = True
    return rows


def rank_of(scores: np.ndarray, number: int) -> float:
    """Rank of an entry from the highest, 1; in the middle of equal ones."""
    return float(1 + (scores > scores[number]).sum() + ((scores == scores[number]).sum() - 1) / 2)


def leaderboard_table(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """``LEADERBOARD``, without tasks of fewer than ``MIN_ITEMS`` judged items, which compare nothing."""
    return LEADERBOARD.frame([row for row in rows if row["items"] >= MIN_ITEMS])
