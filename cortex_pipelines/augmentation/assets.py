"""Assets that augment code units: renamed, rewritten and mutated."""

from pathlib import Path

import polars as pl

from cortex_pipelines.augmentation.augment import UNIT_COLUMNS, augment
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.rowcache import RowCache
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(RENAMED_UNITS, REWRITTEN_UNITS, INJECTED_ERRORS))
def augmented_units(
    annotated_units: Path, augmentation: AugmentationSettings, project: str, cache: RowCache
) -> dict[str, pl.DataFrame]:
    """Functions renamed or rewritten with the same behaviour, and functions with one bug."""
    units = ANNOTATED_UNITS.read(annotated_units, *UNIT_COLUMNS)
    return augment(units, augmentation, project, cache)
