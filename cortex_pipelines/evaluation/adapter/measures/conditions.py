"""Conditions, with and without training: bits of held-out completions under each.

In addition to the base and the adapter: similar training examples before the prompt, for either;
another project's adapter.
"""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, bits_saved
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example
from cortex_pipelines.schemas.evaluation import CONDITION_SCORES, TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

CONDITION_METRICS = {"context": "retrieval", "both": "adapter_with_retrieval", "other_adapter": "other_adapter"}
"""Condition to the prefix of its metrics; those of base and adapter come from the scores."""


def condition_table(
    items: Sequence[Example],
    retrieved: Sequence[Example],
    challenger: Path,
    other: Path | None,
    scorer: ItemScorer,
    settings: EvaluationSettings,
) -> pl.DataFrame:
    """Bits of each completion by condition, as ``CONDITION_SCORES``; null if not measured.

    ``retrieved``: the same items after similar training examples, or none; ``other``: another project's adapter.
    """
    inputs_by_condition: dict[str, tuple[Sequence[Example], Path | None, int]] = {
        "base": (items, None, settings.max_length),
        "adapter": (items, challenger, settings.max_length),
    }
    if retrieved:
        inputs_by_condition["context"] = (retrieved, None, settings.retrieved_window)
        inputs_by_condition["both"] = (retrieved, challenger, settings.retrieved_window)
    scores, lines = dict[str, list[ItemScore]](), dict[str, list[bool]]()
    for condition, (texts, folder, window) in inputs_by_condition.items():
        scores[condition] = scorer.scores(texts, folder, window)
        lengths = scorer.first_lines(texts, window)
        pairs = zip(texts, scores[condition], strict=True)
        lines[condition] = [score.greedy >= lengths.get(text.example_id, inf) for text, score in pairs]
    bits = {condition: [score.bits for score in scored] for condition, scored in scores.items()}
    if other is not None:
        bits["other_adapter"] = [score.bits for score in scorer.scores(items, other)]
    rows = [
        {
            **{name: getattr(item, name) for name in ("example_id", "path", "language", "cluster")},
            "bytes": scores["base"][index].bytes,
            **{f"{condition}_bits": values[index] for condition, values in bits.items()},
            "gap": item.suffix is not None,
            **{f"{condition}_line": values[index] for condition, values in lines.items()},
        }
        for index, item in enumerate(items)
        if scores["base"][index].bytes
    ]
    return CONDITION_SCORES.frame(rows)


def condition_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Bits per byte of each measured condition, and what the adapter saves over it (``gain``, positive is better).

    ``gain_over_untrained`` is what the best condition with the adapter saves over the best without it, each selected
    on all files but the one it is measured on. ``line_<condition>`` is the share of completions whose first line is
    generated correctly, ``gap_<condition>_bits_per_byte`` the bits per byte of gaps.
    """
    metrics: dict[str, float] = {}
    if table.height:
        with_best = table.with_columns(
            pl.Series("trained_bits", cross_selected_bits(table, TRAINED_CONDITIONS)),
            pl.Series("untrained_bits", cross_selected_bits(table, UNTRAINED_CONDITIONS)),
        )
        gain = bits_saved(with_best, "untrained", settings, "trained").interval(**settings.bootstrap)
        gaps = table.filter("gap")
        metrics |= gain.as_metrics("gain_over_untrained") | {"gap_items": gaps.height}
        for measured in (*UNTRAINED_CONDITIONS, *TRAINED_CONDITIONS):
            if not table[f"{measured}_line"].null_count():
                metrics[f"line_{measured}"] = float(table[f"{measured}_line"].to_numpy().mean())
                if gaps.height:
                    metrics[f"gap_{measured}_bits_per_byte"] = bits_per_byte(gaps, measured)
    comparisons = {f"{name}_gain": (condition, "adapter") for condition, name in CONDITION_METRICS.items()}
    for name, conditions in comparisons.items():
        rows = table.drop_nulls([f"{condition}_bits" for condition in conditions])
        if rows.height:
            gain = bits_saved(rows, conditions[0], settings, conditions[1]).interval(**settings.bootstrap)
            metrics |= gain.as_metrics(name)
    for condition, name in CONDITION_METRICS.items():
        rows = table.drop_nulls(f"{condition}_bits")
        if rows.height:
            metrics |= {f"{name}_items": rows.height, f"{name}_bits_per_byte": bits_per_byte(rows, condition)}
    return metrics


def cross_selected_bits(table: pl.DataFrame, conditions: Sequence[str]) -> list[float]:
    """Bits of each item under the condition that needs the fewest on all other clusters of files.

    A condition selected on the items it is measured on would look better than it is.
    """
    columns = [f"{name}_bits" for name in conditions if not table[f"{name}_bits"].null_count()]
    elsewhere = table.select(pl.col(columns).sum() - pl.col(columns).sum().over("cluster"))
    rows = zip(table.select(columns).iter_rows(), elsewhere.iter_rows(), strict=True)
    return [bits[totals.index(min(totals))] for bits, totals in rows]
