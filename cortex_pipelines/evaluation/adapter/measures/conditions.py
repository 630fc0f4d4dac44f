"""Conditions, with and without training: bits of held-out completions under each.

In addition to the base and the adapter: similar training examples before the prompt, for either;
another project's adapter; either mixed with a memory of the open file and of the project's tokens.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import fsum, inf, log
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.adapters.data.corpus import GENERAL
from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, bits_saved
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, read_examples, sampled
from cortex_pipelines.schemas.evaluation import CONDITION_SCORES, TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

_LONGEST = 16
"""Tokens of the longest match; 32 saved no bits more (flask)."""

_ORDERS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Shortest match of each group of lengths that has one weight."""

_PRIOR_TOKENS, _PRIOR_WEIGHT = 2.0, 0.1  # what a group without validation tokens gets
_ROUNDS = 50
_NOTHING = -1

Nats = NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """For each token of an answer: length of the longest match before it, and the token's share of what followed."""

    orders: NDArray[np.int64]
    shares: Nats


class TokenMemory:
    """Index of the tokens of texts: what followed the longest piece that ends as a prompt does; it needs no training.

    Code repeats itself (Hellendoorn and Devanbu, FSE 2017). The tokens of a project, or of the open file, are sorted by
    the tokens before them, a suffix array of the reversed text (Manber and Myers 1990; for language models Liu et al.,
    COLM 2024); a model's probabilities are mixed with the shares of what followed, by weights for each length of match
    (Jelinek and Mercer 1980). A changed file is a changed index, so it follows each commit and forgets exactly. Matches
    do not reach over the border of two texts.
    """

    def __init__(self, texts: Iterable[Sequence[int]]) -> None:
        separated = chain([_NOTHING] * _LONGEST, *(chain(text, [_NOTHING]) for text in texts))
        tokens = np.fromiter(separated, np.int64)
        # positions are sorted by the tokens before them, the nearest first, by doubling the length that is compared
        rank, length = np.roll(tokens, 1), 1  # the first of all is padding, as is the last
        while length < _LONGEST:
            earlier = np.concatenate((np.full(length, _NOTHING), rank[:-length]))
            pairs = (rank + 1) * (max(len(tokens), int(tokens.max())) + 2) + earlier + 1
            rank, length = np.unique(pairs, return_inverse=True)[1].astype(np.int64), 2 * length
        order = np.argsort(rank, kind="stable")
        order = order[tokens[order] != _NOTHING]
        self._followers = tokens[order]
        self._tokens, self._order = tokens.tolist(), order.tolist()

    def following(self, context: Sequence[int]) -> tuple[int, NDArray[np.int64]]:
        """Length of the longest match that ends a context, and the tokens that follow it in the index."""
        low, high, length = 0, len(self._order), 0
        for token in reversed(context[-_LONGEST:]):
            distance = length + 1

            def before(position: int, distance: int = distance) -> int:
                return int(self._tokens[position - distance])

            first = bisect_left(self._order, token, low, high, key=before)
            end = bisect_right(self._order, token, first, high, key=before)
            if first == end:
                break
            low, high, length = first, end, distance
        return length, self._followers[low:high]


def match_answers(examples: Iterable[TokenisedExample], memory: TokenMemory | None) -> Matches:
    """Matches of the tokens of all answers, in order; ``memory`` None: in the prompt of each, the open file."""
    orders, shares = list[int](), list[float]()
    for example in examples:
        index = memory or TokenMemory([example.ids[: example.prompt_tokens]])
        for position, token in enumerate(example.answer, example.prompt_tokens):
            length, followers = index.following(example.ids[max(0, position - _LONGEST) : position])
            orders.append(length)
            shares.append(float(np.mean(followers == token)) if length else 0.0)
    return Matches(np.array(orders, np.int64), np.array(shares))


