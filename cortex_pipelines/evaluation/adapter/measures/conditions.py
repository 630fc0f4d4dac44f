"""Conditions, with and without training: bits of held-out completions under each.

In addition to the base and the adapter: similar training examples before the prompt, for either;
another project's adapter; n-grams of the project without a network, alone and mixed into either.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, log
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, bits_saved
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, read_examples, sampled, shuffled
from cortex_pipelines.schemas.evaluation import CONDITION_SCORES, TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

_CONTEXT = 4
"""Maximum tokens of context; longer contexts seldom occur twice."""
_MOST_TOKENS = 500_000
"""Limit on counted tokens, about 300 MB."""

Context = tuple[int, ...]
Counts = dict[Context, dict[int, int]]
Nats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenNgrams:
    """Interpolated n-grams of tokens, smoothed after Witten and Bell (1991), with a cache of the prompt.

    Code repeats itself locally, so counts over the project and the preceding text predict it well (Hellendoorn and
    Devanbu, FSE 2017). An adapter has to beat this, and mixing both is almost free.
    """

    counts: Counts
    totals: dict[Context, int]
    vocabulary: int

    @classmethod
    def fit(cls, texts: Iterable[Sequence[int]], vocabulary: int) -> "TokenNgrams":
        counts: Counts = defaultdict(dict)
        token_count = 0
        for text in texts:
            for position in range(len(text)):
                _count(counts, text, position)
            token_count += len(text)
            if token_count >= _MOST_TOKENS:
                break
        totals = {context: sum(following.values()) for context, following in counts.items()}
        return cls(dict(counts), totals, vocabulary)

    def nats(self, example: TokenisedExample) -> Nats:
        """Negative log probability of each token of a completion, counting the tokens before it, too."""
        text = example.ids[: example.prompt_tokens + example.text_tokens]
        local_counts: Counts = defaultdict(dict)
        context_totals: Counter[Context] = Counter()
        costs = []
        for position, token in enumerate(text):
            if position >= example.prompt_tokens:
                costs.append(-log(self._probability(local_counts, context_totals, text[:position], token)))
            context_totals.update(_count(local_counts, text, position))
        return np.array(costs)

    def _probability(
        self, local_counts: Counts, context_totals: Counter[Context], before: Sequence[int], token: int
    ) -> float:
        chance = 1 / self.vocabulary
        for size in range(min(_CONTEXT, len(before)) + 1):
            context = tuple(before[len(before) - size :])
            total = self.totals.get(context, 0) + context_totals[context]
            if not total:
                break  # no longer context was seen either
            following, local = self.counts.get(context, {}), local_counts.get(context, {})
            kinds = len(following) + sum(other not in following for other in local)
            count = following.get(token, 0) + local.get(token, 0)
            chance = (count + kinds * chance) / (total + kinds)
        return chance


def mix_nats(first: Nats, second: Nats, weight: float) -> Nats:
    """Nats of a mixture of two models, token by token; ``weight`` is the second's, below 1."""
    if not weight:
        return first
    mixture: Nats = -np.logaddexp(np.log1p(-weight) - first, np.log(weight) - second)
    return mixture


def _count(counts: Counts, text: Sequence[int], position: int) -> list[Context]:
    contexts = [tuple(text[position - size : position]) for size in range(min(_CONTEXT, position) + 1)]
    for context in contexts:
        following = counts[context]
        following[text[position]] = following.get(text[position], 0) + 1
    return contexts


CONDITION_METRICS = {
    "context": "retrieval",
    "both": "adapter_with_retrieval",
    "other_adapter": "other_adapter",
    "cache": "ngrams",
    "base_cache": "base_with_ngrams",
    "adapter_cache": "adapter_with_ngrams",
    "context_cache": "retrieval_with_ngrams",
    "both_cache": "both_with_ngrams",
}
"""Condition to the prefix of its metrics; those of base and adapter come from the scores."""

_WITH_EXAMPLES = {"base": "context", "adapter": "both"}
"""Condition to the same with similar training examples; both use one n-gram weight."""

_WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Candidate n-gram weights; the best on validation items is used."""


@dataclass(frozen=True)
class ConditionInputs:
    """Held-out completions, the same after similar training examples (may be empty), and the models' folders."""

    items: Sequence[Example]
    retrieved: Sequence[Example]
    dataset: Path
    challenger: Path
    other: Path | None


