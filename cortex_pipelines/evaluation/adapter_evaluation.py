"""The evaluation of one adapter: scores, figures, what was compared, and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.adapters.base_model import base_digest, base_name
from cortex_pipelines.adapters.examples import task_counts
from cortex_pipelines.adapters.lora import trained_on, write_json
from cortex_pipelines.evaluation.adapter_report import render_report
from cortex_pipelines.evaluation.adapter_scores import (
    Contestants,
    held_out,
    score_metrics,
    score_table,
)
from cortex_pipelines.evaluation.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.weights import PinnedModel
from cortex_pipelines.rowcache import RowCache


@dataclass(frozen=True)
class AdapterVersion:
    """An adapter's files and the version they are known by."""

    version: str
    folder: Path


def evaluate_adapter(
    challenger: AdapterVersion,
    opponent: AdapterVersion | None,
    datasets: Mapping[str, Path],
    pinned: PinnedModel,
    settings: EvaluationSettings,
    out: Path,
    root: Path,
    cache: RowCache,
) -> pl.DataFrame:
    """Compare an adapter with its opponent and the base on the held-out items.

    Nothing but the opponent's version of the champion's pin goes into the files, so that they stay
    the same when the challenger itself is promoted and meets the same opponent again.

    Args:
        challenger: The adapter in question.
        opponent: The adapter to beat; None for the base alone.
        datasets: Task to the folder of its data set.
        pinned: The base.
        settings: What to measure.
        out: Folder for ``metrics.json``, ``comparison.json`` and ``report.html``.
        root: Project root.
        cache: Where scores are kept.

    Returns:
        Table ``ADAPTER_SCORES``.
    """
    items = held_out(datasets, settings)
    met, note = _comparable(opponent, pinned)
    contestants = Contestants(challenger.folder, met.folder if met else None)
    scores = score_table(items, contestants, ItemScorer(pinned, root, settings, cache), settings)
    metrics = score_metrics(scores, settings)
    comparison: dict[str, Any] = {
        "title": "Code adapter on held-out code",
        "base": {"name": base_name(pinned), "digest": base_digest(pinned)},
        "challenger": {"version": challenger.version},
        "opponent": {"version": met.version if met else None, "note": note},
        "items": task_counts(items),
        "settings": settings.model_dump(mode="json"),
    }
    write_json(out / "metrics.json", metrics)
    write_json(out / "comparison.json", comparison)
    (out / "report.html").write_text(render_report(scores, metrics, comparison, items))
    return scores


def _comparable(
    opponent: AdapterVersion | None, pinned: PinnedModel
) -> tuple[AdapterVersion | None, str]:
    """The opponent, unless it belongs on another base; then the base alone, and a note of it."""
    if opponent is None:
        return None, ""
    base = trained_on(opponent.folder)
    if base["digest"] == base_digest(pinned):
        return opponent, ""
    return None, (
        f"The champion {opponent.version} was trained on another base ({base['name']}) and cannot "
        "be put on this one."
    )
