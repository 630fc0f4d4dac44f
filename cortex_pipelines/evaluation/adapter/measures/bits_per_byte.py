"""Bits per byte of adapter, base and champion on held-out code, also by purpose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.likelihood import ItemScorer
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.prompts.examples import DATASETS, Example
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.evaluation import ADAPTER_SCORES
from cortex_pipelines.schemas.table import Table
from cortex_pipelines.statistics.intervals import Interval, cluster_sums, two_sample_bootstrap
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
