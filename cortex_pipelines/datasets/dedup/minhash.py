"""Cluster near-duplicates: MinHash proposes candidates, exact similarity decides.

Threshold, shingles and number of permutations as in bigcode's deduplication (0.7, 5 tokens, 250). One permutation
stands for all: the hashes of a set fall into as many bins, each bin keeps its smallest, and an empty bin copies that
of the first filled bin in its own probing order (Shrivastava, "Optimal densification for fast and accurate minwise
hashing", 2017). Two sets agree in a bin with a probability equal to their similarity, as with separate permutations,
at a fraction of the cost. The exact comparison of each candidate pair removes the false alarms of short texts.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles, jaccard, mix_bits, odd_numbers
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.union_find import UnionFind

_SHINGLES_AT_ONCE = 1 << 17
# Limits the pairwise comparisons of thousands of similar texts from one template; the exact leakage
# check does not depend on it.
MAX_COMPARED = 256
_SKETCH_BITS = 7
_SETS_AT_ONCE = 1 << 13


def near_duplicate_clusters(texts: Sequence[str], settings: DatasetSettings) -> list[int]:
    """Cluster of each text, as the index of its first text.

    Two texts are in one cluster if a chain of near-duplicates connects them.
    """
    return clusters_of(all_shingles(texts, settings.shingle_tokens), settings)


def clusters_of(sets: ShingleSets, settings: DatasetSettings) -> list[int]:
    first_of: dict[bytes, int] = {}
    duplicate_of = [first_of.setdefault(sets[index].tobytes(), index) for index in range(len(sets))]
    distinct = np.array(sorted(first_of.values()), dtype=np.int64)
    labels = _cluster_labels(sets.select(distinct), settings)
    first: dict[int, int] = {}
    row_of = {index: row for row, index in enumerate(distinct.tolist())}
    return [first.setdefault(int(labels[row_of[duplicate]]), index) for index, duplicate in enumerate(duplicate_of)]


def band_keys(sets: ShingleSets, settings: DatasetSettings) -> NDArray[np.uint64]:
    """Hash of each MinHash band, shape (sets, bands)."""
    bands, rows = settings.minhash_bands, settings.minhash_rows
    factors = odd_numbers(rows, f"band:{settings.seed}")
    keys = [np.empty((0, bands), dtype=np.uint64)]
    for batch in sets.batches(_SHINGLES_AT_ONCE):
        signatures = minhash(batch, settings).reshape(len(batch), bands, rows)
        keys.append(mix_bits((signatures * factors).sum(axis=2, dtype=np.uint64)))
    return np.concatenate(keys)


def minhash(sets: ShingleSets, settings: DatasetSettings) -> NDArray[np.uint64]:
    """MinHash signatures, shape (sets, permutations)."""
    count = settings.minhash_bands * settings.minhash_rows
    order, rank = _orders(count, settings.seed)
    owner = np.repeat(np.arange(len(sets)), sets.sizes)
    # Hashes are spread evenly and sorted, so bins come in order and begin with their smallest.
    bins = ((sets.hashes >> np.uint64(32)) * np.uint64(count) >> np.uint64(32)).astype(np.int64)
    first = np.ones(len(bins), dtype=bool)
    first[1:] = (bins[1:] != bins[:-1]) | (owner[1:] != owner[:-1])
    filled, owners = bins[first], owner[first]
    smallest = np.zeros((len(sets), count), dtype=np.uint64)
    smallest[owners, filled] = sets.hashes[first]
    nearest = _nearest(filled, np.bincount(owners, minlength=len(sets)), rank)
    return np.take_along_axis(smallest, order[np.arange(count), nearest], axis=1)


def _nearest(filled: NDArray[np.int64], counts: NDArray[np.int64], rank: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Smallest rank among the filled bins, for each set and bin.

    Set by set from the fullest down, so that each step is one comparison of two tables; that is several times as fast
    as to reduce the rows of each set by themselves.
    """
    fullest = np.argsort(-counts, kind="stable")
    starts = (np.cumsum(counts) - counts)[fullest]
    ranks: NDArray[np.uint16] = rank[filled[starts]]
    table = np.empty_like(ranks)
    for step in range(1, int(counts.max(initial=0))):
        set_count = int(np.searchsorted(-counts[fullest], -step, side="left"))
        # mode: without it the result is buffered
        np.take(rank, filled[starts[:set_count] + step], axis=0, out=table[:set_count], mode="clip")
        np.minimum(ranks[:set_count], table[:set_count], out=ranks[:set_count])
    nearest = np.empty_like(ranks)
    nearest[fullest] = ranks
    return nearest


