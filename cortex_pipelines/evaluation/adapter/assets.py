"""Evaluation of the adapters against their base and the champion, on held-out code."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.data.examples import TASKS
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings, GeneralSettings
from cortex_pipelines.evaluation.adapter.evaluate import evaluate_adapter
from cortex_pipelines.evaluation.adapter.inputs import AdapterVersion, Material
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.adapter_scores import (
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
from cortex_pipelines.versioning.champions import Opponent


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
        "cortex_pipelines/adapters/model/base_model.py",
        "cortex_pipelines/adapters/model/determinism.py",
        "cortex_pipelines/adapters/data/examples.py",
        "cortex_pipelines/adapters/model/lora.py",
        "cortex_pipelines/adapters/data/packing.py",
        "cortex_pipelines/adapters/settings.py",
        "cortex_pipelines/annotation/labels/words.py",
        "cortex_pipelines/augmentation/verification/killing.py",
        "cortex_pipelines/augmentation/settings.py",
        "cortex_pipelines/augmentation/verification/trial.py",
        "cortex_pipelines/datasets/tasks/naming_conventions.py",
        "cortex_pipelines/datasets/dedup/similarity_join.py",
        "cortex_pipelines/datasets/settings.py",
        "cortex_pipelines/datasets/dedup/shingles.py",
        "cortex_pipelines/evaluation/adapter/evaluate.py",
        "cortex_pipelines/evaluation/adapter/report/page.py",
        "cortex_pipelines/evaluation/adapter/report/sections.py",
        "cortex_pipelines/evaluation/adapter/measures/bits_per_byte.py",
        "cortex_pipelines/evaluation/adapter/assets.py",
        "cortex_pipelines/evaluation/adapter/measures/baselines.py",
        "cortex_pipelines/evaluation/adapter/measures/multiple_choice_scores.py",
        "cortex_pipelines/evaluation/adapter/measures/multiple_choice.py",
        "cortex_pipelines/evaluation/metrics/codebleu.py",
        "cortex_pipelines/evaluation/statistics/multiple_comparisons.py",
        "cortex_pipelines/evaluation/adapter/measures/models.py",
        "cortex_pipelines/evaluation/adapter/measures/canary_exposure.py",
        "cortex_pipelines/evaluation/generation/stopping.py",
        "cortex_pipelines/evaluation/adapter/measures/forgetting.py",
        "cortex_pipelines/evaluation/adapter/measures/generations.py",
        "cortex_pipelines/evaluation/metrics/grading.py",
        "cortex_pipelines/evaluation/adapter/measures/likelihood.py",
        "cortex_pipelines/evaluation/adapter/inputs.py",
        "cortex_pipelines/evaluation/adapter/measures/memorisation.py",
        "cortex_pipelines/evaluation/adapter/report/outputs.py",
        "cortex_pipelines/evaluation/adapter/measures/humaneval.py",
        "cortex_pipelines/evaluation/adapter/report/quality.py",
        "cortex_pipelines/evaluation/generation/test_runner.py",
        "cortex_pipelines/evaluation/settings.py",
        "cortex_pipelines/evaluation/statistics/intervals.py",
        "cortex_pipelines/evaluation/metrics/style.py",
        "cortex_pipelines/evaluation/metrics/edit_similarity.py",
        "cortex_pipelines/evaluation/generation/sampling.py",
        "cortex_pipelines/extraction/gaps.py",
        "cortex_pipelines/extraction/grammars.py",
        "cortex_pipelines/ingestion/cache.py",
        "cortex_pipelines/ingestion/pretrained_models.py",
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
