"""A shingle order by rarity that stays stable as texts change.

Shingle frequencies are counted once, approximately (shingles with the same leading bits count as one), and cached;
later shingles count as rare. Prefix filtering works with any order common to all texts, and the rarer the first
shingles are, the fewer texts share one.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleSets

_BITS = 22
# A shingle in fewer sets is rare: with millions of shingles a few always begin alike.
_RARE = 8
_LEVELS = 8
# Number of the set and level fit into 16 bits, which numpy sorts in linear time.
_SETS_AT_ONCE = (1 << 16) // _LEVELS

HashPrefixes = NDArray[np.uint32]


@dataclass(frozen=True)
class ShingleOrder:
    """A shingle order by frequency level, then by hash."""

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
