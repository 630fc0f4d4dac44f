"""Improvement of an adapter on code of one purpose: components, endpoints, queries, tests."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.adapter.measures.bits_per_byte import bits_per_byte, improvement
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.schemas.datasets import MANIFEST

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
    manifest = pl.concat(
        [
            MANIFEST.read(folder, "entry_id", "split", "left_out", "category").select(
                pl.lit(task).alias("task"), pl.col("entry_id").alias("example_id"), "split", "left_out", "category"
            )
            for task, folder in datasets.items()
        ]
    ).filter(pl.col("left_out").is_null())
    metrics: dict[str, float] = {}
    for name, categories in SPECIALISATIONS.items():
        members = manifest.filter(pl.col("category").is_in(categories))
        items = scores.join(members, on=["task", "example_id"], how="semi", maintain_order="left")
        metrics[f"for_{name}_train_examples"] = members.filter(pl.col("split") == "train").height
        metrics[f"for_{name}_items"] = items.height
        metrics |= {f"for_{name}_{key}": value for key, value in _subset_metrics(items, settings).items()}
    return metrics


def _subset_metrics(items: pl.DataFrame, settings: EvaluationSettings) -> dict[str, float]:
    if not items.height:
        return {}
    groups = items["cluster"].n_unique()
    metrics: dict[str, float] = {"groups": groups}
    metrics |= {f"{role}_bits_per_byte": bits_per_byte(items, role) for role in ("base", "challenger")}
    if groups >= LEAST_GROUPS:
        metrics |= improvement(items, "base", settings).as_metrics("improvement_over_base")
    return metrics
