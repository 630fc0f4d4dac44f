"""Evaluation of the adapters against their base and the champion, on held-out code."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.examples import TASKS
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings, GeneralSettings
from cortex_pipelines.evaluation.adapter_evaluation import evaluate_adapter
from cortex_pipelines.evaluation.material import AdapterVersion, Material
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.weights import PinnedModel
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas import (
    ADAPTER_SCORES,
    BENCHMARK_PROBLEMS,
    CANARIES,
    GENERAL_SCORES,
    GENERATIONS,
    MEMORISED,
    TEAM_CHOICES,
)
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import Earlier
from cortex_pipelines.versioning.opponent import Opponent


@versioned_asset(
    tables=(
        ADAPTER_SCORES,
        GENERAL_SCORES,
        TEAM_CHOICES,
        GENERATIONS,
        BENCHMARK_PROBLEMS,
        MEMORISED,
        CANARIES,
    ),
    code=(
        "cortex_pipelines/adapters/base_model.py",
        "cortex_pipelines/adapters/determinism.py",
        "cortex_pipelines/adapters/examples.py",
        "cortex_pipelines/adapters/lora.py",
        "cortex_pipelines/adapters/packing.py",
        "cortex_pipelines/adapters/settings.py",
        "cortex_pipelines/annotation/words.py",
        "cortex_pipelines/augmentation/killing.py",
        "cortex_pipelines/augmentation/settings.py",
        "cortex_pipelines/augmentation/trial.py",
        "cortex_pipelines/datasets/conventions.py",
        "cortex_pipelines/datasets/leakage.py",
        "cortex_pipelines/datasets/settings.py",
        "cortex_pipelines/datasets/shingles.py",
        "cortex_pipelines/evaluation/adapter_evaluation.py",
        "cortex_pipelines/evaluation/adapter_report.py",
        "cortex_pipelines/evaluation/adapter_report_parts.py",
        "cortex_pipelines/evaluation/adapter_scores.py",
        "cortex_pipelines/evaluation/assets.py",
        "cortex_pipelines/evaluation/baselines.py",
        "cortex_pipelines/evaluation/choice_scores.py",
        "cortex_pipelines/evaluation/choices.py",
        "cortex_pipelines/evaluation/code_similarity.py",
        "cortex_pipelines/evaluation/comparisons.py",
        "cortex_pipelines/evaluation/contestants.py",
        "cortex_pipelines/evaluation/exposure.py",
        "cortex_pipelines/evaluation/extents.py",
        "cortex_pipelines/evaluation/forgetting.py",
        "cortex_pipelines/evaluation/generations.py",
        "cortex_pipelines/evaluation/grading.py",
        "cortex_pipelines/evaluation/likelihood.py",
        "cortex_pipelines/evaluation/material.py",
        "cortex_pipelines/evaluation/memorisation.py",
        "cortex_pipelines/evaluation/outputs_report.py",
        "cortex_pipelines/evaluation/problems.py",
        "cortex_pipelines/evaluation/quality_report.py",
        "cortex_pipelines/evaluation/running.py",
        "cortex_pipelines/evaluation/settings.py",
        "cortex_pipelines/evaluation/statistics.py",
        "cortex_pipelines/evaluation/style.py",
        "cortex_pipelines/evaluation/text_similarity.py",
        "cortex_pipelines/evaluation/writing.py",
        "cortex_pipelines/extraction/gaps.py",
        "cortex_pipelines/extraction/grammars.py",
        "cortex_pipelines/ingestion/cache.py",
        "cortex_pipelines/ingestion/weights.py",
        "cortex_pipelines/pages.py",
        "cortex_pipelines/sandbox.py",
        "cortex_pipelines/sandbox_stage.py",
        "cortex_pipelines/schemas.py",
    ),
    determinism="machine",
    champion_of="code_adapter",
)
def code_adapter_evaluation(
    code_adapter: Path,
    completion_dataset: Path,
    refactoring_dataset: Path,
    naming_dataset: Path,
    architecture_dataset: Path,
    general_code: Path,
    repository_files: Path,
    code_units: Path,
    base_model: PinnedModel,
    evaluation: EvaluationSettings,
    general: GeneralSettings,
    datasets: DatasetSettings,
    augmentation: AugmentationSettings,
    opponent: Opponent | None,
    earlier: Earlier,
    versions: dict[str, str],
    project: str,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """What adapter, base and champion make of held-out code: likelihoods, choices, outputs, tests,
    what is forgotten and what is given away, with intervals and a report."""
    folders = (completion_dataset, refactoring_dataset, naming_dataset, architecture_dataset)
    named = evaluation.other_adapter
    material = Material(
        project=project,
        datasets=dict(zip(TASKS, folders, strict=True)),
        general_code=general_code,
        general_project=general.project,
        repository_files=repository_files,
        code_units=code_units,
        twins=datasets,
        limits=augmentation,
        other=AdapterVersion(named.version, earlier("code_adapter", named.project, named.version))
        if named
        else None,
    )
    return evaluate_adapter(
        AdapterVersion(versions["code_adapter"], code_adapter),
        AdapterVersion(opponent.version, opponent.folder) if opponent else None,
        material,
        base_model,
        evaluation,
        out,
        root,
        cache,
        observe,
    )
