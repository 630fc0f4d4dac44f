"""Units that are alike: a map of two dimensions, the dense places on it, and names for them.

The map is t-SNE (van der Maaten and Hinton 2008) of the first principal components, begun at the
first two of them, so that seed and input decide it. The clusters are what HDBSCAN (Campello,
Moulavi, Sander 2013) calls dense on the map, its leaves: in 50 dimensions it called 64 and 82 % of
the units of two projects outliers. One thread: sums in another order give other digits.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cortex_pipelines.retrieval.settings import ClusterSettings
from cortex_pipelines.retrieval.terms import STOP_WORDS, query_terms_of_word
from cortex_pipelines.schemas.retrieval import CLUSTERED_UNITS, CLUSTERS
from cortex_pipelines.words import parts_of_word, split_words

OUTLIER = -1
"""Number of no cluster."""

_COMPONENTS = 50
"""Principal components that the map is made of, as scikit-learn's guide to t-SNE advises."""
_NEIGHBOURS = 3
"""Units that a dense place has near: HDBSCAN's ``min_samples``. With 5 a quarter to a half of the
units were outliers, with 3 a seventh to a quarter."""
_TERMS, _NAMED_BY = 8, 3
_LEAST_LETTERS = 3
_FEWEST = 3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterMap:
    units: pl.DataFrame
    clusters: pl.DataFrame
    unmapped: int


def cluster_units(
    units: pl.DataFrame, vectors: npt.NDArray[np.float16], texts: Sequence[str], settings: ClusterSettings
) -> ClusterMap:
    sample = _sample(units, settings.most_mapped)
    unmapped = units.height - len(sample)
    units, vectors, texts = units[sample], vectors[sample], [texts[index] for index in sample]
    rows = vectors.astype(np.float64)
    points = _map(rows, settings)
    labels = _number_by_size(_dense_labels(points, settings.smallest_cluster))
    points = _spread(points)
    map_units = units.with_columns(
        cluster=pl.Series(labels, dtype=pl.Int64),
        x=pl.Series(points[:, 0], dtype=pl.Float64),
        y=pl.Series(points[:, 1], dtype=pl.Float64),
    ).select(list(CLUSTERED_UNITS.schema))
    clusters = [
        _cluster_row(number, np.flatnonzero(labels == number), map_units, rows, terms)
        for number, terms in enumerate(_distinctive_terms(texts, labels))
    ]
    return ClusterMap(map_units, CLUSTERS.frame(clusters), unmapped)


def _sample(units: pl.DataFrame, most: int) -> list[int]:
    keys = [
        hashlib.sha256("\0".join(map(str, row)).encode(errors="replace")).digest()
        for row in units.select("source", "path", "number").iter_rows()
    ]
    return sorted(sorted(range(len(keys)), key=keys.__getitem__)[:most])


def _map(rows: Floats, settings: ClusterSettings) -> Floats:
    if len(rows) < _FEWEST:
        return np.zeros((len(rows), 2))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        reduced = _components(rows)
        start = reduced[:, :2] / max(float(reduced[:, 0].std()), 1e-12) * 1e-4
        model = TSNE(
            perplexity=min(settings.perplexity, (len(rows) - 1) / 3), init=start, random_state=settings.seed, n_jobs=1
        )
        points: Floats = model.fit_transform(reduced).astype(np.float64)
    return points


def _spread(points: Floats) -> Floats:
    if not len(points):
        return points
    points = points - points.min(axis=0)
    spread: Floats = np.clip(points / np.maximum(points.max(axis=0), 1e-12), 0, 1)
    return spread


def _components(rows: Floats) -> Floats:
    centred = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    directions = directions[:, ::-1][:, :_COMPONENTS]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    components: Floats = centred @ (directions * signs)
    return components


def _dense_labels(points: Floats, smallest: int) -> npt.NDArray[np.int64]:
    if len(points) < max(2 * smallest, _FEWEST):
        return np.full(len(points), OUTLIER)
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=smallest, min_samples=_NEIGHBOURS, cluster_selection_method="leaf", n_jobs=1, copy=True
    )
    labels: npt.NDArray[np.int64] = model.fit(points).labels_.astype(np.int64)
    return labels


def _number_by_size(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    numbers = [number for number in dict.fromkeys(labels.tolist()) if number != OUTLIER]
    by_size = sorted(numbers, key=lambda number: -int((labels == number).sum()))
    renamed = {number: rank for rank, number in enumerate(by_size)} | {OUTLIER: OUTLIER}
    return np.array([renamed[number] for number in labels.tolist()], dtype=np.int64)


def _distinctive_terms(texts: Sequence[str], labels: npt.NDArray[np.int64]) -> list[list[str]]:
    forms: dict[str, Counter[str]] = {}
    inside: list[Counter[str]] = [Counter() for _ in range(int(labels.max(initial=OUTLIER)) + 1)]
    everywhere: Counter[str] = Counter()
    for text, label in zip(texts, labels.tolist(), strict=True):
        terms = set()
        for part in _parts(text):
            term = query_terms_of_word(part)[0]
            terms.add(term)
            forms.setdefault(term, Counter())[part] += 1
        everywhere.update(terms)
        if label != OUTLIER:
            inside[label].update(terms)
    distinctive = []
    for number, counts in enumerate(inside):
        size = int((labels == number).sum())
        scores = {
            term: count / size * np.log((count / size) / (everywhere[term] / len(texts)))
            for term, count in counts.items()
        }
        best = sorted(scores, key=lambda term: (-scores[term], term))[:_TERMS]
        distinctive.append([_commonest(forms[term]) for term in best])
    return distinctive


def _parts(text: str) -> list[str]:
    return [
        part
        for word in split_words(text)
        for part in parts_of_word(word)
        if (len(part) >= _LEAST_LETTERS or not part.isascii()) and part.isalpha() and part not in STOP_WORDS
    ]


def _commonest(forms: Counter[str]) -> str:
    return min(forms, key=lambda form: (-forms[form], form))


def _cluster_row(
    number: int, members: npt.NDArray[np.int64], units: pl.DataFrame, rows: Floats, terms: list[str]
) -> dict[str, object]:
    paths = units["path"].gather(members).to_list()
    folders = Counter(path.rpartition("/")[0] for path in paths)
    folder = min(folders, key=lambda path: (-folders[path], path))
    central = members[int(np.argmax(rows[members] @ rows[members].mean(axis=0)))]
    path, name = units.row(int(central), named=True)["path"], units["name"][int(central)]
    return {
        "cluster": number,
        "name": ", ".join(terms[:_NAMED_BY]),
        "terms": terms,
        "units": len(members),
        "path": folder,
        "share": folders[folder] / len(members),
        "example": f"{path}: {name}",
    }
