"""Baselines without training: retrieved examples in the prompt, or another project's adapter."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.data.examples import Example, read_examples
from cortex_pipelines.datasets.dedup.shingles import all_shingles, jaccard
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.evaluation.statistics.multiple_comparisons import Paired

_IMPORT = re.compile(r"^\s*(?:from|import|use|package|#include|(?:const|let|var)\b.*\brequire)\b")


def with_retrieved(
    items: Sequence[Example],
    completion_dataset: Path,
    count: int,
    dataset_settings: DatasetSettings,
) -> list[Example]:
    """Completion items with the most similar training examples prepended to their prompts.

    Examples are shown in full, as in training. Similarity is Jaccard's index of the token shingles
    of the prompts without imports, which half of a project shares; ties are broken by identity.

    Args:
        items: Held-out items of all tasks.
        completion_dataset: Folder of the completion data set.
        count: Training examples for each item.
        dataset_settings: Tokens in a shingle.
    """
    asked = [item for item in items if item.task == "completion"]
    train = read_examples(completion_dataset, "completion", "train")
    size = dataset_settings.shingle_tokens
    mine = all_shingles([without_imports(example.prompt) for example in asked], size)
    theirs = all_shingles([without_imports(example.prompt) for example in train], size)
    with_examples = []
    for place, item in enumerate(asked):
        ranked = sorted(
            range(len(train)),
            key=lambda at: (-jaccard(mine[place], theirs[at]), train[at].example_id),
        )
        shown = [train[at].prompt + train[at].completion for at in ranked[:count]]
        # the most similar one stands nearest to the prompt
        with_examples.append(replace(item, prompt="\n\n".join([*reversed(shown), item.prompt])))
    return with_examples


def baseline_metrics(
    name: str,
    asked: Sequence[Example],
    scores: pl.DataFrame,
    scorer: ItemScorer,
    adapter: Path | None,
    settings: EvaluationSettings,
    window: int | None = None,
) -> dict[str, float]:
    """Bits per byte of a baseline, and what the challenger saves over it.

    Args:
        name: Of the baseline: ``<name>_bits_per_byte``, ``<name>_gain`` with ``_low``, ``_high``.
        asked: The items as the baseline sees them.
        scores: Table ``ADAPTER_SCORES``.
        scorer: Scores them.
        adapter: The baseline's adapter; None for the base alone.
        settings: Of the intervals.
        window: Most tokens of an item; the settings' when absent.
    """
    keyed = {(row["task"], row["example_id"]): row for row in scores.iter_rows(named=True)}
    rows = [
        (keyed[item.task, item.example_id], score)
        for item, score in zip(asked, scorer.scores(asked, adapter, window), strict=True)
        if score.bytes and (item.task, item.example_id) in keyed
    ]
    if not rows:
        return {}
    paired = Paired(
        [score.bits / score.bytes - row["challenger_bits"] / row["bytes"] for row, score in rows],
        [row["cluster"] for row, _ in rows],
        [row["bytes"] for row, _ in rows],
        settings.smallest_improvement,
    )
    gain = paired.interval(settings.resamples, settings.confidence, settings.seed)
    bits = sum(score.bits for _, score in rows) / sum(score.bytes for _, score in rows)
    return {
        f"{name}_items": len(rows),
        f"{name}_bits_per_byte": bits,
        f"{name}_gain": gain.estimate,
        f"{name}_gain_low": gain.low,
        f"{name}_gain_high": gain.high,
    }


def without_imports(text: str) -> str:
    """The lines of a text but those that import something."""
    return "\n".join(line for line in text.split("\n") if not _IMPORT.match(line))