def condition_table(inputs: ConditionInputs, scorer: ItemScorer, settings: EvaluationSettings) -> pl.DataFrame:
    """Bits of each completion by condition, as ``CONDITION_SCORES``; null if not measured."""
    items, window = inputs.items, settings.max_length
    plain = {"base": None, "adapter": inputs.challenger}
    scores = {condition: scorer.scores(items, folder) for condition, folder in plain.items()}
    lengths = scorer.first_lines(items, window)
    lines = {condition: _correct_lines(items, scored, lengths) for condition, scored in scores.items()}
    bits = {condition: [score.bits for score in scored] for condition, scored in scores.items()}
    retrieval_window = settings.retrieved_window
    if inputs.retrieved:
        lengths = scorer.first_lines(inputs.retrieved, retrieval_window)
        for condition, folder in (("context", None), ("both", inputs.challenger)):
            scores[condition] = scorer.scores(inputs.retrieved, folder, retrieval_window)
            bits[condition] = [score.bits for score in scores[condition]]
            lines[condition] = _correct_lines(inputs.retrieved, scores[condition], lengths)
    if inputs.other is not None:
        bits["other_adapter"] = [score.bits for score in scorer.scores(items, inputs.other)]
    # of the training split, from which the adapter learnt too
    train = scorer.tokenised(shuffled(read_examples(inputs.dataset, "completion", "train"), settings.seed), window)
    ngrams = TokenNgrams.fit((example.ids for example in train), scorer.vocabulary)
    costs = _costs(ngrams, items, scorer, window)
    bits["cache"] = [_bits(cost) for cost in costs]
    validation = sampled(read_examples(inputs.dataset, "completion", "validation"), settings.items, settings.seed)
    validation_costs = _costs(ngrams, validation, scorer, window)
    retrieval_costs = _costs(ngrams, inputs.retrieved, scorer, retrieval_window) if inputs.retrieved else []
    for condition, folder in plain.items():
        weight = _best_weight(scorer.scores(validation, folder), validation_costs)
        mixtures = {condition: costs}
        if inputs.retrieved:
            mixtures[_WITH_EXAMPLES[condition]] = retrieval_costs
        for name, ngram_costs in mixtures.items():
            bits[f"{name}_cache"] = [
                _bits(mix_nats(_nats(score), cost, weight))
                for score, cost in zip(scores[name], ngram_costs, strict=True)
            ]
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
    on other files than it is measured on. ``line_<condition>`` is the share of completions whose first line is
    generated correctly, ``gap_<condition>_bits_per_byte`` the bits per byte of gaps.
    """
    metrics: dict[str, float] = {}
    if table.height:
        with_best = table.with_columns(
            pl.Series("trained_bits", cross_selected_bits(table, TRAINED_CONDITIONS)),
            pl.Series("untrained_bits", cross_selected_bits(table, UNTRAINED_CONDITIONS)),
        )
        gain = bits_saved(with_best, "untrained", settings, "trained").interval(**settings.bootstrap)
        metrics |= gain.as_metrics("gain_over_untrained") | _line_and_gap_metrics(table)
    for condition, name in CONDITION_METRICS.items():
        rows = table.filter(pl.col(f"{condition}_bits").is_not_null())
        if rows.height:
            gain = bits_saved(rows, condition, settings, "adapter").interval(**settings.bootstrap)
            metrics |= {
                f"{name}_items": rows.height,
                f"{name}_bits_per_byte": bits_per_byte(rows, condition),
                **gain.as_metrics(f"{name}_gain"),
            }
    return metrics


def _line_and_gap_metrics(table: pl.DataFrame) -> dict[str, float]:
    gaps = table.filter("gap")
    metrics: dict[str, float] = {"gap_items": gaps.height}
    for condition in (*UNTRAINED_CONDITIONS, *TRAINED_CONDITIONS):
        if not table[f"{condition}_line"].null_count():
            metrics[f"line_{condition}"] = float(table[f"{condition}_line"].to_numpy().mean())
            if gaps.height:
                metrics[f"gap_{condition}_bits_per_byte"] = bits_per_byte(gaps, condition)
    return metrics


def cross_selected_bits(table: pl.DataFrame, conditions: Sequence[str]) -> list[float]:
    """Bits of each item under the condition that needs the fewest on the other half of the files.

    A condition selected on the items it is measured on would look better than it is. Clusters of files are assigned to
    the halves alternately.
    """
    measured = [condition for condition in conditions if not table[f"{condition}_bits"].null_count()]
    cluster_index = {cluster: index for index, cluster in enumerate(table["cluster"].unique().sort())}
    half = table["cluster"].replace_strict(cluster_index, return_dtype=pl.Int64) % 2
    bits = [0.0] * table.height
    for fold in (0, 1):
        other_half = table.filter(half != fold)
        condition = min(measured, key=lambda name: (fsum(other_half[f"{name}_bits"]), measured.index(name)))
        for row, value in enumerate(table[f"{condition}_bits"]):
            if half[row] == fold:
                bits[row] = value
    return bits


def _correct_lines(items: Sequence[Example], scores: Sequence[ItemScore], lengths: Mapping[str, int]) -> list[bool]:
    return [score.greedy >= lengths.get(item.example_id, inf) for item, score in zip(items, scores, strict=True)]


def _best_weight(scores: Sequence[ItemScore], costs: Sequence[Nats]) -> float:
    """The n-gram weight that needs the fewest nats on validation items."""
    total_nats = {
        weight: fsum(
            float(mix_nats(_nats(score), cost, weight).sum()) for score, cost in zip(scores, costs, strict=True)
        )
        for weight in _WEIGHTS
    }
    return min(total_nats, key=lambda weight: (total_nats[weight], weight))


def _costs(ngrams: TokenNgrams, items: Sequence[Example], scorer: ItemScorer, window: int) -> list[Nats]:
    tokenised: Mapping[str, Nats] = {
        example.example_id: ngrams.nats(example) for example in scorer.tokenised(items, window)
    }
    return [tokenised.get(item.example_id, np.zeros(0)) for item in items]


def _nats(score: ItemScore) -> Nats:
    return np.array(score.token_nats)


def _bits(nats: Nats) -> float:
    return float(nats.sum()) / log(2)
