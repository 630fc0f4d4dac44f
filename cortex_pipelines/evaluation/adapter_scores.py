"""Adapter against base and champion on held-out code: bits a byte, item by item."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.examples import TASKS, Example, read_examples, sampled
from cortex_pipelines.evaluation.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.evaluation.statistics import Interval, paired_bootstrap
from cortex_pipelines.evaluation.text_similarity import edit_similarity
from cortex_pipelines.schemas import ADAPTER_SCORES

ROLES = ("base", "challenger", "opponent")


@dataclass(frozen=True)
class Contestants:
    """Folders of the adapters that are compared.

    Args:
        challenger: The adapter in question.
        opponent: The adapter to beat; None if that is the base alone.
    """

    challenger: Path
    opponent: Path | None


def held_out(datasets: Mapping[str, Path], settings: EvaluationSettings) -> list[Example]:
    """The sampled items of the test splits, by task and the folder of its data set."""
    return [
        example
        for task, folder in datasets.items()
        for example in sampled(read_examples(folder, task, "test"), settings.items, settings.seed)
    ]


def score_table(
    items: Sequence[Example],
    contestants: Contestants,
    scorer: ItemScorer,
    settings: EvaluationSettings,
) -> pl.DataFrame:
    """Scores of every item that has bytes to score, as ``ADAPTER_SCORES``."""
    base = scorer.scores(items, None)
    challenger = scorer.scores(items, contestants.challenger)
    opponent = base
    if contestants.opponent is not None:
        opponent = scorer.scores(items, contestants.opponent)
    written = _outputs(items, contestants, scorer, settings)
    rows = [
        {
            **{name: getattr(item, name) for name in ("example_id", "task", "path", "language")},
            "kind": item.kind,
            "cluster": item.cluster,
            "bytes": mine.bytes,
            "tokens": mine.tokens,
            "base_bits": _bits(mine),
            "challenger_bits": _bits(challenger[place]),
            "opponent_bits": _bits(opponent[place]),
            **written.get((item.task, item.example_id), {}),
        }
        for place, (item, mine) in enumerate(zip(items, base, strict=True))
        if mine.bytes
    ]
    return ADAPTER_SCORES.conform(ADAPTER_SCORES.frame(rows))


def score_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Flat figures of a score table.

    ``improvement`` is the opponent's bits per byte minus the challenger's, so positive is better;
    ``improvement_over_base`` compares with the base, which is the opponent where no champion is.
    Each comes with ``_low`` and ``_high``, and under ``completion_``, ``naming_`` … a task.
    Without items there are no figures but the counts.
    """
    found: dict[str, float] = {"items": scores.height, "clusters": scores["cluster"].n_unique()}
    if not scores.height:
        return found
    for prefix, part in [("", scores), *((f"{task}_", _of(scores, task)) for task in TASKS)]:
        if part.height:
            found |= {f"{prefix}{name}": value for name, value in _figures(part, settings).items()}
    return found


def improvement(scores: pl.DataFrame, over: str, settings: EvaluationSettings) -> Interval:
    """Bits per byte that the challenger saves over another role, with its interval."""
    saved = (scores[f"{over}_bits"] - scores["challenger_bits"]) / scores["bytes"]
    return paired_bootstrap(
        saved.to_list(),
        weights=scores["bytes"].to_list(),
        clusters=scores["cluster"].to_list(),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )


def bits_per_byte(scores: pl.DataFrame, role: str) -> float:
    """All bits over all bytes: long items weigh more, as they do in use."""
    return float(scores[f"{role}_bits"].sum()) / float(scores["bytes"].sum())


def _figures(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    found: dict[str, float] = {"items": scores.height, "bytes": float(scores["bytes"].sum())}
    found |= {f"{role}_bits_per_byte": bits_per_byte(scores, role) for role in ROLES}
    for name, over in (("improvement", "opponent"), ("improvement_over_base", "base")):
        interval = improvement(scores, over, settings)
        found |= {
            name: interval.estimate,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
        }
    return found | _output_figures(scores)


def _output_figures(scores: pl.DataFrame) -> dict[str, float]:
    """Mean edit similarity and share of exact matches, of the items that were written."""
    found = {}
    for role in ("base", "challenger"):
        similar = scores[f"{role}_similarity"].drop_nulls()
        if similar.len():
            found[f"{role}_edit_similarity"] = float(similar.sum() / similar.len())
            found[f"{role}_exact_match"] = float((similar == 1).sum() / similar.len())
    return found


def _outputs(
    items: Sequence[Example],
    contestants: Contestants,
    scorer: ItemScorer,
    settings: EvaluationSettings,
) -> dict[tuple[str, str], dict[str, str | float]]:
    """Outputs and their similarity for the first items of each task, as many as are asked for."""
    chosen = [
        item
        for task in TASKS
        for item in [one for one in items if one.task == task][: settings.generated_items]
    ]
    found: dict[tuple[str, str], dict[str, str | float]] = {}
    for role, adapter in (("base", None), ("challenger", contestants.challenger)):
        for item, text in zip(chosen, scorer.outputs(chosen, adapter), strict=True):
            row = found.setdefault((item.task, item.example_id), {})
            row[f"{role}_output"] = text
            row[f"{role}_similarity"] = edit_similarity(text, item.completion)
    return found


def _of(scores: pl.DataFrame, task: str) -> pl.DataFrame:
    return scores.filter(pl.col("task") == task)


def _bits(score: ItemScore) -> float:
    return score.nats / log(2)
