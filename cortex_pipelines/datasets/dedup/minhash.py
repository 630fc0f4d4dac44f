"""Cluster near-duplicates: MinHash proposes candidates, exact similarity decides.

Threshold, shingles and number of permutations as in bigcode's deduplication (0.7, 5 tokens, 250). One permutation
stands for all: the hashes of a set fall into as many bins, each bin keeps its smallest, and an empty bin copies that
of the first filled bin in its own probing order (Shrivastava, "Optimal densification for fast and accurate minwise
hashing", 2017). Two sets agree in a bin with a probability equal to their similarity, as with separate permutations,
at a fraction of the cost. The exact comparison of each candidate pair removes the false alarms of short texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import chain

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles, jaccard, mix_bits, odd_numbers
from cortex_pipelines.datasets.dedup.token_stream import token_streams
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.parallel.ordered import ordered_map
from cortex_pipelines.rowcache import RowCache

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
    copies = [first_of.setdefault(sets[index].tobytes(), index) for index in range(len(sets))]
    distinct, rows = np.unique(np.array(copies, dtype=np.int64), return_inverse=True)
    firsts: list[int] = distinct[_connected_sets(sets.select(distinct), settings)][rows].tolist()
    return firsts


def smallest_connected(size: int, *edges: tuple[ArrayLike, ArrayLike]) -> NDArray[np.int64]:
    """For each of ``size`` nodes the smallest node that the edges connect it with."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = (np.concatenate([np.asarray(ends[index], dtype=np.int64) for ends in edges]) for index in (0, 1))
    graph = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    _, smallest, numbers = np.unique(labels, return_index=True, return_inverse=True)
    nodes: NDArray[np.int64] = smallest[numbers]
    return nodes


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


def _connected_sets(sets: ShingleSets, settings: DatasetSettings) -> NDArray[np.int64]:
    """For each set the first one that a chain of near-duplicates connects it with."""
    keys, sketches, threshold = band_keys(sets, settings), _sketches(sets), settings.near_duplicate_threshold
    groups = np.arange(len(sets))
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        sorted_keys = keys[order, band]
        positions = np.arange(len(order))
        for lag in range(1, MAX_COMPARED + 1):  # members of a bucket lie side by side
            positions = positions[positions + lag < len(order)]
            positions = positions[sorted_keys[positions] == sorted_keys[positions + lag]]
            if not len(positions):
                break
            left_rows, right_rows = order[positions], order[positions + lag]
            # No more can be shared than the sketches have in common: most false alarms end here.
            apart = groups[left_rows] != groups[right_rows]
            left_rows, right_rows = left_rows[apart], right_rows[apart]
            max_shared = np.minimum(sketches[left_rows], sketches[right_rows]).sum(axis=1, dtype=np.int64)
            candidates = np.flatnonzero(
                max_shared >= threshold * (sets.sizes[left_rows] + sets.sizes[right_rows] - max_shared)
            )
            pairs = [
                row for row in candidates.tolist() if jaccard(sets[left_rows[row]], sets[right_rows[row]]) >= threshold
            ]
            if pairs:
                groups = smallest_connected(
                    len(sets), (np.arange(len(sets)), groups), (left_rows[pairs], right_rows[pairs])
                )
    return groups


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


# With a larger share of new texts it is as fast to compare everything.
_MAX_NEW_SHARE = 0.2
# With fewer changes, comparing them again is as fast as rewriting the cache.
_MIN_SHARE_TO_SAVE = 0.01
_TEXT, _CLUSTER, _BANDS = "text", "cluster", "bands"

Mask = NDArray[np.bool_]
Code = tuple[str, str | None]
"""A text and its language, or None for prose."""
Bands = NDArray[np.uint32]
Labels = NDArray[np.int64]


