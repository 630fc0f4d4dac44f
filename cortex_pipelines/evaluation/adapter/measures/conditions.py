"""Ways to answer with and without training: bits of held-out completions under each.

Beside the base and the adapter: similar training examples before the prompt, for either; another
project's adapter; n-grams of the project without a network, alone and mixed into either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, log
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.ngrams import Nats, TokenNgrams, mixed
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, read_examples, sampled, shuffled
from cortex_pipelines.schemas.adapter_scores import (
    CONDITION_SCORES,
    TRAINED_CONDITIONS,
    UNTRAINED_CONDITIONS,
)
from cortex_pipelines.statistics.multiple_comparisons import Paired

MEASURED = {
    "context": "retrieval",
    "both": "adapter_with_retrieval",
    "other_adapter": "other_adapter",
    "cache": "ngrams",
    "base_cache": "base_with_ngrams",
    "adapter_cache": "adapter_with_ngrams",
    "context_cache": "retrieval_with_ngrams",
    "both_cache": "both_with_ngrams",
}
"""Way to the name of its figures; base and adapter have theirs in the table of scores."""

_WITH_EXAMPLES = {"base": "context", "adapter": "both"}
"""Way to the same with similar training examples; one weight of the n-grams does for both."""

_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Of the n-grams in a mixture, the best on validation items is used."""


@dataclass(frozen=True)
class Ways:
    """What the ways are measured with.

    Args:
        items: Held-out completions.
        retrieved: The same with similar training examples before their prompts; empty for none.
        dataset: Folder of the completion data set.
        challenger: The adapter.
        other: Another project's adapter; None for none.
    """

    items: Sequence[Example]
    retrieved: Sequence[Example]
    dataset: Path
    challenger: Path
    other: Path | None


def way_table(ways: Ways, scorer: ItemScorer, settings: EvaluationSettings) -> pl.DataFrame:
    """Bits of each completion by condition: ``CONDITION_SCORES``; null if not measured."""
    items, window = ways.items, settings.max_length
    plain = {"base": None, "adapter": ways.challenger}
    scores = {way: scorer.scores(items, folder) for way, folder in plain.items()}
    lengths = scorer.first_lines(items, window)
    lines = {way: _right_lines(items, scored, lengths) for way, scored in scores.items()}
    bits = {way: [score.bits for score in scored] for way, scored in scores.items()}
    shown = settings.retrieved_window
    if ways.retrieved:
        lengths = scorer.first_lines(ways.retrieved, shown)
        for way, folder in (("context", None), ("both", ways.challenger)):
            scores[way] = scorer.scores(ways.retrieved, folder, shown)
            bits[way] = [score.bits for score in scores[way]]
            lines[way] = _right_lines(ways.retrieved, scores[way], lengths)
    if ways.other is not None:
        bits["other_adapter"] = [score.bits for score in scorer.scores(items, ways.other)]
    ngrams = _fitted(ways.dataset, scorer, settings)
    costs = _costs(ngrams, items, scorer, window)
    bits["cache"] = [_bits(cost) for cost in costs]
    validation = sampled(
        read_examples(ways.dataset, "completion", "validation"), settings.items, settings.seed
    )
    validation_costs = _costs(ngrams, validation, scorer, window)
    shown_costs = _costs(ngrams, ways.retrieved, scorer, shown) if ways.retrieved else []
    for way, folder in plain.items():
        weight = _weight(scorer.scores(validation, folder), validation_costs)
        mixtures = {way: costs}
        if ways.retrieved:
            mixtures[_WITH_EXAMPLES[way]] = shown_costs
        for name, of_ngrams in mixtures.items():
            bits[f"{name}_cache"] = [
                _bits(mixed(_nats(score), cost, weight))
                for score, cost in zip(scores[name], of_ngrams, strict=True)
            ]
    rows = [
        {
            **{name: getattr(item, name) for name in ("example_id", "path", "language", "cluster")},
            "bytes": scores["base"][place].bytes,
            **{f"{way}_bits": values[place] for way, values in bits.items()},
            "gap": item.suffix is not None,
            **{f"{way}_line": values[place] for way, values in lines.items()},
        }
        for place, item in enumerate(items)
        if scores["base"][place].bytes
    ]
    return CONDITION_SCORES.conform(CONDITION_SCORES.frame(rows))


