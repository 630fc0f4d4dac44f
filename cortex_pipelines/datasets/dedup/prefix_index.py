"""Find the sets of shingles that may share enough with others, by their rarest shingles.

Of n shingles of which at least m = ceil(t n) are in another set, k of the n - m + k rarest are; so only these are
looked up, and no pair is missed (prefix filtering: Bayardo et al., "Scaling up all pairs similarity search", 2007; with
more than one: Wang et al., "Can we beat the prefix filtering?", 2012).
"""

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import Shingles, ShingleSets, starts_of

_TABLE_BITS = 22
_RAREST_SHARED = 8  # k; with 1 there are forty times as many pairs to compare, with 16 it takes longer to find them


class PrefixIndex:
    """Sets by their rarest shingles, with ``share`` as t. Rarity is counted in these sets."""

    def __init__(self, sets: ShingleSets, share: float) -> None:
        self.needed = needed_counts(sets.sizes, share)
        self._fewest = np.minimum(self.needed, _RAREST_SHARED)
        self._hashes, inverse, self.counts = _unique(sets.hashes)
        # a 4 MB table rules out most missing hashes
        self._table = np.zeros(1 << _TABLE_BITS, dtype=bool)
        self._table[self._hashes >> np.uint64(64 - _TABLE_BITS)] = True
        # one number to sort by, set, count and hash, takes a third of the time that three take
        most = int(self.counts.max(initial=0)) + 1
        key = np.repeat(np.arange(len(sets)) * most, sets.sizes)
        key += self.counts[inverse]
        if len(sets) * most * len(self.counts) < 2**63:
            key *= len(self.counts)
            key += inverse
            order = np.argsort(key, kind="stable")
        else:
            order = np.lexsort((inverse, key))
        del key
        lengths = prefix_lengths(sets.sizes, share)
        ends = np.cumsum(lengths)
        prefix_entries = order[np.repeat(sets.borders[:-1] - ends + lengths, lengths) + np.arange(lengths.sum())]
        del order
        by_position = np.argsort(inverse[prefix_entries], kind="stable")
        held = np.bincount(inverse[prefix_entries], minlength=len(self.counts))
        self._starts = starts_of(held)
        self._holders = np.repeat(np.arange(len(sets)), lengths)[by_position]

    def find(self, hashes: Shingles) -> NDArray[np.int64]:
        """Position of each hash in ``counts``, or -1."""
        positions = np.full(len(hashes), -1)
        candidates = np.flatnonzero(self._table[hashes >> np.uint64(64 - _TABLE_BITS)])
        if len(candidates):  # so there are hashes to find
            slots = np.searchsorted(self._hashes, hashes[candidates])
            slots[slots == len(self._hashes)] = 0
            positions[candidates] = np.where(self._hashes[slots] == hashes[candidates], slots, -1)
        return positions

    def candidates(self, rows: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs, shape (pairs, 2), sorted and distinct: a row and a set of whose rarest shingles it has enough.

        Args:
            rows: Number of a row, for each shingle of it.
            positions: Of these shingles, as ``find`` gave them; none is missing.
        """
        first = self._starts[positions]
        lengths = self._starts[positions + 1] - first
        entries = np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        count = max(len(self.needed), 1)
        pairs, shared = np.unique(np.repeat(rows, lengths) * count + self._holders[entries], return_counts=True)
        return np.stack(np.divmod(pairs[shared >= self._fewest[pairs % count]], count), axis=1)


def _unique(hashes: Shingles) -> tuple[Shingles, NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """``np.unique`` with inverse and counts, in half of its memory."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    is_first = np.ones(len(hashes), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    unique = ordered[first]
    del ordered
    inverse = np.empty(len(hashes), dtype=np.min_scalar_type(len(hashes)))
    inverse[order] = np.cumsum(is_first, dtype=inverse.dtype) - inverse.dtype.type(1)
    return unique, inverse, np.diff(first, append=len(hashes))


def needed_counts(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Shingles of each set that are at least a share of it."""
    # The small margin keeps a pair whose product t n is whole but for rounding.
    needed: NDArray[np.int64] = np.ceil(share * sizes - 1e-9).astype(np.int64)
    return needed


def prefix_lengths(sizes: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Number of rarest shingles of each set that are looked up."""
    lengths: NDArray[np.int64] = np.minimum(sizes - needed_counts(sizes, share) + _RAREST_SHARED, sizes)
    return lengths