@lru_cache(maxsize=4)
def _orders(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Order in which each bin probes for a filled one, itself first, and the ranks in it.

    Returns: ``order[bin, rank]`` is a bin; ``rank[other, bin]`` is the position of ``other`` in the order of ``bin``.
    """
    salt = odd_numbers(2, f"minhash:{seed}")
    numbers = np.arange(1, count * count + 1, dtype=np.uint64) * salt[0] + salt[1]
    random_values = mix_bits(numbers).reshape(count, count)
    np.fill_diagonal(random_values, 0)
    order = np.argsort(random_values, axis=1, kind="stable")
    rank = np.empty((count, count), dtype=np.uint16)
    np.put_along_axis(rank, order, np.arange(count, dtype=np.uint16)[None, :], axis=1)
    return order, np.ascontiguousarray(rank.T)


def _cluster_labels(sets: ShingleSets, settings: DatasetSettings) -> NDArray[np.int64]:
    keys, sketches = band_keys(sets, settings), _sketches(sets)
    forest = UnionFind(len(sets))
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        sorted_keys = keys[order, band]
        positions = np.arange(len(order))
        for lag in range(1, MAX_COMPARED + 1):  # members of a bucket lie side by side
            positions = positions[positions + lag < len(order)]
            positions = positions[sorted_keys[positions] == sorted_keys[positions + lag]]
            if not len(positions):
                break
            _union_near_duplicates(order[positions], order[positions + lag], sets, sketches, forest, settings)
    return forest.labels()


def _union_near_duplicates(
    left_rows: NDArray[np.int64],
    right_rows: NDArray[np.int64],
    sets: ShingleSets,
    sketches: NDArray[np.uint8],
    forest: UnionFind,
    settings: DatasetSettings,
) -> None:
    labels, threshold = forest.labels(), settings.near_duplicate_threshold
    is_apart = labels[left_rows] != labels[right_rows]
    left_rows, right_rows = left_rows[is_apart], right_rows[is_apart]
    # No more can be shared than the sketches have in common: most false alarms end here.
    max_shared = np.minimum(sketches[left_rows], sketches[right_rows]).sum(axis=1, dtype=np.int64)
    union = sets.sizes[left_rows] + sets.sizes[right_rows] - max_shared
    is_candidate = max_shared >= threshold * union
    for left_row, right_row in zip(left_rows[is_candidate].tolist(), right_rows[is_candidate].tolist(), strict=True):
        if not forest.connected(left_row, right_row) and jaccard(sets[left_row], sets[right_row]) >= threshold:
            forest.join(left_row, right_row)


def _sketches(sets: ShingleSets) -> NDArray[np.uint8]:
    """Number of shingles of each set per hash range, at most 255.

    A set with more in a range gets a sketch of all 255, which rules nothing out.
    """
    ranges = (sets.hashes >> np.uint64(64 - _SKETCH_BITS)).astype(np.int64)
    owner = np.repeat(np.arange(len(sets)), sets.sizes)
    sketches = np.empty((len(sets), 1 << _SKETCH_BITS), dtype=np.uint8)
    for start in range(0, len(sets), _SETS_AT_ONCE):
        stop = min(start + _SETS_AT_ONCE, len(sets))
        inside = slice(int(sets.borders[start]), int(sets.borders[stop]))
        cells = ((owner[inside] - start) << _SKETCH_BITS) + ranges[inside]
        counts = np.bincount(cells, minlength=(stop - start) << _SKETCH_BITS)
        table = counts.reshape(stop - start, -1)
        table[(table > 255).any(axis=1)] = 255
        sketches[start:stop] = table
    return sketches
