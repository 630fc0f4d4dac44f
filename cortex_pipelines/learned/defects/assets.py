"""The recogniser of defects in the asset graph."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.learned.defects.compare import (
    STATEMENT_TASK,
    DefectBenchmark,
    adopted_way,
    defect_metrics,
    defect_rows,
    read_items,
    score_rows,
    stack_of,
    with_stacks,
)
from cortex_pipelines.learned.defects.likelihood import CodeModel
from cortex_pipelines.learned.defects.predict import Recogniser
from cortex_pipelines.learned.defects.scores import EDIT_GAIN, NETWORK, RANDOM, STACKED
from cortex_pipelines.learned.settings import DefectSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS, UNIT_FINDINGS
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS
from cortex_pipelines.schemas.learned import DEFECT_SCORES, LEADERBOARD
from cortex_pipelines.statistics.leaderboard import leaderboard_table
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.peak_memory import observed_cost


@versioned_asset(tables=(DEFECT_SCORES, LEADERBOARD), partitioned=False, determinism="machine", on_request=True)
def pattern_recogniser(
    augmented_units: dict[str, Path],
    annotated_units: dict[str, Path],
    base_model: PinnedModel,
    defects: DefectSettings,
    evaluation: EvaluationSettings,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Find the statement of a function that holds a defect: plain ways, a CNN with a transformer, and all together."""
    items = [
        item
        for project in sorted(augmented_units)
        for item in read_items(
            project, _units(annotated_units[project]), INJECTED_ERRORS.read(augmented_units[project]), defects
        )
    ]
    benchmark = DefectBenchmark(items, CodeModel(base_model, root, defects.threads), defects, cache)
    with observed_cost(observe, f"{STATEMENT_TASK}/{EDIT_GAIN}"):
        scored_items = benchmark.plain()
    with observed_cost(observe, f"{STATEMENT_TASK}/{NETWORK}"):
        scored_items = benchmark.with_networks(scored_items)
        network = benchmark.train()
    with observed_cost(observe, f"{STATEMENT_TASK}/{STACKED}"):
        scored_items = with_stacks(scored_items)
    scores = DEFECT_SCORES.frame(score_rows(scored_items))
    rows = leaderboard_table(defect_rows(scores, evaluation))
    way = adopted_way(rows.to_dicts(), STATEMENT_TASK)
    if way in (None, RANDOM):  # nothing was shown to be better, but an order by chance helps nobody
        way = EDIT_GAIN
    Recogniser(way, network, stack_of(scored_items) if way == STACKED else None).save(out)
    write_json(out / "metrics.json", defect_metrics(scores))
    return {DEFECT_SCORES.name: scores, LEADERBOARD.name: rows}


def _units(annotated_units: Path) -> pl.DataFrame:
    """Where each unit stands, and what is found in it that is better otherwise."""
    findings = UNIT_FINDINGS.read(annotated_units, "unit_id", "label", "kind").filter(pl.col("kind") != "pattern")
    labels = findings.group_by("unit_id").agg(labels=pl.col("label").unique().sort())
    units = ANNOTATED_UNITS.read(annotated_units, "unit_id", "kind", "path")
    return units.join(labels, on="unit_id", how="left").with_columns(pl.col("labels").fill_null([]))
