"""Bits per byte of adapter, base and champion on held-out code, also by purpose; forgetting of another project's.

Completions also under other conditions: similar training examples before the prompt, another project's adapter.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import expm1, inf, log
from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.dedup.similarity_join import near_duplicate_pairs
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScore, ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import DATASETS, Example, grouped_by_file, read_examples, sampled, without_gaps
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.evaluation import (
    ADAPTER_SCORES,
    CONDITION_SCORES,
    TRAINED_CONDITIONS,
    UNTRAINED_CONDITIONS,
)
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.statistics.intervals import Interval, cluster_sums, paired_bootstrap, two_sample_bootstrap
from cortex_pipelines.statistics.significance import PairedDifferences

ROLES = ("base", "challenger", "reference")
WRITERS = ("base", "challenger")
"""Roles that generate, too."""


@dataclass(frozen=True)
class ComparedModels:
    """Adapter folders; the reference is None if that is the base alone."""

    challenger: Path
    reference: Path | None

    def folder(self, role: str) -> Path | None:
        return {"base": None, "challenger": self.challenger, "reference": self.reference}[role]


def score_table(
    items: Sequence[Example], models: ComparedModels, scorer: ItemScorer, table: Table = ADAPTER_SCORES
) -> pl.DataFrame:
    scored = {role: scorer.scores(items, models.folder(role)) for role in ROLES}
    rows = [
        {
            **{name: getattr(item, name) for name in ("example_id", "task", "path", "language")},
            "kind": item.kind,
            "cluster": item.cluster,
            "bytes": scored["base"][index].bytes,
            "tokens": scored["base"][index].tokens,
            **{f"{role}_bits": scored[role][index].bits for role in ROLES},
        }
        for index, item in enumerate(items)
        if scored["base"][index].bytes
    ]
    return table.frame(rows)


def score_metrics(scores: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Metrics over all items, and per task under its name.

    ``improvement`` is the reference's bits per byte minus the challenger's, so positive is better;
    ``improvement_over_base`` compares with the base, which is the reference without a champion. ``perplexity`` is per
    token. Without items only the counts are returned.
    """
    metrics: dict[str, float] = {"items": scores.height, "clusters": scores["cluster"].n_unique()}
    if not scores.height:
        return metrics
    for prefix, subset in [("", scores), *((f"{task}_", task_rows(scores, task)) for task in DATASETS)]:
        if subset.height:
            metrics |= {f"{prefix}items": subset.height, f"{prefix}bytes": float(subset["bytes"].sum())}
            metrics |= {f"{prefix}{role}_bits_per_byte": bits_per_byte(subset, role) for role in ROLES}
            metrics |= {f"{prefix}{role}_perplexity": perplexity(subset, role) for role in ROLES}
            for name, over in (("improvement", "reference"), ("improvement_over_base", "base")):
                metrics |= improvement(subset, over, settings).as_metrics(f"{prefix}{name}")
    return metrics


def bits_saved(
    scores: pl.DataFrame, baseline: str, settings: EvaluationSettings, role: str = "challenger"
) -> PairedDifferences:
    """Bits per byte that a role saves over another, per item."""
    return PairedDifferences(
        ((scores[f"{baseline}_bits"] - scores[f"{role}_bits"]) / scores["bytes"]).to_list(),
        scores["cluster"].to_list(),
        scores["bytes"].to_list(),
        settings.smallest_improvement,
    )


def improvement(scores: pl.DataFrame, baseline: str, settings: EvaluationSettings) -> Interval:
    return bits_saved(scores, baseline, settings).interval(**settings.bootstrap)


def foreign_code_metrics(scores: pl.DataFrame, foreign: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    """Improvement on another project's completions, and how much more the own project improves.

    ``own_improvement`` is ``completion_improvement_over_base`` minus ``foreign_improvement``: an adapter that only
    learnt how answers begin gains the same on both. Empty if either has no items.
    """
    project_scores = task_rows(scores, "completion")
    if not project_scores.height or not foreign.height:
        return {}
    paired = [bits_saved(part, "base", settings) for part in (project_scores, foreign)]
    foreign_interval = paired[1].interval(**settings.bootstrap)
    excess = two_sample_bootstrap(
        *(cluster_sums(part.differences, part.weights, part.clusters) for part in paired), **settings.bootstrap
    )
    metrics: dict[str, float] = {"foreign_items": foreign.height}
    for name, interval in (("foreign_improvement", foreign_interval), ("own_improvement", excess)):
        metrics |= interval.as_metrics(name)
    return metrics


def bits_per_byte(scores: pl.DataFrame, role: str) -> float:
    """Total bits over total bytes: long items weigh more, as in use."""
    return float(scores[f"{role}_bits"].sum()) / float(scores["bytes"].sum())


def perplexity(scores: pl.DataFrame, role: str) -> float:
    return float(2 ** (float(scores[f"{role}_bits"].sum()) / float(scores["tokens"].sum())))


def task_rows(scores: pl.DataFrame, task: str) -> pl.DataFrame:
    return scores.filter(pl.col("task") == task)


SPECIALISATIONS: Mapping[str, tuple[str, ...]] = {
    "components": ("react-component",),
    "endpoints": ("api-endpoint",),
    "queries": ("database-query", "data-access"),
    "tests": ("test-case",),
}
"""Purpose to the categories of its units (``annotated_units``)."""

LEAST_GROUPS = 6
"""Minimum groups of files; with fewer, no sign-flip test has p below 5 %."""


def specialisation_metrics(
    scores: pl.DataFrame, datasets: Mapping[str, Path], settings: EvaluationSettings
) -> dict[str, float]:
    """Improvement by purpose, over the items of all tasks; with an interval from ``LEAST_GROUPS`` groups of files."""
    if not scores.height:
        return {}
    columns = ("entry_id", "split", "left_out", "category")
    manifests = [MANIFEST.read(folder, *columns).with_columns(task=pl.lit(task)) for task, folder in datasets.items()]
    manifest = pl.concat(manifests).rename({"entry_id": "example_id"}).filter(pl.col("left_out").is_null())
    metrics: dict[str, float] = {}
    for name, categories in SPECIALISATIONS.items():
        members = manifest.filter(pl.col("category").is_in(categories))
        items = scores.join(members, on=["task", "example_id"], how="semi", maintain_order="left")
        metrics[f"for_{name}_train_examples"] = members.filter(pl.col("split") == "train").height
        metrics[f"for_{name}_items"] = items.height
        if items.height:
            metrics[f"for_{name}_groups"] = groups = items["cluster"].n_unique()
            metrics |= {f"for_{name}_{role}_bits_per_byte": bits_per_byte(items, role) for role in WRITERS}
            if groups >= LEAST_GROUPS:
                metrics |= improvement(items, "base", settings).as_metrics(f"for_{name}_improvement_over_base")
    return metrics


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
