"""Train one LoRA adapter per project on its data sets."""

from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.adapters.build import TrainingInputs, build_adapter, parent_adapter
from cortex_pipelines.adapters.data.checks import check_training
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.datasets.settings import DatasetSettings, GeneralSettings
from cortex_pipelines.ingestion.pretrained_models import PinnedModel
from cortex_pipelines.ingestion.settings import IngestionSettings
from cortex_pipelines.privacy.settings import PrivacySettings
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.asset import LoadVersion


@versioned_asset(determinism="machine")
def code_adapter(
    completion_dataset: Path,
    refactoring_dataset: Path,
    naming_dataset: Path,
    architecture_dataset: Path,
    documentation_dataset: Path,
    tests_dataset: Path,
    feedback_dataset: Path,
    general_code: Path,
    base_model: PinnedModel,
    adapters: AdapterSettings,
    general: GeneralSettings,
    datasets: DatasetSettings,
    ingestion: IngestionSettings,
    privacy: PrivacySettings,
    project: str,
    load_version: LoadVersion,
    out: Path,
    root: Path,
    observe: Callable[[str, float], None],
) -> None:
    """LoRA adapter that completes code in the project's style, on the pinned base model."""
    training_data = {
        "completion": completion_dataset,
        "refactoring": refactoring_dataset,
        "naming": naming_dataset,
        "architecture": architecture_dataset,
        "documentation": documentation_dataset,
        "tests": tests_dataset,
        "feedback": feedback_dataset,
    }
    check_training(training_data, adapters, datasets, privacy, ingestion.trainable_licences)
    inputs = TrainingInputs(
        project,
        training_data,
        None if general.project in (None, project) else general_code,
        base_model,
        parent_adapter(adapters, project, load_version),
    )
    build_adapter(inputs, adapters, out, root, observe)
