"""Catastrophic forgetting: perplexity on another project's code."""

import re
from dataclasses import dataclass, replace
from math import expm1, log
from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import ROLES, bits_per_byte, perplexity
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import Example, grouped_by_file, read_examples, sampled, without_gaps
from cortex_pipelines.statistics.intervals import paired_bootstrap

_COMPARED = "completion"
_MIN_CONTEXT = 40  # characters of context before the first scored one
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class GeneralItems:
    """Passages of plain code (``items``), and completions with the project's prompts (``foreign``).

    ``missing`` is the reason for having no items; empty otherwise.
    """

    items: tuple[Example, ...]
    foreign: tuple[Example, ...]
    near_duplicates: int
    missing: str


def general_items(
    general_code: Path,
    general_project: str | None,
    project: str,
    completion_dataset: Path,
    dataset_settings: DatasetSettings,
    settings: EvaluationSettings,
) -> GeneralItems:
    """General items, without near-duplicates of the adapter's training data."""
    if general_project is None:
        return GeneralItems((), (), 0, "general.project in params.yaml names no project")
    if general_project == project:
        return GeneralItems((), (), 0, f"{project} is itself the project that stands for all code")
    columns = ["example_id", _COMPARED, "language"]
    train = pl.read_parquet(completion_dataset / "train.parquet", columns=columns)
    test = pl.read_parquet(general_code / "test.parquet", columns=columns)
    leaking = set(near_duplicate_pairs(train, test, _COMPARED, dataset_settings)["other_example_id"])
    examples = without_gaps(general_code, "completion", "test")
    clean = grouped_by_file(
        [example for example in examples if example.example_id not in leaking],
        read_examples(general_code, "completion", "test"),
    )
    passages = sampled(clean, settings.general_items, settings.seed)
    items = [extract_passage(example, settings.general_characters) for example in passages]
    missing = "" if items else f"{general_project} has no held-out item that may be used"
    foreign = sampled(clean, settings.items, settings.seed)
    return GeneralItems(tuple(items), tuple(foreign), len(leaking), missing)


def extract_passage(example: Example, characters: int) -> Example:
    """Whole lines around the boundary of prompt and completion, almost all scored.

    Passages are short because items differ more than segments of one item do: in the same time, many short passages
    give a narrower interval than a few long ones. They are plain code because an adapter has learnt the format of
    answers, which would mask forgetting.
    """
    before, after = example.prompt[-characters:], example.completion[:characters]
    if len(before) < len(example.prompt):
        before = before.partition("\n")[2] or before
    if len(after) < len(example.completion):
        after = after.rpartition("\n")[0] or after
    text = before + after
    context_length = min(_MIN_CONTEXT, len(text) // 2)
    border = _SPACE.search(text, context_length)
    split_at = border.start() if border else context_length
    return replace(example, prompt=text[:split_at], completion=text[split_at:])


def forgetting_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Relative perplexity increase per token over the base on general code; negative if it is lower."""
    if not scores.height:
        return {}
    nats = (scores["challenger_bits"] - scores["base_bits"]) * log(2)
    clusters, tokens = scores["cluster"].to_list(), scores["tokens"].to_list()
    differences = (nats / scores["tokens"]).to_list()
    increase = paired_bootstrap(differences, weights=tokens, clusters=clusters, **settings.bootstrap)
    metrics: dict[str, float] = {"general_items": scores.height}
    metrics |= {name: expm1(value) for name, value in increase.as_metrics("forgetting").items()}
    metrics |= {f"general_{role}_perplexity": perplexity(scores, role) for role in ROLES}
    return metrics | {f"general_{role}_bits_per_byte": bits_per_byte(scores, role) for role in ROLES}
