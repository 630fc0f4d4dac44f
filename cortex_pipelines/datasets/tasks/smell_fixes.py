"""Fixes of code smells, computed once per unit text."""

import hashlib
from functools import cache
from pathlib import PurePosixPath

import polars as pl

from cortex_pipelines.annotation.fixes.build import SmellFix, smell_fixes
from cortex_pipelines.rowcache import RowCache

_KINDS = ("function", "method", "class")
_FIELDS = ("smell", "purpose", "before", "after", "explanation")
_ROWS = pl.Schema(dict.fromkeys(("cache_key", *_FIELDS), pl.String))


def cached_fixes(units: pl.DataFrame, project: str, cache: RowCache) -> dict[str, list[SmellFix]]:
    """Fixes of code smells by unit id; units without fixes are absent."""
    smelly_units = units.filter(pl.col("kind").is_in(_KINDS), pl.col("patterns").list.len() > 0)
    columns = smelly_units.select("code", "language", "path")
    keyed = [_key(*text) for text in columns.iter_rows()]
    texts = dict(zip(keyed, columns.iter_rows(), strict=True))

    def compute(keys: pl.Series) -> pl.DataFrame:
        rows = [(key, *(getattr(fix, field) for field in _FIELDS)) for key in keys for fix in smell_fixes(*texts[key])]
        return pl.DataFrame(rows, schema=_ROWS, orient="row")

    keys = pl.Series("cache_key", sorted(texts), dtype=pl.String)
    fixes_by_key: dict[str, list[SmellFix]] = {}
    for key, *fields in cache.rows(f"{project}-fixes", keys, compute).select(list(_ROWS)).iter_rows():
        fixes_by_key.setdefault(key, []).append(SmellFix(*fields))
    units_keyed = zip(smelly_units["unit_id"], keyed, strict=True)
    return {unit: fixes_by_key[key] for unit, key in units_keyed if key in fixes_by_key}


def _key(code: str, language: str, path: str) -> str:
    """Hash of everything that the fixes depend on, including the file extension."""
    parts = (language, _ending(path), code)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@cache
def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
