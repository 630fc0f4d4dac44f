"""Find near-duplicates across splits incrementally, for new texts only.

Whether two texts are near-duplicates depends on these two alone, so pairs of cached texts remain
valid. A new text is compared with its candidates only: in a common order of shingles,
near-duplicates share one of their first shingles (prefix filtering, as in
``near_duplicate_pairs``); these prefixes are cached for each text, with the order. The result
equals that of ``near_duplicate_pairs``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingle_order import ShingleOrder
from cortex_pipelines.datasets.dedup.shingles import KnownShingles, ShingleSets
from cortex_pipelines.datasets.dedup.similarity_join import (
    NEAR_DUPLICATE_PAIRS,
    compared,
    prefix_lengths,
    shingles_of,
    similar_pairs,
)
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.rowcache import RowCache

# With a larger share of new texts it is as fast to compare everything.
_MOST_NEW = 0.2
# With a smaller one it is as fast to look at them again next time as to write what is known anew.
_WORTH_KEEPING = 0.01
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
Bools = NDArray[np.bool_]


class IncrementalSimilarityJoin:
    """Finds near-duplicates and caches its results for the next run.

    Args:
        cache: Where that is kept; without one everything is compared each time.
        name: What the texts belong to: a data set of a project.
        settings: Threshold of near-duplicates, and tokens per shingle.
    """

    def __init__(self, cache: RowCache | None, name: str, settings: DatasetSettings) -> None:
        self._cache, self._name, self._settings = cache, name, settings

    def between(
        self, mine: pl.DataFrame, theirs: pl.DataFrame, columns: tuple[str, ...], step: str
    ) -> pl.DataFrame:
        """Near-duplicate pairs across two splits, equal to ``near_duplicate_pairs``.

        Args:
            mine: One split: ``example_id``, a hash that tells the text, what is compared, and its
                ``language``.
            theirs: Another one.
            columns: What is compared, several joined.
            step: What the comparison is for; each remembers texts of its own.
        """
        name = f"{self._name}/near_duplicates/{step}/{'+'.join(columns)}"
        known = self._cache.recall(name) if self._cache else None
        left = _Side(mine, columns, "mine", known, self._settings)
        right = _Side(theirs, columns, "theirs", known, self._settings)
        order = _known_order(known)
        if known is None or max(left.share_of_new, right.share_of_new) > _MOST_NEW:
            left.forget()
            right.forget()
            order = ShingleOrder.of(left.new_sets(), right.new_sets())
        pairs = _pairs(left, right, order, self._settings)
        new = np.concatenate([left.new, right.new])
        if self._cache and (known is None or new.sum() > _WORTH_KEEPING * len(new)):
            sides = (left.state(pairs, order), right.state(NEAR_DUPLICATE_PAIRS.to_frame(), order))
            self._cache.keep(name, pl.concat([*sides, _order_rows(order)]))
        return pairs


class _Side:
    """Texts of one split with their cached state."""

    def __init__(
        self,
        frame: pl.DataFrame,
        columns: tuple[str, ...],
        side: str,
        known: pl.DataFrame | None,
        settings: DatasetSettings,
    ) -> None:
        self._frame, self._columns, self._side, self._settings = frame, columns, side, settings
        known_rows = pl.DataFrame(schema=_STATE) if known is None else known
        known_rows = known_rows.filter(pl.col(_SIDE) == side)
        self.known = frame.select(_ID).join(
            known_rows.drop(_SIDE), on=_ID, how="left", maintain_order="left"
        )
        self._sets: ShingleSets | None = None

    @property
    def ids(self) -> pl.Series:
        """Ids of all texts."""
        return self._frame[_ID]

    @property
    def new(self) -> Bools:
        """Mask of uncached texts."""
        return self.known[_PREFIX].is_null().to_numpy()

    @property
    def share_of_new(self) -> float:
        """Share of uncached texts, 0 to 1."""
        return float(self.new.mean()) if len(self.new) else 0.0

    def forget(self) -> None:
        """Treat all texts as new."""
        self.known = self.known.with_columns(
            pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in _STATE.items()
            if name in (_PREFIX, _OTHER, _SIMILARITY)
        )

    def sets_of(self, chosen: Bools) -> ShingleSets:
        """Shingles of some texts."""
        rows = self._frame.filter(pl.Series(chosen, dtype=pl.Boolean))
        return shingles_of(compared(rows, self._columns), "compared", self._settings)

    def new_sets(self) -> ShingleSets:
        """Shingles of the new texts, computed once."""
        if self._sets is None:
            self._sets = self.sets_of(self.new)
        return self._sets

    def like(self, others: ShingleSets, order: ShingleOrder) -> Bools:
        """Mask of cached texts that share a prefix shingle with the other side's."""
        is_similar = np.zeros(len(self.known), dtype=bool)
        wanted = _prefixes(others, order, self._settings)[0].astype(np.uint64) << _HIGH
        prefixes = self.known.with_row_index("at").drop_nulls(_PREFIX).select("at", _PREFIX)
        flat = prefixes.explode(_PREFIX)
        hashes = flat[_PREFIX].to_numpy().astype(np.uint64) << _HIGH
        hits = KnownShingles(np.unique(wanted)).places(hashes) >= 0
        is_similar[flat["at"].to_numpy()[hits]] = True
        return is_similar

    def still_there(self, others: "_Side") -> pl.DataFrame:
        """Cached pairs whose texts still exist on both sides."""
        paired = self.known.select(NEAR_DUPLICATE_PAIRS.names()).filter(
            pl.col(_OTHER).list.len() > 0
        )
        pairs = paired.explode(_OTHER, _SIMILARITY)
        known = others.known.drop_nulls(_PREFIX).select(pl.col(_ID).alias(_OTHER))
        return pairs.join(known, on=_OTHER, how="semi")

    def state(self, new_pairs: pl.DataFrame, order: ShingleOrder) -> pl.DataFrame:
        """State of all texts to cache.

        Args:
            new_pairs: Pairs, kept with the first text of each.
            order: Which shingles of a text come first.
        """
        hashes, counts = _prefixes(self.new_sets(), order, self._settings)
        owners = pl.DataFrame({"at": np.repeat(np.arange(len(counts)), counts), _PREFIX: hashes})
        lists = owners.group_by("at", maintain_order=True).agg(_PREFIX)[_PREFIX]
        fresh = pl.DataFrame({_ID: self.ids.filter(pl.Series(self.new)), _PREFIX: lists})
        prefixes = pl.concat([self.known.drop_nulls(_PREFIX).select(_ID, _PREFIX), fresh])
        pairs = new_pairs.group_by(_ID).agg(_OTHER, _SIMILARITY)
        return (
            prefixes.join(pairs, on=_ID, how="left")
            .with_columns(pl.lit(self._side).alias(_SIDE))
            .select(pl.col(name).cast(dtype) for name, dtype in _STATE.items())
        )


