"""Build the augmentation tables of a project's units."""

import polars as pl

from cortex_pipelines.augmentation.parallel import Work, in_processes
from cortex_pipelines.augmentation.rows import injected_rows, renamed_rows, rewritten_rows
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.rowcache import RowCache, row_keys
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.table import Table

_KINDS = ("function", "method")
_KEY = "cache_key"
_COLUMNS = ("unit_id", "language", "kind", "path", "name", "code")
UNIT_COLUMNS = (*_COLUMNS, "has_error", "generated")
"""Columns of ANNOTATED_UNITS that augmentations are made from."""

_WORK: dict[Table, tuple[Work[AugmentationSettings], str]] = {
    RENAMED_UNITS: (renamed_rows, "Renaming local variables"),
    REWRITTEN_UNITS: (rewritten_rows, "Rewriting"),
    INJECTED_ERRORS: (injected_rows, "Injecting errors"),
}


def augment(
    units: pl.DataFrame, settings: AugmentationSettings, project: str = "", cache: RowCache | None = None
) -> dict[str, pl.DataFrame]:
    """RENAMED_UNITS, REWRITTEN_UNITS and INJECTED_ERRORS by name; the same with and without a cache."""
    return {table.name: augmented(table, units, settings, project, cache) for table in _WORK}


def augmentable(units: pl.DataFrame, settings: AugmentationSettings) -> pl.DataFrame:
    """Functions and methods that parse, are hand-written and are not too long."""
    return units.filter(
        pl.col("kind").is_in(_KINDS)
        & ~pl.col("has_error")
        & ~pl.col("generated")
        & (pl.col("code").str.len_bytes() <= settings.max_unit_bytes)
    ).sort("unit_id")


def augmented(
    table: Table, units: pl.DataFrame, settings: AugmentationSettings, project: str = "", cache: RowCache | None = None
) -> pl.DataFrame:
    make, doing = _WORK[table]
    selected = augmentable(units.select(UNIT_COLUMNS), settings).select(_COLUMNS)
    keyed = selected.with_columns(row_keys(selected, "unit_id").alias(_KEY))

    def compute(keys: pl.Series) -> pl.DataFrame:
        missing = keyed.filter(pl.col(_KEY).is_in(keys.to_list()))
        rows = in_processes(make, missing.drop(_KEY).to_dicts(), settings, doing)
        rows_frame = pl.DataFrame(rows, schema=table.schema, orient="row")
        return rows_frame.join(missing.select("unit_id", _KEY), on="unit_id", how="left")

    computed = cache.rows(f"{table.name}-{project}", keyed[_KEY], compute) if cache else compute(keyed[_KEY])
    return table.conform(computed)
