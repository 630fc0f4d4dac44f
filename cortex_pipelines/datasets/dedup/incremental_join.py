"""Find near-duplicates across splits incrementally, for new texts only.

Whether two texts are near-duplicates depends on these two alone, so pairs of cached texts remain valid. A new text is
compared with its candidates only: in a common order of shingles, near-duplicates share one of their first shingles
(prefix filtering, as in ``near_duplicate_pairs``); these prefixes are cached for each text, with the order. The
result equals that of ``near_duplicate_pairs``.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleIndex, ShingleSets
from cortex_pipelines.datasets.dedup.similarity_join import (
    NEAR_DUPLICATE_PAIRS,
    prefix_lengths,
    shingles_of,
    similar_pairs,
    texts_to_compare,
)
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache

_BITS = 22
# A shingle in fewer sets is rare: with millions of shingles a few always begin alike.
_RARE = 8
_LEVELS = 8
# Number of the set and level fit into 16 bits, which numpy sorts in linear time.
_SETS_AT_ONCE = (1 << 16) // _LEVELS

HashPrefixes = NDArray[np.uint32]


@dataclass(frozen=True)
class ShingleOrder:
    """A shingle order by frequency level, then by hash, that stays stable as texts change.

    Frequencies are counted once, approximately (shingles with the same leading bits count as one), and cached; later
    shingles count as rare. Prefix filtering works with any order common to all texts.
    """

    # for each level above the first one (rare), the first bits of its shingles
    common: tuple[HashPrefixes, ...] = field(default=())

    @classmethod
    def from_sets(cls, *groups: ShingleSets) -> "ShingleOrder":
        counts = np.zeros(1 << _BITS, dtype=np.int64)
        for sets in groups:
            counts += np.bincount(_first_bits(sets.hashes), minlength=len(counts))
        bounds = [_RARE << level for level in range(_LEVELS - 1)]
        levels = np.searchsorted(bounds, counts, side="right")
        return cls(tuple(np.flatnonzero(levels == level).astype(np.uint32) for level in range(1, _LEVELS)))

    def first(self, sets: ShingleSets, counts: NDArray[np.int64]) -> NDArray[np.uint64]:
        prefixes = [np.empty(0, dtype=np.uint64)]
        for start in range(0, len(sets), _SETS_AT_ONCE):
            stop = min(start + _SETS_AT_ONCE, len(sets))
            hashes = sets.hashes[sets.borders[start] : sets.borders[stop]]
            sizes = sets.sizes[start:stop]
            owner = np.repeat(np.arange(stop - start, dtype=np.uint16), sizes)
            keys = owner * np.uint16(_LEVELS) + self._levels[_first_bits(hashes)]
            # those of one set and level stay in the order of their hashes
            order = np.argsort(keys, kind="stable")
            starts = np.cumsum(sizes) - sizes
            rank = np.arange(len(order)) - np.repeat(starts, sizes)
            prefixes.append(hashes[order[rank < np.repeat(counts[start:stop], sizes)]])
        return np.concatenate(prefixes)

    @cached_property
    def _levels(self) -> NDArray[np.uint8]:
        levels = np.zeros(1 << _BITS, dtype=np.uint8)
        for level, prefixes in enumerate(self.common, 1):
            levels[prefixes] = level
        return levels


def _first_bits(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - _BITS)).astype(np.int64)


# With a larger share of new texts it is as fast to compare everything.
_MAX_NEW_SHARE = 0.2
# With a smaller share, comparing them again next time is as fast as rewriting the cache.
_MIN_SHARE_TO_SAVE = 0.01
_ID, _OTHER, _SIMILARITY = NEAR_DUPLICATE_PAIRS.names()
_SIDE, _PREFIX = "side", "prefix"
_STATE: dict[str, Any] = {
    _SIDE: pl.String,
    _ID: pl.String,
    _PREFIX: pl.List(pl.UInt32),
    _OTHER: pl.List(pl.String),
    _SIMILARITY: pl.List(pl.Float64),
}
_ORDER = "order"
_HIGH = np.uint64(32)
Mask = NDArray[np.bool_]


class IncrementalSimilarityJoin:
    """Finds near-duplicates and caches its results for the next run.

    ``cache``: persistent cache; None compares everything each time.
    """

    def __init__(self, cache: RowCache | None, settings: DatasetSettings) -> None:
        self._cache, self._settings = cache, settings

    def between(
        self, left_rows: pl.DataFrame, right_rows: pl.DataFrame, columns: tuple[str, ...], step: str
    ) -> pl.DataFrame:
        """Near-duplicate pairs across two splits, equal to ``near_duplicate_pairs``.

        ``left_rows``: one split: ``example_id`` (a hash of the text), the columns compared, and ``language``.
        """
        name = f"near_duplicates/{step}/{'+'.join(columns)}"
        cached_state = self._cache.load_table(name) if self._cache else None
        left_texts = SplitTexts(left_rows, columns, "mine", cached_state, self._settings)
        right_texts = SplitTexts(right_rows, columns, "theirs", cached_state, self._settings)
        order = _cached_order(cached_state)
        if cached_state is None or max(left_texts.share_of_new, right_texts.share_of_new) > _MAX_NEW_SHARE:
            left_texts.discard_cache()
            right_texts.discard_cache()
            order = ShingleOrder.from_sets(left_texts.new_sets(), right_texts.new_sets())
        pairs = _pairs(left_texts, right_texts, order, self._settings)
        new = np.concatenate([left_texts.new, right_texts.new])
        if self._cache and (cached_state is None or new.sum() > _MIN_SHARE_TO_SAVE * len(new)):
            states = (left_texts.state(pairs, order), right_texts.state(NEAR_DUPLICATE_PAIRS.to_frame(), order))
            self._cache.store_table(name, pl.concat([*states, _order_rows(order)]))
        return pairs


class SplitTexts:
    def __init__(
        self,
        frame: pl.DataFrame,
        columns: tuple[str, ...],
        role: str,
        cached_state: pl.DataFrame | None,
        settings: DatasetSettings,
    ) -> None:
        self._frame, self._columns, self._role, self._settings = frame, columns, role, settings
        cached_rows = pl.DataFrame(schema=_STATE) if cached_state is None else cached_state
        cached_rows = cached_rows.filter(pl.col(_SIDE) == role)
        self.cached = frame.select(_ID).join(cached_rows.drop(_SIDE), on=_ID, how="left", maintain_order="left")
        self._sets: ShingleSets | None = None

    @property
    def new(self) -> Mask:
        return self.cached[_PREFIX].is_null().to_numpy()

    @property
    def share_of_new(self) -> float:
        return float(self.new.mean()) if len(self.new) else 0.0

    def discard_cache(self) -> None:
        self.cached = self.cached.with_columns(
            pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in _STATE.items()
            if name in (_PREFIX, _OTHER, _SIMILARITY)
        )

    def _sets_of(self, mask: Mask) -> ShingleSets:
        rows = self._frame.filter(pl.Series(mask, dtype=pl.Boolean))
        return shingles_of(texts_to_compare(rows, self._columns), "compared", self._settings)

    def new_sets(self) -> ShingleSets:
        if self._sets is None:
            self._sets = self._sets_of(self.new)
        return self._sets

    def subset(self, mask: Mask) -> tuple[list[str], ShingleSets]:
        sets = self.new_sets() if np.array_equal(mask, self.new) else self._sets_of(mask)
        return self._frame[_ID].filter(pl.Series(mask, dtype=pl.Boolean)).to_list(), sets

    def sharing_prefix(self, other_sets: ShingleSets, order: ShingleOrder) -> Mask:
        is_similar = np.zeros(len(self.cached), dtype=bool)
        prefix_hashes = _prefixes(other_sets, order, self._settings)[0].astype(np.uint64) << _HIGH
        prefixes = self.cached.with_row_index("at").drop_nulls(_PREFIX).select("at", _PREFIX)
        flat = prefixes.explode(_PREFIX)
        hashes = flat[_PREFIX].to_numpy().astype(np.uint64) << _HIGH
        hits = ShingleIndex(np.unique(prefix_hashes)).find(hashes) >= 0
        is_similar[flat["at"].to_numpy()[hits]] = True
        return is_similar

    def cached_pairs(self, other: "SplitTexts") -> pl.DataFrame:
        paired = self.cached.select(NEAR_DUPLICATE_PAIRS.names()).filter(pl.col(_OTHER).list.len() > 0)
        pairs = paired.explode(_OTHER, _SIMILARITY)
        other_ids = other.cached.drop_nulls(_PREFIX).select(pl.col(_ID).alias(_OTHER))
        return pairs.join(other_ids, on=_OTHER, how="semi")

    def state(self, new_pairs: pl.DataFrame, order: ShingleOrder) -> pl.DataFrame:
        hashes, counts = _prefixes(self.new_sets(), order, self._settings)
        owners = pl.DataFrame({"at": np.repeat(np.arange(len(counts)), counts), _PREFIX: hashes})
        lists = owners.group_by("at", maintain_order=True).agg(_PREFIX)[_PREFIX]
        fresh = pl.DataFrame({_ID: self._frame[_ID].filter(pl.Series(self.new)), _PREFIX: lists})
        prefixes = pl.concat([self.cached.drop_nulls(_PREFIX).select(_ID, _PREFIX), fresh])
        pairs = new_pairs.group_by(_ID).agg(_OTHER, _SIMILARITY)
        return (
            prefixes.join(pairs, on=_ID, how="left")
            .with_columns(pl.lit(self._role).alias(_SIDE))
            .select(pl.col(name).cast(dtype) for name, dtype in _STATE.items())
        )


def _pairs(
    left_texts: SplitTexts, right_texts: SplitTexts, order: ShingleOrder, settings: DatasetSettings
) -> pl.DataFrame:
    left_new, right_new = left_texts.new, right_texts.new
    pairs = [left_texts.cached_pairs(right_texts)]
    if left_new.any():
        similar_mask = (
            right_new if right_new.all() else right_new | right_texts.sharing_prefix(left_texts.new_sets(), order)
        )
        pairs.append(similar_pairs(*left_texts.subset(left_new), *right_texts.subset(similar_mask), settings))
    if right_new.any() and not left_new.all():
        similar_mask = left_texts.sharing_prefix(right_texts.new_sets(), order)
        pairs.append(similar_pairs(*left_texts.subset(similar_mask), *right_texts.subset(right_new), settings))
    return pl.concat(pairs).sort(NEAR_DUPLICATE_PAIRS.names())


def _prefixes(
    sets: ShingleSets, order: ShingleOrder, settings: DatasetSettings
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    counts = prefix_lengths(sets.sizes, settings.near_duplicate_threshold)
    return (order.first(sets, counts) >> _HIGH).astype(np.uint32), counts


def _cached_order(cached_state: pl.DataFrame | None) -> ShingleOrder:
    if cached_state is None:
        return ShingleOrder()
    rows = cached_state.filter(pl.col(_SIDE) == _ORDER)
    return ShingleOrder(tuple(level.to_numpy() for level in rows[_PREFIX]))


def _order_rows(order: ShingleOrder) -> pl.DataFrame:
    levels = pl.Series(_PREFIX, [level.tolist() for level in order.common], dtype=_STATE[_PREFIX])
    constants = {_SIDE: _ORDER, _ID: "", _OTHER: None, _SIMILARITY: None}
    return levels.to_frame().select(
        pl.lit(constants[name], dtype=dtype).alias(name) if name in constants else pl.col(name)
        for name, dtype in _STATE.items()
    )
