"""Bits per byte of adapter, base and champion on held-out code."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.adapter.measures.models import ROLES, ComparedModels
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import DATASETS, Example, read_examples, sampled
from cortex_pipelines.schemas.adapter_scores import ADAPTER_SCORES
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.statistics.intervals import (
    Interval,
    cluster_sums,
    two_sample_bootstrap,
)
from cortex_pipelines.statistics.multiple_comparisons import Paired


def held_out(datasets: Mapping[str, Path], settings: EvaluationSettings) -> list[Example]:
    """Sampled test items of each data set's folder."""
    return [
        example
        for task, folder in datasets.items()
        for example in sampled(read_examples(folder, task, "test"), settings.items, settings.seed)
    ]


def score_table(
    items: Sequence[Example],
    compared: ComparedModels,
    scorer: ItemScorer,
    table: Table = ADAPTER_SCORES,
) -> pl.DataFrame:
    """Scores of all items with at least one byte to score.

    Args:
        items: Held-out examples.
        compared: Models that are compared.
        scorer: Scores them.
        table: ``ADAPTER_SCORES``, or ``GENERAL_SCORES`` for another project's items.
    """
    scored = {role: scorer.scores(items, compared.folder(role)) for role in ROLES}
    rows = [
        {
            **{name: getattr(item, name) for name in ("example_id", "task", "path", "language")},
            "kind": item.kind,
            "cluster": item.cluster,
            "bytes": scored["base"][place].bytes,
            "tokens": scored["base"][place].tokens,
            **{f"{role}_bits": scored[role][place].bits for role in ROLES},
        }
        for place, item in enumerate(items)
        if scored["base"][place].bytes
    ]
    return table.conform(table.frame(rows))


def score_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Metrics of a score table.

    ``improvement`` is the reference's bits per byte minus the challenger's, so positive is better;
    ``improvement_over_base`` compares with the base, which is the reference where no champion is.
    Each comes with ``_low`` and ``_high``, and under ``completion_``, ``naming_`` … a task;
    ``<role>_bits_per_byte`` and ``<role>_perplexity`` (of a token) go with them.
    Without items there are no figures but the counts.
    """
    metrics: dict[str, float] = {"items": scores.height, "clusters": scores["cluster"].n_unique()}
    if not scores.height:
        return metrics
    for prefix, part in [("", scores), *((f"{task}_", of_task(scores, task)) for task in DATASETS)]:
        if part.height:
            metrics |= {
                f"{prefix}{name}": value for name, value in _figures(part, settings).items()
            }
    return metrics


def saved(scores: pl.DataFrame, over: str, settings: EvaluationSettings) -> Paired:
    """Bits per byte saved by the challenger over another role, per item."""
    return Paired(
        ((scores[f"{over}_bits"] - scores["challenger_bits"]) / scores["bytes"]).to_list(),
        scores["cluster"].to_list(),
        scores["bytes"].to_list(),
        settings.smallest_improvement,
    )


def improvement(scores: pl.DataFrame, over: str, settings: EvaluationSettings) -> Interval:
    """Bits per byte saved by the challenger over another role, with interval."""
    paired = saved(scores, over, settings)
    return paired.interval(settings.resamples, settings.confidence, settings.seed)


def own_metrics(
    scores: pl.DataFrame, foreign: pl.DataFrame, settings: EvaluationSettings
) -> dict[str, float]:
    """Improvement on another project's completions, and its difference from the own project's.

    ``foreign_improvement`` is in bits per byte over the base, ``own_improvement`` what
    ``completion_improvement_over_base`` exceeds it by, each with ``_low`` and ``_high``. An
    adapter that learnt only how an answer begins gains the same on both. Nothing without items of
    either.
    """
    own = of_task(scores, "completion")
    if not own.height or not foreign.height:
        return {}
    both = [saved(part, "base", settings) for part in (own, foreign)]
    elsewhere = both[1].interval(settings.resamples, settings.confidence, settings.seed)
    more = two_sample_bootstrap(
        *(cluster_sums(part.differences, part.weights, part.clusters) for part in both),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    metrics: dict[str, float] = {"foreign_items": foreign.height}
    for name, interval in (("foreign_improvement", elsewhere), ("own_improvement", more)):
        metrics |= interval.figures(name)
    return metrics


def bits_per_byte(scores: pl.DataFrame, role: str) -> float:
    """Total bits over total bytes: long items weigh more, as in use."""
    return float(scores[f"{role}_bits"].sum()) / float(scores["bytes"].sum())


def perplexity(scores: pl.DataFrame, role: str) -> float:
    """Perplexity per token of the base's tokenizer."""
    power: float = 2 ** (float(scores[f"{role}_bits"].sum()) / float(scores["tokens"].sum()))
    return power


def of_task(scores: pl.DataFrame, task: str) -> pl.DataFrame:
    """Rows of one task."""
    return scores.filter(pl.col("task") == task)


def _figures(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    figures: dict[str, float] = {"items": scores.height, "bytes": float(scores["bytes"].sum())}
    figures |= {f"{role}_bits_per_byte": bits_per_byte(scores, role) for role in ROLES}
    figures |= {f"{role}_perplexity": perplexity(scores, role) for role in ROLES}
    for name, over in (("improvement", "reference"), ("improvement_over_base", "base")):
        figures |= improvement(scores, over, settings).figures(name)
    return figures