def _pairs(
    mine: _Side, theirs: _Side, order: ShingleOrder, settings: DatasetSettings
) -> pl.DataFrame:
    """All near-duplicate pairs: cached ones, and those with a new text."""
    parts = [mine.still_there(theirs)]
    if mine.new.any():
        sets = mine.new_sets()
        if theirs.new.all():
            others, other_sets = theirs.new, theirs.new_sets()
        else:
            others = theirs.new | theirs.like(sets, order)
            other_sets = theirs.sets_of(others)
        parts.append(_similar_pairs(mine, mine.new, sets, theirs, others, other_sets, settings))
    if theirs.new.any() and not mine.new.all():
        sets = theirs.new_sets()
        some = mine.like(sets, order)
        parts.append(
            _similar_pairs(mine, some, mine.sets_of(some), theirs, theirs.new, sets, settings)
        )
    return pl.concat(parts).sort(NEAR_DUPLICATE_PAIRS.names())


def _similar_pairs(
    mine: _Side,
    some: Bools,
    sets: ShingleSets,
    theirs: _Side,
    others: Bools,
    other_sets: ShingleSets,
    settings: DatasetSettings,
) -> pl.DataFrame:
    names, other_names = _chosen(mine.ids, some), _chosen(theirs.ids, others)
    return similar_pairs(names, sets, other_names, other_sets, settings)


def _chosen(ids: pl.Series, which: Bools) -> Sequence[str]:
    chosen_ids: list[str] = ids.filter(pl.Series(which, dtype=pl.Boolean)).to_list()
    return chosen_ids


def _prefixes(
    sets: ShingleSets, order: ShingleOrder, settings: DatasetSettings
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Prefix shingles of each set as half hashes, and their numbers."""
    counts = prefix_lengths(sets.sizes, settings.near_duplicate_threshold)
    return (order.first(sets, counts) >> _HIGH).astype(np.uint32), counts


def _known_order(known: pl.DataFrame | None) -> ShingleOrder:
    """Shingle order of the cached prefixes."""
    if known is None:
        return ShingleOrder()
    rows = known.filter(pl.col(_SIDE) == _ORDER)
    return ShingleOrder(tuple(level.to_numpy() for level in rows[_PREFIX]))


def _order_rows(order: ShingleOrder) -> pl.DataFrame:
    """The shingle order as cache rows, one per level."""
    levels = pl.Series(_PREFIX, [level.tolist() for level in order.common], dtype=_STATE[_PREFIX])
    constants = {_SIDE: _ORDER, _ID: "", _OTHER: None, _SIMILARITY: None}
    return levels.to_frame().select(
        pl.lit(constants[name], dtype=dtype).alias(name) if name in constants else pl.col(name)
        for name, dtype in _STATE.items()
    )
