"""Catastrophic forgetting: perplexity on another project's code."""

import re
from dataclasses import dataclass, replace
from math import expm1, log
from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, perplexity
from cortex_pipelines.evaluation.adapter.measures.models import ROLES
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import (
    Example,
    grouped_by_file,
    read_examples,
    sampled,
    without_gaps,
)
from cortex_pipelines.statistics.intervals import paired_bootstrap

_COMPARED = "completion"
_SEEN = 40  # characters that the models see before the first that is scored
_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class GeneralItems:
    """Held-out items of the general-code project.

    Args:
        items: Passages of plain code; none if nothing can be measured.
        foreign: Examples as they are asked of the project's own code.
        near_duplicates: Number of items left out as near-duplicates of the train split.
        missing: Why there are none; empty if there are.
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
    """General items without those that leak.

    Args:
        general_code: Folder of the general project's examples.
        general_project: Which project that is; None for none.
        project: Project of the adapter.
        completion_dataset: Folder of its completion data set.
        dataset_settings: Threshold of near-duplicates.
        settings: How many items.
    """
    if general_project is None:
        return GeneralItems((), (), 0, "general.project in params.yaml names no project")
    if general_project == project:
        return GeneralItems((), (), 0, f"{project} is itself the project that stands for all code")
    columns = ["example_id", _COMPARED, "language"]
    train = pl.read_parquet(completion_dataset / "train.parquet", columns=columns)
    test = pl.read_parquet(general_code / "test.parquet", columns=columns)
    leaking = set(
        near_duplicate_pairs(train, test, _COMPARED, dataset_settings)["other_example_id"]
    )
    known = without_gaps(general_code, "completion", "test")
    clean = grouped_by_file(
        [example for example in known if example.example_id not in leaking],
        read_examples(general_code, "completion", "test"),
    )
    items = [
        passage(example, settings.general_characters)
        for example in sampled(clean, settings.general_items, settings.seed)
    ]
    missing = "" if items else f"{general_project} has no held-out item that may be used"
    foreign = sampled(clean, settings.items, settings.seed)
    return GeneralItems(tuple(items), tuple(foreign), len(leaking), missing)


def passage(example: Example, characters: int) -> Example:
    """Whole lines around the border of prompt and completion, almost all scored.

    Passages are short, because items differ more from each other than parts of an item do: in the
    same time many short ones give a narrower interval than a few long ones. They are plain code,
    because an adapter has learnt the format of answers, which would mask forgetting.

    Args:
        example: An item.
        characters: Most that are taken of its prompt, and of its completion.
    """
    before, after = example.prompt[-characters:], example.completion[:characters]
    if len(before) < len(example.prompt):
        before = before.partition("\n")[2] or before
    if len(after) < len(example.completion):
        after = after.rpartition("\n")[0] or after
    text = before + after
    seen = min(_SEEN, len(text) // 2)
    border = _SPACE.search(text, seen)
    cut = border.start() if border else seen
    return replace(example, prompt=text[:cut], completion=text[cut:])


def forgetting_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Relative perplexity increase over the base on general code, with interval.

    ``forgetting`` is 0.02 where the challenger's perplexity of a token is 2 % above the base's;
    negative where it is lower.
    """
    if not scores.height:
        return {}
    nats = (scores["challenger_bits"] - scores["base_bits"]) * log(2)
    rise = paired_bootstrap(
        (nats / scores["tokens"]).to_list(),
        weights=scores["tokens"].to_list(),
        clusters=scores["cluster"].to_list(),
        resamples=settings.resamples,
        confidence=settings.confidence,
        seed=settings.seed,
    )
    metrics: dict[str, float] = {
        "general_items": scores.height,
        "forgetting": expm1(rise.estimate),
        "forgetting_low": expm1(rise.low),
        "forgetting_high": expm1(rise.high),
    }
    metrics |= {f"general_{role}_perplexity": perplexity(scores, role) for role in ROLES}
    return metrics | {
        f"general_{role}_bits_per_byte": bits_per_byte(scores, role) for role in ROLES
    }
