from collections.abc import Callable

import polars as pl

from cortex_pipelines.rowcache import RowCache, row_keys

_KEY = "cache_key"


class UnitCache:
    """Columns of units, cached across runs.

    ``cache``: persistent cache; None disables caching.
    """

    def __init__(self, cache: RowCache | None = None, name: str = "") -> None:
        self._cache, self._name = cache, name

    def scoped(self, scope: str) -> "UnitCache":
        """A separate cache for other units, which would otherwise evict these."""
        return UnitCache(self._cache, f"{self._name}/{scope}")

    def compute(self, step: str, inputs: pl.DataFrame, make: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """Compute one row per unit, in order, from the cache where possible.

        ``inputs``: ``unit_id`` and all columns that a row depends on. Units may repeat.
        """
        if self._cache is None:
            return make(inputs)
        keyed = inputs.with_columns(row_keys(inputs, "unit_id").alias(_KEY))

        def compute(missing: pl.Series) -> pl.DataFrame:
            missing_rows = keyed.filter(pl.col(_KEY).is_in(missing.implode()))
            missing_rows = missing_rows.unique(_KEY, keep="first", maintain_order=True)
            return missing_rows.select(_KEY).hstack(make(missing_rows.drop(_KEY)))

        computed = self._cache.rows(f"{self._name}/{step}", keyed[_KEY], compute)
        rows = keyed.select(_KEY).join(computed, on=_KEY, how="left", maintain_order="left")
        return rows.drop(_KEY)
