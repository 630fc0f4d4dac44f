"""Evaluate adapters against base and champion on held-out code."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from cortex_pipelines.adapters.model.lora import AdapterVersion
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.datasets.settings import DatasetSettings, GeneralSettings
from cortex_pipelines.evaluation.adapter.evaluate import EvaluationInputs, evaluate_adapter
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.evaluation import (
    ADAPTER_SCORES,
    BENCHMARK_PROBLEMS,
    CANARIES,
    CONDITION_SCORES,
    FOREIGN_SCORES,
    GENERAL_SCORES,
    GENERATIONS,
    MEMORISED,
    MULTIPLE_CHOICE,
    WRITTEN_TESTS,
)
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import LoadVersion
from cortex_pipelines.versioning.champions import ReferenceModel


@versioned_asset(
    tables=(
        ADAPTER_SCORES,
        GENERAL_SCORES,
        FOREIGN_SCORES,
        MULTIPLE_CHOICE,
        GENERATIONS,
        WRITTEN_TESTS,
        BENCHMARK_PROBLEMS,
        MEMORISED,
        CANARIES,
        CONDITION_SCORES,
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
    documentation_dataset: Path,
    tests_dataset: Path,
    feedback_dataset: Path,
    general_code: Path,
    repository_files: Path,
    code_units: Path,
    base_model: PinnedModel,
    evaluation: EvaluationSettings,
    general: GeneralSettings,
    datasets: DatasetSettings,
    augmentation: AugmentationSettings,
    reference: ReferenceModel | None,
    load_version: LoadVersion,
    versions: dict[str, str],
    project: str,
    out: Path,
    root: Path,
    cache: RowCache,
    observe: Callable[[str, float], None],
) -> dict[str, pl.DataFrame]:
    """Compare adapter, base and champion on held-out code, with intervals and a report."""
    other_adapter = evaluation.other_adapter
    inputs = EvaluationInputs(
        project=project,
        datasets={
            "completion": completion_dataset,
            "refactoring": refactoring_dataset,
            "naming": naming_dataset,
            "architecture": architecture_dataset,
            "documentation": documentation_dataset,
            "tests": tests_dataset,
            "feedback": feedback_dataset,
        },
        general_code=general_code,
        general_project=general.project,
        repository_files=repository_files,
        code_units=code_units,
        dataset_settings=datasets,
        limits=augmentation,
        other=AdapterVersion(
            other_adapter.version, load_version("code_adapter", other_adapter.project, other_adapter.version)
        )
        if other_adapter
        else None,
    )
    return evaluate_adapter(
        AdapterVersion(versions["code_adapter"], code_adapter),
        AdapterVersion(reference.version, reference.folder) if reference else None,
        inputs,
        base_model,
        evaluation,
        out,
        root,
        cache,
        observe,
    )