def way_metrics(table: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Bits per byte of each way that was measured, and what the adapter saves over it.

    Under ``<name>_``, the names of ``MEASURED``: ``items``, ``bits_per_byte``, ``gain`` with
    ``_low`` and ``_high``, positive where the adapter needs fewer bits. And
    ``gain_over_untrained`` with ``_low`` and ``_high``: what the best way with the adapter saves
    over the best one without, each chosen on other files than it is measured on. ``line_<way>`` is
    the share of completions whose first line is written right, ``gap_items`` the number of gaps
    among them, ``gap_<way>_bits_per_byte`` what those need.
    """
    metrics: dict[str, float] = {}
    if table.height:
        chosen = table.with_columns(
            pl.Series("trained_bits", chosen_elsewhere(table, TRAINED_CONDITIONS)),
            pl.Series("untrained_bits", chosen_elsewhere(table, UNTRAINED_CONDITIONS)),
        )
        gain = gained(chosen, "trained", "untrained", settings).interval(
            settings.resamples, settings.confidence, settings.seed
        )
        metrics |= gain.figures("gain_over_untrained") | _written(table)
    for way, name in MEASURED.items():
        part = table.filter(pl.col(f"{way}_bits").is_not_null())
        if part.height:
            gain = gained(part, "adapter", way, settings).interval(
                settings.resamples, settings.confidence, settings.seed
            )
            metrics |= {
                f"{name}_items": part.height,
                f"{name}_bits_per_byte": bits_per_byte(part, way),
                **gain.figures(f"{name}_gain"),
            }
    return metrics


def _written(table: pl.DataFrame) -> dict[str, float]:
    """Shares of first lines written right, and bits per byte of gaps."""
    gaps = table.filter("gap")
    metrics: dict[str, float] = {"gap_items": gaps.height}
    for way in (*UNTRAINED_CONDITIONS, *TRAINED_CONDITIONS):
        if not table[f"{way}_line"].null_count():
            metrics[f"line_{way}"] = float(table[f"{way}_line"].to_numpy().mean())
            if gaps.height:
                metrics[f"gap_{way}_bits_per_byte"] = bits_per_byte(gaps, way)
    return metrics


def chosen_elsewhere(table: pl.DataFrame, among: Sequence[str]) -> list[float]:
    """Bits of each item by the way that needs the fewest on the other half of the files.

    A way that is chosen on the items that it is measured on looks better than it is.

    Args:
        table: As ``CONDITION_SCORES``; groups of files are dealt to the halves in turn.
        among: Ways to choose from; those that were not measured are passed over.
    """
    measured = [way for way in among if not table[f"{way}_bits"].null_count()]
    places = {cluster: place for place, cluster in enumerate(table["cluster"].unique().sort())}
    half = table["cluster"].replace_strict(places, return_dtype=pl.Int64) % 2
    bits = [0.0] * table.height
    for mine in (0, 1):
        elsewhere = table.filter(half != mine)
        way = min(measured, key=lambda way: (fsum(elsewhere[f"{way}_bits"]), measured.index(way)))
        for place, value in enumerate(table[f"{way}_bits"]):
            if half[place] == mine:
                bits[place] = value
    return bits


def gained(table: pl.DataFrame, way: str, over: str, settings: EvaluationSettings) -> Paired:
    """Bits per byte that one way saves over another, item by item."""
    return Paired(
        ((table[f"{over}_bits"] - table[f"{way}_bits"]) / table["bytes"]).to_list(),
        table["cluster"].to_list(),
        table["bytes"].to_list(),
        settings.smallest_improvement,
    )


def _right_lines(
    items: Sequence[Example], scores: Sequence[ItemScore], lengths: Mapping[str, int]
) -> list[bool]:
    """Whether greedy writing gets each first line right."""
    return [
        score.greedy >= lengths.get(item.example_id, inf)
        for item, score in zip(items, scores, strict=True)
    ]


def _fitted(dataset: Path, scorer: ItemScorer, settings: EvaluationSettings) -> TokenNgrams:
    """N-grams of what the adapter could learn from: the training split."""
    train = shuffled(read_examples(dataset, "completion", "train"), settings.seed)
    tokens = (example.ids for example in scorer.tokenised(train, settings.max_length))
    return TokenNgrams.fit(tokens, scorer.vocabulary)


def _weight(scores: Sequence[ItemScore], costs: Sequence[Nats]) -> float:
    """Weight of the n-grams beside a model, by the scores and costs of validation items."""
    needed = {
        weight: sum(
            float(mixed(_nats(score), cost, weight).sum())
            for score, cost in zip(scores, costs, strict=True)
        )
        for weight in _WEIGHTS
    }
    return min(needed, key=lambda weight: (needed[weight], weight))


def _costs(
    ngrams: TokenNgrams, items: Sequence[Example], scorer: ItemScorer, window: int
) -> list[Nats]:
    """Nats of each token; none for an item without completion tokens."""
    tokenised: Mapping[str, Nats] = {
        example.example_id: ngrams.nats(example) for example in scorer.tokenised(items, window)
    }
    return [tokenised.get(item.example_id, np.zeros(0)) for item in items]


def _nats(score: ItemScore) -> Nats:
    return np.array(score.token_nats)


def _bits(nats: Nats) -> float:
    return float(nats.sum()) / log(2)
