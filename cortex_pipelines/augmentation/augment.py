"""Build the augmentation tables of a project's units."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import polars as pl

from cortex_pipelines.augmentation.mutation.inject import mutate_unit
from cortex_pipelines.augmentation.renaming.rename import rename_locals
from cortex_pipelines.augmentation.rewriting import rewritten
from cortex_pipelines.augmentation.settings import AugmentationSettings
from cortex_pipelines.parallel.ordered import mapped_rows
from cortex_pipelines.rowcache import RowCache, row_keys
from cortex_pipelines.schemas.augmentation import INJECTED_ERRORS, RENAMED_UNITS, REWRITTEN_UNITS
from cortex_pipelines.schemas.table import Table

Row = dict[str, Any]
Work = Callable[[Row, AugmentationSettings], list[Row]]
"""What makes rows of a unit."""


def renamed_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    rows, seen_codes = [], set()
    context = (unit["language"], unit["kind"], unit["path"])
    for variant in range(settings.renamed_variants):
        seed = (settings.seed, unit["unit_id"], variant)
        renamed = rename_locals(unit["code"], *context, *seed)
        if renamed is None:
            break
        if renamed.code not in seen_codes:
            seen_codes.add(renamed.code)
            renames = sorted(f"{old}={new}" for old, new in renamed.renames)
            row = {"variant": variant, "renamed_code": renamed.code, "renames": renames}
            rows.append(_unit_columns(unit) | row)
    return rows


def rewritten_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    context = (unit["language"], unit["kind"], unit["path"])
    variants = rewritten(unit["code"], *context, settings.rewrites_per_unit, settings.seed, unit["unit_id"])
    return [
        _unit_columns(unit)
        | {"variant": number, "rewrite": variant.rewrite, "family": variant.family, "rewritten_code": variant.code}
        for number, variant in enumerate(variants)
    ]


def injected_rows(unit: Row, settings: AugmentationSettings) -> list[Row]:
    if not settings.mutants_per_unit:
        return []
    context = (unit["language"], unit["kind"], unit["path"], unit["name"])
    mutants = mutate_unit(unit["code"], *context, settings.mutants_per_unit, settings.seed, unit["unit_id"])
    columns = ("operator", "error_type", "buggy_code", "fixed_code", "explanation")
    rows = []
    for mutant in mutants:
        identity = "\x1f".join((unit["unit_id"], mutant.operator, mutant.buggy_code))
        row = {"mutant_id": hashlib.sha256(identity.encode()).hexdigest()[:32]}
        row |= {column: getattr(mutant, column) for column in columns}
        rows.append(_unit_columns(unit) | row | {"verification": list(mutant.verification)})
    return rows


def _unit_columns(unit: Row) -> Row:
    return {"unit_id": unit["unit_id"], "language": unit["language"]}


_KINDS = ("function", "method")
_KEY = "cache_key"
_COLUMNS = ("unit_id", "language", "kind", "path", "name", "code")
UNIT_COLUMNS = (*_COLUMNS, "has_error", "generated")
"""Columns of ANNOTATED_UNITS that augmentations are made from."""

_WORK: dict[Table, tuple[Work, str]] = {
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


def _rows(units: pl.DataFrame, make: Work, settings: AugmentationSettings, table: Table) -> pl.DataFrame:
    rows = [row for unit in units.iter_rows(named=True) for row in make(unit, settings)]
    return pl.DataFrame(rows, schema=table.schema, orient="row")


def augmented(
    table: Table, units: pl.DataFrame, settings: AugmentationSettings, project: str = "", cache: RowCache | None = None
) -> pl.DataFrame:
    make, doing = _WORK[table]
    selected = augmentable(units.select(UNIT_COLUMNS), settings).select(_COLUMNS)
    keyed = selected.with_columns(row_keys(selected, "unit_id").alias(_KEY))

    def compute(keys: pl.Series) -> pl.DataFrame:
        missing = keyed.filter(pl.col(_KEY).is_in(keys.to_list()))
        work = partial(_rows, make=make, settings=settings, table=table)
        return mapped_rows(work, missing.drop(_KEY), doing).join(
            missing.select("unit_id", _KEY), on="unit_id", how="left"
        )

    computed = cache.rows(f"{table.name}-{project}", keyed[_KEY], compute) if cache else compute(keyed[_KEY])
    return table.conform(computed)
