"""Cluster near-duplicates incrementally, recomputing only clusters with new texts.

Two texts are compared if their MinHash signatures agree in a band, so comparisons among unchanged
texts need not be repeated. A new text is compared with those that agree with it, and a cluster that
lost a text counts as new, since that text may have linked the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cortex_pipelines.datasets.dedup.minhash import MOST_COMPARED, band_keys, clusters_of
from cortex_pipelines.datasets.dedup.shingles import ShingleSets, all_shingles
from cortex_pipelines.datasets.dedup.token_stream import token_streams
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.union_find import UnionFind
from cortex_pipelines.rowcache import RowCache

# With a larger share of new texts it is as fast to compare everything.
_MOST_NEW = 0.2
# With fewer that came or went it is as fast to look at them again as to write all that is known.
_WORTH_KEEPING = 0.01
_TEXT, _CLUSTER, _BANDS = "text", "cluster", "bands"
_HIGH = np.uint64(32)
Bools = NDArray[np.bool_]
Code = tuple[str, str | None]
"""A text and its language; None where it is no code."""
Bands = NDArray[np.uint32]
Labels = NDArray[np.int64]


class IncrementalClustering:
    """Clusters texts and caches the clusters for the next run.

    Args:
        cache: Where that is kept; without one everything is compared each time.
        project: Whose texts they are.
        settings: Thresholds; the cache belongs to them.
    """

    def __init__(self, cache: RowCache | None, project: str, settings: DatasetSettings) -> None:
        self._cache, self._project, self._settings = cache, project, settings

    def firsts(
        self, name: str, texts: Sequence[str], languages: Sequence[str | None] | None = None
    ) -> list[int]:
        """Cluster of each text as the index of its first text; equal to a full run.

        Args:
            name: What the texts are; each name remembers its own.
            texts: The texts.
            languages: Language of each; code is compared by its token stream. None for prose.
        """
        known_languages = languages if languages is not None else [None] * len(texts)
        places: dict[Code, int] = {}
        which = [
            places.setdefault(code, len(places))
            for code in zip(texts, known_languages, strict=True)
        ]
        labels = self._labels(f"{self._project}/clusters/{name}", list(places))
        first: dict[int, int] = {}
        return [first.setdefault(labels[at], index) for index, at in enumerate(which)]

    def _labels(self, name: str, texts: list[Code]) -> list[int]:
        """Cluster labels of distinct texts."""
        if self._cache is None:
            return clusters_of(self._sets(texts), self._settings)
        keys = pl.Series(_TEXT, [_key(code) for code in texts], dtype=pl.String)
        state = self._cache.recall(name)
        known = None if state is None else _Known.of(keys, state)
        clustering = self._with_new(known, texts) if known and known.new.any() else known
        if clustering is None:
            clustering = self._from_nothing(keys, texts)
            kept = (
                clustering.state().clear() if clustering.has_full_bucket() else clustering.state()
            )
            self._cache.keep(name, kept)
        elif state is not None and _moved(keys, state[_TEXT]) > _WORTH_KEEPING * len(texts):
            self._cache.keep(name, clustering.state())
        labels: list[int] = clustering.labels.tolist()
        return labels

    def _from_nothing(self, keys: pl.Series, texts: list[Code]) -> "_Known":
        sets = self._sets(texts)
        bands = _halves(band_keys(sets, self._settings))
        labels = np.array(clusters_of(sets, self._settings), dtype=np.int64)
        return _Known(keys, labels, bands)

    def _with_new(self, known: "_Known", texts: list[Code]) -> "_Known | None":
        """Merge new texts into the clusters; None where a full run is needed."""
        new = known.new
        if new.mean() > _MOST_NEW:
            return None
        known.bands[new] = _halves(band_keys(self._sets(_chosen(texts, new)), self._settings))
        like = _agreeing(known.bands, new)
        if like is None:
            return None
        places = np.flatnonzero(like)
        forest = UnionFind(len(texts))
        _join(forest, np.flatnonzero(~new), known.labels[~new])
        _join(forest, places, clusters_of(self._sets(_chosen(texts, like)), self._settings))
        return _Known(known.keys, forest.labels(), known.bands)

    def _sets(self, codes: Sequence[Code]) -> ShingleSets:
        streams = token_streams([text for text, _ in codes], [language for _, language in codes])
        return all_shingles(streams, self._settings.shingle_tokens)


@dataclass(frozen=True)
class _Known:
    """Cached texts with cluster numbers.

    Args:
        keys: Hash of each text.
        labels: A number for each; -1 if it is new.
        bands: Half of the hash of each band of its MinHash signature; of a new one zeros.
    """

    keys: pl.Series
    labels: Labels
    bands: Bands

    @classmethod
    def of(cls, keys: pl.Series, state: pl.DataFrame) -> "_Known":
        """Cached state of some texts, without incomplete clusters."""
        size = pl.len().over(_CLUSTER)
        numbered = state.select(_TEXT, _CLUSTER, size.alias("size")).with_row_index("at")
        matched = keys.to_frame().join(numbered, on=_TEXT, how="left", maintain_order="left")
        whole = matched.select(pl.col("size") == size)[:, 0].fill_null(False).to_numpy()
        labels = matched[_CLUSTER].fill_null(-1).to_numpy()
        there, known = matched["at"].is_not_null().to_numpy(), state[_BANDS].to_numpy()
        bands = np.zeros((len(keys), known.shape[1]), dtype=np.uint32)
        bands[there] = known[matched["at"].drop_nulls().to_numpy()]
        return cls(keys, np.where(whole, labels, -1), bands)

    @property
    def new(self) -> Bools:
        """Mask of uncached texts."""
        return self.labels < 0

    def has_full_bucket(self) -> bool:
        """Whether a bucket is so full that it is only compared in part.

        The compared part depends on the order of all texts, so it cannot be reused.
        """
        return _agreeing(self.bands, np.ones(len(self.keys), dtype=bool)) is None

    def state(self) -> pl.DataFrame:
        """State to cache."""
        bands = pl.Series(_BANDS, self.bands, dtype=pl.Array(pl.UInt32, self.bands.shape[1]))
        return pl.DataFrame([self.keys, pl.Series(_CLUSTER, self.labels), bands])


def _agreeing(bands: Bands, new: Bools) -> Bools | None:
    """Mask of texts that share a band with a new one; None if a bucket is too full."""
    agreeing = new.copy()
    for band in range(bands.shape[1]):
        values = bands[:, band]
        wanted = np.unique(values[new])
        places = np.searchsorted(wanted, values)
        places[places == len(wanted)] = 0
        same = wanted[places] == values
        if np.bincount(places[same]).max(initial=0) > MOST_COMPARED:
            return None
        agreeing |= same
    return agreeing


def _moved(keys: pl.Series, known: pl.Series) -> int:
    """Number of texts added or removed."""
    stayed = int(keys.is_in(known.implode()).sum())
    return len(keys) + len(known) - 2 * stayed


def _join(forest: UnionFind, places: NDArray[np.int64], labels: Sequence[int] | Labels) -> None:
    """Union the members of each label."""
    first: dict[int, int] = {}
    for place, label in zip(places.tolist(), np.asarray(labels).tolist(), strict=True):
        if (known := first.setdefault(label, place)) != place:
            forest.join(place, known)


def _chosen(texts: list[Code], which: Bools) -> list[Code]:
    return [texts[place] for place in np.flatnonzero(which).tolist()]


def _halves(keys: NDArray[np.uint64]) -> Bands:
    return (keys >> _HIGH).astype(np.uint32)


def _key(code: Code) -> str:
    text = f"{code[1] or ''}\0{code[0]}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