def learn_weights(nats: Nats, matches: Matches) -> Nats:
    """Weight of the memory by group of lengths, the likeliest for tokens with these nats under a model.

    The first is of no match, and zero. By expectation maximisation, with a weak prior for rare lengths.
    """
    weights = np.zeros(len(_ORDERS) + 1)
    groups = _groups(matches)
    for group in range(1, len(weights)):
        chances, shares = np.exp(-nats[groups == group]), matches.shares[groups == group]
        weight = _PRIOR_WEIGHT
        for _ in range(_ROUNDS):
            mixture = (1 - weight) * chances + weight * shares
            responsibility = np.divide(weight * shares, mixture, out=np.zeros_like(mixture), where=mixture > 0)
            weight = (responsibility.sum() + _PRIOR_TOKENS * _PRIOR_WEIGHT) / (len(shares) + _PRIOR_TOKENS)
        weights[group] = weight
    return weights


def mix(nats: Nats, matches: Matches, weights: Nats) -> Nats:
    """Nats of a model mixed with a memory."""
    weight = weights[_groups(matches)]
    with np.errstate(divide="ignore"):
        remembered = np.log(weight * matches.shares)
    return np.asarray(-np.logaddexp(np.log1p(-weight) - nats, remembered))


def _groups(matches: Matches) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(_ORDERS, matches.orders, side="right"))


_MEMORIES = {
    "base_file": ("base", ("file",)),
    "base_memory": ("base", ("file", "project")),
    "base_other_memory": ("base", ("file", "other")),
    "adapter_memory": ("adapter", ("file", "project")),
    "context_memory": ("context", ("file", "project")),
    "both_memory": ("both", ("file", "project")),
}
"""Condition to the one that it adds memories to, one after the other."""

CONDITION_METRICS = {"context": "retrieval", "both": "adapter_with_retrieval", "other_adapter": "other_adapter"} | {
    name: name for name in _MEMORIES
}
"""Condition to the prefix of its metrics; those of base and adapter come from the scores."""

_MEMORY_GAINS = {
    "memory_saved": ("base", "base_memory"),
    "project_memory_saved": ("base_file", "base_memory"),
    "other_memory_saved": ("base_file", "base_other_memory"),
}
"""What a memory saves without training; another project's is the control, which should save nothing."""

_WITHOUT_EXAMPLES = {"context": "base", "both": "adapter"}
"""Condition to the same without similar training examples, on which its weights are learned."""


@dataclass(frozen=True)
class ConditionInputs:
    """Held-out completions, the same after similar training examples (may be empty), and the models' folders;
    ``general``: data set of code that is not the project's.
    """

    items: Sequence[Example]
    retrieved: Sequence[Example]
    dataset: Path
    general: Path | None
    challenger: Path
    other: Path | None

    @property
    def models(self) -> dict[str, Path | None]:
        return {"base": None, "adapter": self.challenger}


def condition_table(inputs: ConditionInputs, scorer: ItemScorer, settings: EvaluationSettings) -> pl.DataFrame:
    """Bits of each completion by condition, as ``CONDITION_SCORES``; null if not measured."""
    items = inputs.items
    inputs_by_condition = {
        condition: (items, folder, settings.max_length) for condition, folder in inputs.models.items()
    }
    if inputs.retrieved:
        inputs_by_condition["context"] = (inputs.retrieved, None, settings.retrieved_window)
        inputs_by_condition["both"] = (inputs.retrieved, inputs.challenger, settings.retrieved_window)
    scores, lines = dict[str, list[ItemScore]](), dict[str, list[bool]]()
    for condition, (texts, folder, window) in inputs_by_condition.items():
        scores[condition] = scorer.scores(texts, folder, window)
        lengths = scorer.first_lines(texts, window)
        pairs = zip(texts, scores[condition], strict=True)
        lines[condition] = [score.greedy >= lengths.get(text.example_id, inf) for text, score in pairs]
    bits = {condition: [score.bits for score in scored] for condition, scored in scores.items()}
    if inputs.other is not None:
        bits["other_adapter"] = [score.bits for score in scorer.scores(items, inputs.other)]
    bits |= _memory_bits(inputs, scores, scorer, settings)
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


