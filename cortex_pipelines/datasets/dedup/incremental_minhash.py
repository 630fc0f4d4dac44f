"""Cluster near-duplicates incrementally, recomputing only clusters with new texts.

Two texts are compared if their MinHash signatures agree in a band, so comparisons among unchanged texts need not be
repeated. A new text is compared with those that agree with it, and a cluster that lost a text counts as new, since
that text may have linked the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.minhash import MAX_COMPARED, band_keys, clusters_of
from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles
from cortex_pipelines.datasets.dedup.token_stream import token_streams
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.union_find import UnionFind
from cortex_pipelines.rowcache import RowCache

# With a larger share of new texts it is as fast to compare everything.
_MAX_NEW_SHARE = 0.2
# With fewer changes, comparing them again is as fast as rewriting the cache.
_MIN_SHARE_TO_SAVE = 0.01
_TEXT, _CLUSTER, _BANDS = "text", "cluster", "bands"
_HIGH = np.uint64(32)
Mask = NDArray[np.bool_]
Code = tuple[str, str | None]
"""A text and its language, or None for prose."""
Bands = NDArray[np.uint32]
Labels = NDArray[np.int64]


class IncrementalClustering:
    """Clusters texts and caches the clusters for the next run.

    ``cache``: persistent cache; None compares everything each time.
    """

    def __init__(self, cache: RowCache | None, project: str, settings: DatasetSettings) -> None:
        self._cache, self._project, self._settings = cache, project, settings

    def firsts(self, name: str, texts: Sequence[str], languages: Sequence[str | None] | None = None) -> list[int]:
        """Cluster of each text as the index of its first text; equal to a full run.

        ``languages``: language of each; code is compared by its token stream. None for prose.
        """
        text_languages = languages if languages is not None else [None] * len(texts)
        positions: dict[Code, int] = {}
        text_positions = [
            positions.setdefault(code, len(positions)) for code in zip(texts, text_languages, strict=True)
        ]
        labels = self._labels(f"{self._project}/clusters/{name}", list(positions))
        first: dict[int, int] = {}
        return [first.setdefault(labels[position], index) for index, position in enumerate(text_positions)]

    def _labels(self, name: str, texts: list[Code]) -> list[int]:
        if self._cache is None:
            return clusters_of(self._sets(texts), self._settings)
        keys = pl.Series(_TEXT, [_key(code) for code in texts], dtype=pl.String)
        state = self._cache.load_table(name)
        cached = None if state is None else CachedSignatures.from_state(keys, state)
        clustering = self._with_new(cached, texts) if cached and cached.new.any() else cached
        if clustering is None:
            clustering = self._from_scratch(keys, texts)
            saved_state = clustering.state().clear() if clustering.has_full_bucket() else clustering.state()
            self._cache.store_table(name, saved_state)
        elif state is not None and _count_changes(keys, state[_TEXT]) > _MIN_SHARE_TO_SAVE * len(texts):
            self._cache.store_table(name, clustering.state())
        labels: list[int] = clustering.labels.tolist()
        return labels

    def _from_scratch(self, keys: pl.Series, texts: list[Code]) -> "CachedSignatures":
        sets = self._sets(texts)
        bands = _halves(band_keys(sets, self._settings))
        labels = np.array(clusters_of(sets, self._settings), dtype=np.int64)
        return CachedSignatures(keys, labels, bands)

    def _with_new(self, cached: "CachedSignatures", texts: list[Code]) -> "CachedSignatures | None":
        new = cached.new
        if new.mean() > _MAX_NEW_SHARE:
            return None
        cached.bands[new] = _halves(band_keys(self._sets(_select(texts, new)), self._settings))
        affected = _agreeing(cached.bands, new)
        if affected is None:
            return None
        affected_positions = np.flatnonzero(affected)
        forest = UnionFind(len(texts))
        _union_by_label(forest, np.flatnonzero(~new), cached.labels[~new])
        _union_by_label(forest, affected_positions, clusters_of(self._sets(_select(texts, affected)), self._settings))
        return CachedSignatures(cached.keys, forest.labels(), cached.bands)

    def _sets(self, codes: Sequence[Code]) -> ShingleSets:
        streams = token_streams([text for text, _ in codes], [language for _, language in codes])
        return all_shingles(streams, self._settings.shingle_tokens)


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

    @property
    def new(self) -> Mask:
        return self.labels < 0

    def has_full_bucket(self) -> bool:
        """Whether a bucket is so full that it is only compared in part.

        The compared part depends on the order of all texts, so it cannot be reused.
        """
        return _agreeing(self.bands, np.ones(len(self.keys), dtype=bool)) is None

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


def _count_changes(keys: pl.Series, cached_keys: pl.Series) -> int:
    unchanged = int(keys.is_in(cached_keys.implode()).sum())
    return len(keys) + len(cached_keys) - 2 * unchanged


def _union_by_label(forest: UnionFind, positions: NDArray[np.int64], labels: Sequence[int] | Labels) -> None:
    first: dict[int, int] = {}
    for position, label in zip(positions.tolist(), np.asarray(labels).tolist(), strict=True):
        if (first_position := first.setdefault(label, position)) != position:
            forest.join(position, first_position)


def _select(texts: list[Code], mask: Mask) -> list[Code]:
    return [texts[position] for position in np.flatnonzero(mask).tolist()]


def _halves(keys: NDArray[np.uint64]) -> Bands:
    return (keys >> _HIGH).astype(np.uint32)


def _key(code: Code) -> str:
    text = f"{code[1] or ''}\0{code[0]}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
