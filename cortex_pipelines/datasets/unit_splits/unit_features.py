"""Per-unit features for the split, computed once per unit text."""

from collections.abc import Callable, Sequence

import polars as pl

from cortex_pipelines.datasets.filters.decontamination import Fingerprints, find_contamination
from cortex_pipelines.datasets.filters.quality import left_out
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.tasks.function_bodies import KINDS, completion_candidates
from cortex_pipelines.datasets.tasks.naming import naming_example, unit_name
from cortex_pipelines.datasets.unit_cache import UnitCache
from cortex_pipelines.rowcache import RowCache

# Columns that an example of a unit depends on.
_OF_EXAMPLE = (
    *("kind", "name", "code", "language", "path", "context", "indent", "docstring", "imports"),
    *("start_byte", "body_start_byte"),
)
_FILTER_COLUMNS = ("code", "generated", "trainable", "has_error")
_LEFT_OUT, _HOLDS = "left_out", "holds"


class UnitFeatures:
    def __init__(
        self, settings: DatasetSettings, benchmarks: Sequence[Fingerprints], project: str, cache: RowCache | None
    ) -> None:
        self._settings, self._benchmarks = settings, benchmarks
        self._unit_cache = UnitCache(cache, project)

    def left_out(self, units: pl.DataFrame) -> pl.DataFrame:
        """Column ``left_out``: the first filter that excludes a unit, or null."""
        filters = left_out(self._settings).alias(_LEFT_OUT)
        inputs = units.select("unit_id", *_FILTER_COLUMNS)
        return self._unit_cache.compute("quality", inputs, lambda batch: batch.select(filters))

    def contaminated(self, units: pl.DataFrame) -> list[str]:
        return self._ids_where("contaminated", units, ("code", "language"), self._dirty)

    def in_every_data_set(self, units: pl.DataFrame) -> list[str]:
        """Ids of units that give both a completion and a naming example."""
        functions = units.filter(pl.col("kind").is_in(KINDS))
        return self._ids_where("example", functions, _OF_EXAMPLE, self._usable)

    def _dirty(self, units: pl.DataFrame) -> list[bool]:
        code, languages = (units[name].to_list() for name in ("code", "language"))
        benchmark_names = find_contamination(code, self._benchmarks, self._settings, languages)
        return [name is not None for name in benchmark_names]

    def _usable(self, units: pl.DataFrame) -> list[bool]:
        candidates = completion_candidates(units, self._settings)
        return [self._can_be_both(unit) for unit in candidates.iter_rows(named=True)]

    def _can_be_both(self, unit: dict[str, object]) -> bool:
        name = unit_name(unit, self._settings) if unit["completion"] is not None else None
        return name is not None and naming_example(unit, name, self._settings) is not None

    def _ids_where(
        self, fact: str, units: pl.DataFrame, columns: tuple[str, ...], predicate: Callable[[pl.DataFrame], list[bool]]
    ) -> list[str]:
        def make(batch: pl.DataFrame) -> pl.DataFrame:
            return pl.Series(_HOLDS, predicate(batch), dtype=pl.Boolean).to_frame()

        inputs = units.select("unit_id", *columns)
        ids: list[str] = units["unit_id"].filter(self._unit_cache.compute(fact, inputs, make)[_HOLDS]).to_list()
        return ids