def _memory_bits(
    inputs: ConditionInputs, scores: Mapping[str, Sequence[ItemScore]], scorer: ItemScorer, settings: EvaluationSettings
) -> dict[str, list[float]]:
    """Bits of each item under the conditions with a memory; the weights are the best on validation items."""
    # of the training split, from which the adapter learnt too
    memories = {"file": None, "project": _memory(inputs.dataset, "completion", scorer, settings.max_length)}
    if inputs.general is not None:
        memories["other"] = _memory(inputs.general, GENERAL, scorer, settings.max_length)

    def match(items: Sequence[Example], window: int) -> dict[str, Matches]:
        examples = [example for example in scorer.tokenised(items, window) if example.text_bytes]
        return {name: match_answers(examples, memory) for name, memory in memories.items()}

    validation = sampled(read_examples(inputs.dataset, "completion", "validation"), settings.items, settings.seed)
    validation_nats = {name: _nats(scorer.scores(validation, folder)) for name, folder in inputs.models.items()}
    validation_matches = match(validation, settings.max_length)
    matches = {"plain": match(inputs.items, settings.max_length)}
    if inputs.retrieved:
        matches["retrieved"] = match(inputs.retrieved, settings.retrieved_window)
    bits = {}
    for name, (condition, added) in _MEMORIES.items():
        if condition not in scores or not memories.keys() >= set(added):
            continue
        nats, known_nats = _nats(scores[condition]), validation_nats[_WITHOUT_EXAMPLES.get(condition, condition)]
        for memory in added:
            weights = learn_weights(known_nats, validation_matches[memory])
            known_nats = mix(known_nats, validation_matches[memory], weights)
            nats = mix(nats, matches["retrieved" if condition in _WITHOUT_EXAMPLES else "plain"][memory], weights)
        ends = np.cumsum([len(score.token_nats) for score in scores[condition]])
        bits[name] = [fsum(part) / log(2) for part in np.split(nats, ends[:-1])]
    return bits


def _memory(dataset: Path, task: str, scorer: ItemScorer, window: int) -> TokenMemory:
    return TokenMemory(example.ids for example in scorer.tokenised(read_examples(dataset, task, "train"), window))


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
        gaps = table.filter("gap")
        metrics |= gain.as_metrics("gain_over_untrained") | {"gap_items": gaps.height}
        for measured in (*UNTRAINED_CONDITIONS, *TRAINED_CONDITIONS):
            if not table[f"{measured}_line"].null_count():
                metrics[f"line_{measured}"] = float(table[f"{measured}_line"].to_numpy().mean())
                if gaps.height:
                    metrics[f"gap_{measured}_bits_per_byte"] = bits_per_byte(gaps, measured)
    comparisons = _MEMORY_GAINS | {
        f"{name}_gain": (condition, "adapter") for condition, name in CONDITION_METRICS.items()
    }
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
    """Bits of each item under the condition that needs the fewest on the other half of the files.

    A condition selected on the items it is measured on would look better than it is. Clusters of files are assigned to
    the halves alternately.
    """
    measured = [condition for condition in conditions if not table[f"{condition}_bits"].null_count()]
    half = table["cluster"].rank("dense").cast(pl.Int64) % 2
    selected = {}
    for fold in (0, 1):
        training_rows = table.filter(half != fold)
        selected[fold] = min(measured, key=lambda name: (fsum(training_rows[f"{name}_bits"]), measured.index(name)))
    return [float(table[f"{selected[fold]}_bits"][row]) for row, fold in enumerate(half)]


def _nats(scores: Sequence[ItemScore]) -> Nats:
    """Nats of the tokens of all items, in order."""
    return np.array([nats for score in scores for nats in score.token_nats])
