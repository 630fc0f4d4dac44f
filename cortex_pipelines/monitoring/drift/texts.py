"""Whether two samples of texts come from one distribution.

A permutation test, so its rate of false alarms is exact whatever the texts are: the statistic is
compared with those of the same texts under drawn labels. It is the agreement of labels over a graph
of nearest neighbours (Schilling 1986; Henze 1988), corrected for hubs (CSLS: Conneau and others
2018), which finds topics that only one sample has. The largest eigenvalues of the graph are cut to
one size (a spectral filter, as in Hagrass and others 2024): they belong to what most texts share,
such as their form, and would drown the rest.

Texts are compared by sentence embeddings and by character n-grams: either misses what the other
sees. Over five development corpora this found more than the graph as it is, kernel ridge regression
(a classifier two-sample test in closed form), clusters, and maximum mean discrepancy with several
bandwidths.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortex_pipelines.monitoring.drift.result import TwoSampleTest

Doubles = npt.NDArray[np.float64]

_NEIGHBOURS = 10
_LEVELLED = 30
"""Largest eigenvalues of the graph that are cut to the size of the last of them."""

_EMBEDDING_WEIGHT = 2.0
_CHARACTERS = 4_000
_CHUNK = 512


def compare_texts(
    texts: Sequence[str], embeddings: np.ndarray, first: int, permutations: int, seed: int
) -> TwoSampleTest:
    """Test whether the first texts and the others are of one distribution.

    Args:
        embeddings: One row a text, of length 1.
        first: Texts in the first sample.
        permutations: Drawn labellings; the smallest p-value is 1 / (permutations + 1).
        seed: Of the labellings, and of the order that decides between equal neighbours.
    """
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    # neighbours of equal distance come by position, which must not say which sample they are of
    order = random.permutation(len(texts))
    with threadpool_limits(limits=1):  # sums do not depend on the machine's cores
        meaning = embeddings[order].astype(np.float64)
        parts = (meaning @ meaning.T, _spelling([texts[index] for index in order]))
        form = _spectral_filter(_neighbours(*parts))
        # both sum to 0 over all texts, so that unequal sizes do no harm
        labels = np.where(order < first, -1 / first, 1 / (len(texts) - first))
        statistics = _standardised(_statistics(form, labels, permutations, random))
    reached = float((statistics >= statistics[0] - 1e-9).mean())
    return TwoSampleTest("nearest neighbours, permuted", float(statistics[0]), reached)


def _spelling(texts: Sequence[str]) -> Doubles:
    from sklearn.feature_extraction.text import TfidfVectorizer

    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=2, dtype=np.float64)
    try:
        weights = grams.fit_transform([text[:_CHARACTERS] for text in texts])
    except ValueError:  # its vocabulary is empty
        return np.zeros((len(texts), len(texts)))
    return np.asarray((weights @ weights.T).todense())


def _centred(kernel: Doubles) -> Doubles:
    means = kernel.mean(axis=0)
    return np.asarray(kernel - means - means[:, None] + means.mean())


def _neighbours(meaning: Doubles, spelling: Doubles) -> Doubles:
    """Adjacency of the graph of nearest neighbours; 2 where it is mutual."""
    affinity = np.zeros_like(meaning)
    for part, weight in ((meaning, _EMBEDDING_WEIGHT), (spelling, 1.0)):
        centred = _centred(part)
        affinity += weight * centred / max(float(np.sqrt((centred**2).mean())), 1e-12)
    np.fill_diagonal(affinity, -np.inf)
    count = min(_NEIGHBOURS, len(affinity) - 1)
    hub = np.sort(affinity, axis=1)[:, -count:].mean(axis=1)
    affinity = 2 * affinity - hub - hub[:, None]
    nearest = np.argsort(-affinity, axis=1, kind="stable")[:, :count]
    graph = np.zeros_like(affinity)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    return np.asarray(graph + graph.T)


def _spectral_filter(graph: Doubles) -> Doubles:
    """The graph, normalised by degrees, its largest eigenvalues cut and no negative ones."""
    degrees = np.sqrt(np.maximum(graph.sum(axis=1), 1.0))
    values, vectors = np.linalg.eigh(_centred(graph / np.outer(degrees, degrees)))
    # of few texts fewer, as half of the eigenvalues are negative
    levelled = max(min(_LEVELLED, len(values) // 8), 1)
    most = max(float(values[-levelled]), 0.0)
    form = (vectors * np.clip(values, 0.0, most)) @ vectors.T
    np.fill_diagonal(form, 0.0)
    return np.asarray(form)


def _statistics(form: Doubles, labels: Doubles, permutations: int, random: np.random.Generator) -> Doubles:
    statistics: list[Doubles] = []
    for start in range(0, permutations + 1, _CHUNK):
        size = min(_CHUNK, permutations + 1 - start)
        rows = random.permuted(np.tile(labels, (size, 1)), axis=1)
        if not start:
            rows[0] = labels
        statistics.append(np.einsum("ij,ij->i", rows @ form, rows))
    return np.concatenate(statistics)


def _standardised(values: Doubles) -> Doubles:
    """Values in standard deviations; 0 where all are alike, but for rounding."""
    spread = float(values.std())
    if spread <= 1e-9 * float(np.abs(values).max()):
        return np.zeros_like(values)
    return np.asarray((values - values.mean()) / spread)