class IncrementalClustering:
    """Clusters texts, comparing only new ones with those of the last run if there is a cache.

    Two texts are compared if their signatures agree in a band, so comparisons among unchanged texts need not be
    repeated. A cluster that lost a text counts as new, since that text may have linked the others. Clusterings of
    different kinds of texts need different scopes in the cache.
    """

    def __init__(self, cache: RowCache | None, scope: str, settings: DatasetSettings) -> None:
        self._cache, self._settings = cache and cache.scoped(scope), settings

    def firsts(self, name: str, texts: Sequence[str], languages: Sequence[str | None] | None = None) -> list[int]:
        """Cluster of each text as the index of its first text; equal to a full run.

        ``languages``: language of each; code is compared by its token stream. None for prose.
        """
        text_languages = languages if languages is not None else [None] * len(texts)
        positions: dict[Code, int] = {}
        text_positions = [
            positions.setdefault(code, len(positions)) for code in zip(texts, text_languages, strict=True)
        ]
        labels = self._labels(f"clusters/{name}", list(positions))
        first: dict[int, int] = {}
        return [first.setdefault(labels[position], index) for index, position in enumerate(text_positions)]

    def _labels(self, name: str, texts: list[Code]) -> list[int]:
        if self._cache is None:
            return clusters_of(self._sets(texts), self._settings)
        coded = (f"{language or ''}\0{text}".encode("utf-8", "surrogatepass") for text, language in texts)
        keys = pl.Series(_TEXT, [blake2b(code, digest_size=16).hexdigest() for code in coded], dtype=pl.String)
        state = self._cache.load_table(name)
        cached = None if state is None else CachedSignatures.from_state(keys, state)
        clustering = self._with_new(cached, texts) if cached and (cached.labels < 0).any() else cached
        if clustering is None:
            sets = self._sets(texts)
            labels = np.array(clusters_of(sets, self._settings), dtype=np.int64)
            clustering = CachedSignatures(keys, labels, self._bands(sets))
            # of a full bucket only a part is compared, which depends on the order of all texts: no use to others
            is_full = _agreeing(clustering.bands, np.ones(len(keys), dtype=bool)) is None
            self._cache.store_table(name, clustering.state().clear() if is_full else clustering.state())
        elif state is not None:
            unchanged = int(keys.is_in(state[_TEXT].implode()).sum())
            if len(keys) + state.height - 2 * unchanged > _MIN_SHARE_TO_SAVE * len(texts):
                self._cache.store_table(name, clustering.state())
        numbers: list[int] = clustering.labels.tolist()
        return numbers

    def _with_new(self, cached: "CachedSignatures", texts: list[Code]) -> "CachedSignatures | None":
        new = cached.labels < 0
        if new.mean() > _MAX_NEW_SHARE:
            return None
        new_texts = [text for text, is_new in zip(texts, new, strict=True) if is_new]
        cached.bands[new] = self._bands(self._sets(new_texts))
        affected = _agreeing(cached.bands, new)
        if affected is None:
            return None
        positions = np.flatnonzero(affected)
        firsts = positions[clusters_of(self._sets([texts[at] for at in positions.tolist()]), self._settings)]
        _, cached_firsts, numbers = np.unique(cached.labels[~new], return_index=True, return_inverse=True)
        old = np.flatnonzero(~new)
        labels = smallest_connected(len(texts), (positions, firsts), (old, old[cached_firsts[numbers]]))
        return CachedSignatures(cached.keys, labels, cached.bands)

    def _bands(self, sets: ShingleSets) -> Bands:
        return (band_keys(sets, self._settings) >> np.uint64(32)).astype(np.uint32)

    def _sets(self, codes: Sequence[Code]) -> ShingleSets:
        streams = ordered_map(
            _token_streams, codes, lambda code: len(code[0]), "Reading tokens to compare", total=len(codes)
        )
        return all_shingles(list(chain.from_iterable(streams)), self._settings.shingle_tokens)


def _token_streams(codes: Sequence[Code]) -> list[str]:
    return token_streams([text for text, _ in codes], [language for _, language in codes])


@dataclass(frozen=True)
class CachedSignatures:
    keys: pl.Series  # hash of each text
    labels: Labels  # cluster number of each text; -1 for a new one
    bands: Bands  # half of the hash of each MinHash band; zeros for a new text

    @classmethod
    def from_state(cls, keys: pl.Series, state: pl.DataFrame) -> "CachedSignatures":
        size = pl.len().over(_CLUSTER)
        numbered = state.select(_TEXT, _CLUSTER, size.alias("size")).with_row_index("at")
        matched = keys.to_frame().join(numbered, on=_TEXT, how="left", maintain_order="left")
        is_complete = matched.select(pl.col("size") == size)[:, 0].fill_null(False).to_numpy()
        labels = matched[_CLUSTER].fill_null(-1).to_numpy()
        is_cached, cached_bands = matched["at"].is_not_null().to_numpy(), state[_BANDS].to_numpy()
        bands = np.zeros((len(keys), cached_bands.shape[1]), dtype=np.uint32)
        bands[is_cached] = cached_bands[matched["at"].drop_nulls().to_numpy()]
        return cls(keys, np.where(is_complete, labels, -1), bands)

    def state(self) -> pl.DataFrame:
        bands = pl.Series(_BANDS, self.bands, dtype=pl.Array(pl.UInt32, self.bands.shape[1]))
        return pl.DataFrame([self.keys, pl.Series(_CLUSTER, self.labels), bands])


def _agreeing(bands: Bands, new: Mask) -> Mask | None:
    agreeing = new.copy()
    for band in range(bands.shape[1]):
        values = bands[:, band]
        new_values = np.unique(values[new])
        positions = np.searchsorted(new_values, values)
        positions[positions == len(new_values)] = 0
        matches = new_values[positions] == values
        if np.bincount(positions[matches]).max(initial=0) > MAX_COMPARED:
            return None
        agreeing |= matches
    return agreeing
