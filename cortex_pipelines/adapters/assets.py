"""Adapters: one LoRA adapter a project, trained on its data sets."""

from collections.abc import Callable
from pathlib import Path

from cortex_pipelines.adapters.build import build_adapter
from cortex_pipelines.adapters.examples import TASKS
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.ingestion.weights import PinnedModel
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(
    code=(
        "cortex_pipelines/adapters",
        "cortex_pipelines/ingestion/cache.py",
        "cortex_pipelines/ingestion/weights.py",
    ),
    determinism="machine",
)
def code_adapter(
    completion_dataset: Path,
    refactoring_dataset: Path,
    naming_dataset: Path,
    architecture_dataset: Path,
    base_model: PinnedModel,
    adapters: AdapterSettings,
    out: Path,
    root: Path,
    observe: Callable[[str, float], None],
) -> None:
    """LoRA adapter that writes code the project's way, on the pinned base model."""
    folders = (completion_dataset, refactoring_dataset, naming_dataset, architecture_dataset)
    datasets = dict(zip(TASKS, folders, strict=True))
    build_adapter(datasets, base_model, adapters, out, root, observe)
