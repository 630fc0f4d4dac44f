"""Read the input tables of the data sets."""

from pathlib import Path

import polars as pl

from cortex_pipelines.datasets.assemble.build import ProjectUnits
from cortex_pipelines.datasets.assemble.manifest import count_redactions
from cortex_pipelines.datasets.prompts.context import RepositoryContext
from cortex_pipelines.datasets.prompts.unit_text import file_bytes
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.unit_splits.build import eligible_units
from cortex_pipelines.schemas.annotation import ANNOTATED_UNITS
from cortex_pipelines.schemas.datasets.unit_splits import UNIT_SPLITS
from cortex_pipelines.schemas.repositories import REDACTIONS, REPOSITORY_FILES

# Columns that examples and manifests are made from.
_UNIT_COLUMNS = (
    *("unit_id", "source", "path", "blob", "language", "kind", "name", "signature", "context"),
    *("code", "docstring", "patterns", "start_byte", "end_byte", "body_start_byte"),
    *("start_line", "end_line", "category", "cyclomatic", "quality"),
)
_FILE_COLUMNS = ("source", "path", "text", "revision", "licence", "trainable")


def read_project(
    name: str, annotated_units: Path, repository_files: Path, unit_splits: Path, settings: DatasetSettings
) -> ProjectUnits:
    return project_units(
        name,
        ANNOTATED_UNITS.read(annotated_units, *_UNIT_COLUMNS),
        REPOSITORY_FILES.read(repository_files, *_FILE_COLUMNS),
        REDACTIONS.read(repository_files),
        UNIT_SPLITS.read(unit_splits),
        settings,
    )


def project_units(
    name: str,
    units: pl.DataFrame,
    files: pl.DataFrame,
    redactions: pl.DataFrame,
    splits: pl.DataFrame,
    settings: DatasetSettings,
) -> ProjectUnits:
    """Inputs from the tables ANNOTATED_UNITS, REPOSITORY_FILES, REDACTIONS and UNIT_SPLITS."""
    texts = file_bytes(files)
    prepared = eligible_units(units, files, splits, texts, settings)
    with_redactions = prepared.with_columns(count_redactions(prepared, redactions), pl.col("quality").alias("weight"))
    with_splits = units.join(splits.select("unit_id", "split"), on="unit_id", maintain_order="left")
    context = RepositoryContext(with_splits, settings.context_signatures)
    unit_attributes = units.select(
        *("unit_id", "language", "category", "cyclomatic"), pl.col("docstring").is_not_null().alias("documented")
    )
    split_rows = splits.join(unit_attributes, on="unit_id", how="left", maintain_order="left")
    return ProjectUnits(name, with_redactions, split_rows, context, texts)
