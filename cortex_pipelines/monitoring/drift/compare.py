"""Compare two samples, column by column."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortex_pipelines.monitoring.drift.kinds import as_text, as_values, flat, kind_of
from cortex_pipelines.monitoring.drift.result import Drift, Feature, Kind, TwoSampleTest
from cortex_pipelines.monitoring.drift.texts import compare_texts
from cortex_pipelines.statistics.significance import holm

LEVEL = 0.01
"""Chance of any false alarm if nothing has changed."""

_SEED = 1
_LEAST_PERMUTATIONS = 1_999
_PERMUTATIONS_A_COLUMN = 200
"""A p-value after Holm's correction can then be half of the level."""

_MOST_TEXTS = 1_000
"""Texts of each sample that are compared; the cost grows with their cube."""

CHARACTERS = 800
"""Characters of a text that are embedded: about 200 tokens, which bounds the cost."""

_EXPECTED = 5.0
"""Smallest expected count of a level for the chi-squared distribution to hold (Cochran 1954)."""

Encode = Callable[[Sequence[str]], np.ndarray]


def compare(reference: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]], encode: Encode) -> Drift:
    """Test which columns have drifted between two samples of at least one record each.

    A column that one sample lacks is one whose values are all missing there. Texts are encoded to
    vectors of length 1, only if a column holds any.
    """
    samples = [[flat(record) for record in sample] for sample in (reference, current)]
    names = sorted({name for sample in samples for record in sample for name in record})
    columns = {name: _column(name, *samples) for name in names}
    kinds = {name: _kind(name, *column) for name, column in columns.items()}
    permutations = max(_LEAST_PERMUTATIONS, _PERMUTATIONS_A_COLUMN * len(names) - 1)
    tests = {name: _compare_column(*columns[name], kind, encode, permutations) for name, kind in kinds.items()}
    tested = {name: test for name, test in tests.items() if test is not None}
    corrected = holm([test.p_value for test in tested.values()])
    drifting = {name for name, p in zip(tested, corrected, strict=True) if p <= LEVEL}
    features = tuple(
        Feature(
            name=name,
            kind=kinds[name],
            test=test.test if test else None,
            statistic=test.statistic if test else None,
            p_value=test.p_value if test else None,
            drift=name in drifting,
        )
        for name, test in tests.items()
    )
    return Drift(bool(drifting), len(drifting) / max(len(tested), 1), features)


def _column(
    name: str, reference: Sequence[dict[str, Any]], current: Sequence[dict[str, Any]]
) -> tuple[list[Any], list[Any]]:
    values = as_values([record.get(name) for record in (*reference, *current)])
    return values[: len(reference)], values[len(reference) :]


def _present(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def _kind(name: str, reference: Sequence[Any], current: Sequence[Any]) -> Kind:
    return kind_of(name, _present(reference), _present(current))


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
        return _compare_numbers(reference, current)
    if kind == "category":
        return _compare_categories(reference, current)
    first, second = _sampled(reference), _sampled(current)
    texts = [as_text(value) for value in (*first, *second)]
    text_rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    embeddings = encode(list(text_rows))[[text_rows[text] for text in texts]]
    return compare_texts(texts, embeddings, len(first), permutations, _SEED)


def _sampled(values: list[Any]) -> list[Any]:
    if len(values) <= _MOST_TEXTS:
        return values
    indices = np.random.default_rng(_SEED).choice(len(values), _MOST_TEXTS, replace=False)
    return [values[n] for n in np.sort(indices)]


def _compare_numbers(reference: list[float], current: list[float]) -> TwoSampleTest:
    from scipy.stats import ks_2samp

    # an integer may have more digits than a floating-point number can hold
    samples = [[min(max(value, -1e300), 1e300) for value in values] for values in (reference, current)]
    result = ks_2samp(*(np.array(values, dtype=np.float64) for values in samples))
    return TwoSampleTest("Kolmogorov-Smirnov", float(result.statistic), float(result.pvalue))


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
