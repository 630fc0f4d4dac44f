"""Compare two samples, column by column."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortex_pipelines.monitoring.drift.kinds import (
    Drift,
    Feature,
    Kind,
    TwoSampleTest,
    as_text,
    as_values,
    flat,
    kind_of,
)
from cortex_pipelines.statistics.significance import holm

Doubles = npt.NDArray[np.float64]
_NEIGHBOURS = 10
_LEVELLED = 30  # largest eigenvalues of the graph that are cut to the size of the last of them
_EMBEDDING_WEIGHT = 2.0
_CHARACTERS = 4_000
_CHUNK = 512


def compare_texts(
    texts: Sequence[str], embeddings: np.ndarray, first: int, permutations: int, seed: int
) -> TwoSampleTest:
    """Test whether the first texts and the others are of one distribution.

    A permutation test, so its rate of false alarms is exact whatever the texts are. The statistic is the agreement of
    labels over a graph of nearest neighbours (Schilling 1986; Henze 1988), corrected for hubs (CSLS: Conneau and others
    2018), which finds topics that only one sample has. The largest eigenvalues of the graph are cut to one size (a
    spectral filter, as in Hagrass and others 2024): they belong to what most texts share, such as their form, and would
    drown the rest. Texts are compared by sentence embeddings and by character n-grams: either misses what the other
    sees. Over five development corpora this found more than the graph as it is, kernel ridge regression, clusters, and
    maximum mean discrepancy with several bandwidths.

    ``embeddings`` has a row of length 1 for each text. The smallest p-value is 1 / (permutations + 1).
    """
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(seed)
    # neighbours of equal distance come by position, which must not say which sample they are of
    order = random.permutation(len(texts))
    with threadpool_limits(limits=1):  # sums do not depend on the machine's cores
        meaning = embeddings[order].astype(np.float64)
        spelling = _spelling([texts[index] for index in order])
        form = _spectral_filter(_neighbours(meaning @ meaning.T, spelling))
        # both sum to 0 over all texts, so that unequal sizes do no harm
        labels = np.where(order < first, -1 / first, 1 / (len(texts) - first))
        parts = []
        for start in range(0, permutations + 1, _CHUNK):
            size = min(_CHUNK, permutations + 1 - start)
            rows = random.permuted(np.tile(labels, (size, 1)), axis=1)
            if not start:
                rows[0] = labels
            parts.append(np.einsum("ij,ij->i", rows @ form, rows))
        statistics = np.concatenate(parts)
    # in standard deviations; 0 where all are alike, but for rounding
    spread = float(statistics.std())
    varied = spread > 1e-9 * float(np.abs(statistics).max())
    statistics = (statistics - statistics.mean()) / spread if varied else np.zeros_like(statistics)
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


LEVEL = 0.01  # chance of any false alarm if nothing has changed
_SEED = 1
_LEAST_PERMUTATIONS = 1_999
_PERMUTATIONS_A_COLUMN = 200  # A p-value after Holm's correction can then be half of the level
_MOST_TEXTS = 1_000  # texts of each sample that are compared; the cost grows with their cube
CHARACTERS = 800  # characters of a text that are embedded: about 200 tokens, which bounds the cost
_EXPECTED = 5.0  # smallest expected count of a level for the chi-squared distribution to hold (Cochran 1954)
Encode = Callable[[Sequence[str]], np.ndarray]


def compare(reference: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]], encode: Encode) -> Drift:
    """Test which columns have drifted between two samples of at least one record each.

    A column that one sample lacks is one whose values are all missing there. Texts are encoded to
    vectors of length 1, only if a column holds any.
    """
    samples = [[flat(record) for record in sample] for sample in (reference, current)]
    names = sorted({name for sample in samples for record in sample for name in record})
    columns = {}
    for name in names:
        values = as_values([record.get(name) for sample in samples for record in sample])
        columns[name] = values[: len(reference)], values[len(reference) :]
    kinds = {name: kind_of(name, *map(_present, column)) for name, column in columns.items()}
    permutations = max(_LEAST_PERMUTATIONS, _PERMUTATIONS_A_COLUMN * len(names) - 1)
    tests = {name: _compare_column(*columns[name], kind, encode, permutations) for name, kind in kinds.items()}
    tested = {name: test for name, test in tests.items() if test is not None}
    corrected = holm([test.p_value for test in tested.values()])
    drifting = {name for name, p in zip(tested, corrected, strict=True) if p <= LEVEL}
    features = []
    for name, test in tests.items():
        used, statistic, p_value = (test.test, test.statistic, test.p_value) if test else (None, None, None)
        features.append(Feature(name, kinds[name], used, statistic, p_value, name in drifting))
    return Drift(bool(drifting), len(drifting) / max(len(tested), 1), tuple(features))


def _present(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _compare_column(
    reference: Sequence[Any], current: Sequence[Any], kind: Kind, encode: Encode, permutations: int
) -> TwoSampleTest | None:
    """The likelier of two changes, of values or of how many are missing; None if neither is."""
    samples = _present(reference), _present(current)
    missing = [len(all_) - len(present) for all_, present in zip((reference, current), samples, strict=True)]
    tests = []
    if all(samples) and kind in ("number", "category", "text"):
        tests.append(_compare_values(*samples, kind, encode, permutations))
    if any(missing):
        counts = np.array([missing, [len(present) for present in samples]])
        tests.append(_compare_counts(counts, "missing values, "))
    if not tests:
        return TwoSampleTest("constant", 0.0, 1.0) if kind == "constant" else None
    strongest = min(tests, key=lambda test: test.p_value)
    return TwoSampleTest(strongest.test, strongest.statistic, min(1.0, len(tests) * strongest.p_value))


def _compare_values(
    reference: list[Any], current: list[Any], kind: Kind, encode: Encode, permutations: int
) -> TwoSampleTest:
    if kind == "number":
        from scipy.stats import ks_2samp

        # an integer may have more digits than a floating-point number can hold
        numbers = [[min(max(value, -1e300), 1e300) for value in values] for values in (reference, current)]
        result = ks_2samp(*(np.array(values, dtype=np.float64) for values in numbers))
        return TwoSampleTest("Kolmogorov-Smirnov", float(result.statistic), float(result.pvalue))
    if kind == "category":
        return _compare_categories(reference, current)
    first, second = ([values[n] for n in sampled_rows(len(values), _MOST_TEXTS)] for values in (reference, current))
    texts = [as_text(value) for value in (*first, *second)]
    text_rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    embeddings = encode(list(text_rows))[[text_rows[text] for text in texts]]
    return compare_texts(texts, embeddings, len(first), permutations, _SEED)


def sampled_rows(count: int, most: int) -> list[int]:
    """Rows to compare, in order: all, or so many drawn by a fixed seed."""
    if count <= most:
        return list(range(count))
    indices = np.random.default_rng(_SEED).choice(count, most, replace=False)
    return [int(index) for index in np.sort(indices)]


def _compare_categories(reference: list[Any], current: list[Any]) -> TwoSampleTest:
    """Counts of levels; those that are rare in both together are one level."""
    counters = [Counter(as_text(value) for value in values) for values in (reference, current)]
    smaller = min(len(reference), len(current)) / (len(reference) + len(current))
    both = counters[0] + counters[1]
    frequent = [level for level, count in sorted(both.items()) if count * smaller >= _EXPECTED]
    rows = [[counter[level] for counter in counters] for level in frequent]
    rare_counts = [counter.total() - sum(counter[level] for level in frequent) for counter in counters]
    if not rows:  # so few that no level is frequent: the commonest against the rest
        (level, _), *_ = both.most_common(1)
        rows = [[counter[level] for counter in counters]]
        rare_counts = [counter.total() - counter[level] for counter in counters]
    if any(rare_counts):
        rows.append(rare_counts)
    return _compare_counts(np.array(rows))


def _compare_counts(counts: np.ndarray, prefix: str = "") -> TwoSampleTest:
    from scipy.stats import chi2_contingency, fisher_exact

    if len(counts) < 2:
        return TwoSampleTest(f"{prefix}constant", 0.0, 1.0)
    if len(counts) == 2:
        result = fisher_exact(counts)
        shares = counts[0] / counts.sum(axis=0)
        return TwoSampleTest(f"{prefix}Fisher", float(shares[1] - shares[0]), float(result.pvalue))
    result = chi2_contingency(counts)
    return TwoSampleTest(f"{prefix}chi-squared", float(result.statistic), float(result.pvalue))
