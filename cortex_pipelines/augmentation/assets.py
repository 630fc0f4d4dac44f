"""Assets that augment code units: renamed, rewritten and mutated."""

from pathlib import Path

import polars as pl

from cortex_pipelines.augmentation.augment import UNIT_COLUMNS, augment
from cortex_pipelines.augmentation.mutant_verification import verified
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.execution.tests.environment import open_environment
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, MUTANT_VERIFICATION, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.ingestion import REPOSITORY_FILES
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(RENAMED_UNITS, REWRITTEN_UNITS, INJECTED_ERRORS))
def augmented_units(
    annotated_units: Path, augmentation: AugmentationSettings, project: str, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Functions renamed or rewritten with the same behaviour, and functions with one bug."""
    units = ANNOTATED_UNITS.read(annotated_units, *UNIT_COLUMNS)
    return augment(units, augmentation, project, cache)


@versioned_asset(tables=(MUTANT_VERIFICATION,), determinism="machine")
def mutant_verification(
    augmented_units: Path, annotated_units: Path, repository_files: Path, augmentation: AugmentationSettings, root: Path
) -> dict[str, pl.DataFrame]:
    """Which injected bugs compile, and which are killed by a test or a comparison of outputs."""
    tables = verified(
        INJECTED_ERRORS.read(augmented_units),
        ANNOTATED_UNITS.read(annotated_units),
        REPOSITORY_FILES.read(repository_files),
        augmentation,
        open_environment(augmentation.test_environment, root),
    )
    return {MUTANT_VERIFICATION.name: tables}
