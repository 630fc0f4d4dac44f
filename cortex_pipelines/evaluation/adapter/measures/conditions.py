"""Conditions, with and without training: bits of held-out completions under each.

In addition to the base and the adapter: similar training examples before the prompt, for either;
another project's adapter; either mixed with a memory of the open file and of the project's tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf, log
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.adapters.data.corpus import GENERAL
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, bits_saved
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.adapter.measures.memory import (
    Matches,
    Nats,
    TokenMemory,
    learn_weights,
    match_answers,
    mix,
)
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, read_examples, sampled
from cortex_pipelines.schemas.evaluation import CONDITION_SCORES, TRAINED_CONDITIONS, UNTRAINED_CONDITIONS

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
    shown = {condition: (items, folder, settings.max_length) for condition, folder in inputs.models.items()}
    if inputs.retrieved:
        shown["context"] = (inputs.retrieved, None, settings.retrieved_window)
        shown["both"] = (inputs.retrieved, inputs.challenger, settings.retrieved_window)
    scores, lines = dict[str, list[ItemScore]](), dict[str, list[bool]]()
    for condition, (texts, folder, window) in shown.items():
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
    for name, (condition, chain) in _MEMORIES.items():
        if condition not in scores or not memories.keys() >= set(chain):
            continue
        nats, known_nats = _nats(scores[condition]), validation_nats[_WITHOUT_EXAMPLES.get(condition, condition)]
        for memory in chain:
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
        others = table.filter(half != fold)
        selected[fold] = min(measured, key=lambda name: (fsum(others[f"{name}_bits"]), measured.index(name)))
    return [float(table[f"{selected[fold]}_bits"][row]) for row, fold in enumerate(half)]


def _nats(scores: Sequence[ItemScore]) -> Nats:
    """Nats of the tokens of all items, in order."""
    return np.array([nats for score in scores for nats in score.token_nats])
