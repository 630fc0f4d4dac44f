from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, two_sample_bootstrap, wilson
from cortex_pipelines.statistics.significance import mcnemar_exact


def bootstrap(differences: list[float], **given_: object) -> Interval:
    settings = {"resamples": 500, "confidence": 0.95, "seed": 3} | given_
    return paired_bootstrap(differences, **settings)  # type: ignore[arg-type]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.1, 10))
def test_shifting_and_scaling_the_differences_shifts_and_scales_the_interval(values: list[float], scale: float) -> None:
    plain = bootstrap(values)
    shifted = bootstrap([scale * value + 1 for value in values])
    assert shifted.estimate == pytest.approx(scale * plain.estimate + 1, abs=1e-6)
    assert shifted.low == pytest.approx(scale * plain.low + 1, abs=1e-6)
    assert shifted.high == pytest.approx(scale * plain.high + 1, abs=1e-6)
    assert min(values) - 1e-9 <= plain.low <= plain.high <= max(values) + 1e-9


def test_the_same_seed_gives_the_same_interval_and_another_another() -> None:
    values = list(np.random.default_rng(0).normal(size=50))
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values) != bootstrap(values, seed=4)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        interval = bootstrap(list(random.normal(0.3, 1, 60)), confidence=0.9)
        inside += interval.low <= 0.3 <= interval.high
    assert 0.84 <= inside / 300 <= 0.96


def test_items_of_a_cluster_count_as_one_piece_of_evidence() -> None:
    random = np.random.default_rng(2)
    values = list(random.normal(size=12))
    tenfold = [value for value in values for _ in range(10)]
    clusters = [str(number) for number in range(12) for _ in range(10)]
    alone, clustered = bootstrap(values), bootstrap(tenfold, clusters=clusters)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low)
    naive = bootstrap(tenfold)
    assert naive.high - naive.low < 0.6 * (alone.high - alone.low)


def test_weights_make_a_ratio_of_sums() -> None:
    interval = bootstrap([1.0, 0.0], weights=[3.0, 1.0])
    assert interval.estimate == pytest.approx(0.75)


def test_more_resamples_than_a_chunk_are_all_drawn() -> None:
    few = bootstrap([0.0, 1.0, 2.0], resamples=256)
    many = bootstrap([0.0, 1.0, 2.0], resamples=5000)
    assert few.low <= many.estimate <= few.high
    assert many.low == pytest.approx(0.0, abs=0.35)


def test_no_items_or_uneven_ones_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        bootstrap([])
    with pytest.raises(ValueError, match="2 differences, 1 weights"):
        bootstrap([1.0, 2.0], weights=[1.0])


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, method 3
    interval = wilson(81, 263, 0.95)
    assert (interval.low, interval.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    none = wilson(0, 20, 0.95)
    assert (none.low, none.high) == (0.0, pytest.approx(0.1611, abs=1e-4))


@given(st.integers(1, 500), st.data())
def test_wilson_is_symmetric_and_holds_its_estimate(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    share, other = wilson(successes, trials, 0.9), wilson(trials - successes, trials, 0.9)
    assert 0 <= share.low <= share.estimate <= share.high <= 1
    assert share.low == pytest.approx(1 - other.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_share(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="wilson"):
        wilson(successes, trials, 0.95)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_tail(first: int, second: int) -> None:
    total = first + second
    as_extreme = [k for k in range(total + 1) if abs(2 * k - total) >= abs(first - second)]
    expected = Fraction(sum(comb(total, k) for k in as_extreme), 2**total)
    assert mcnemar_exact(first, second) == pytest.approx(float(expected))


def test_mcnemar_holds_at_counts_beyond_a_float() -> None:
    assert mcnemar_exact(3000, 3000) == 1.0
    assert 0 <= mcnemar_exact(1000, 3000) < 1e-100


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_an_interval_of_few_clusters_is_as_wide_as_students() -> None:
    """With eight draws a plain percentile interval covers the mean in about 88 % of cases."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        interval = bootstrap(list(random.normal(0.0, 1, 8)), confidence=0.95, resamples=4000)
        covered += interval.low <= 0 <= interval.high
    assert covered / 400 > 0.91


def test_two_samples_that_are_alike_differ_by_nothing() -> None:
    random = np.random.default_rng(5)
    size = np.ones(40)
    first, other = (random.normal(mean, 1, 40) for mean in (0.0, 2.0))

    def difference(more: np.ndarray, less: np.ndarray) -> Interval:
        return two_sample_bootstrap((more, size), (less, size), resamples=2000, confidence=0.95, seed=3)

    apart = difference(other, first)
    assert apart.low > 1
    assert apart.estimate == pytest.approx(other.mean() - first.mean())
    equal = difference(first, first[::-1].copy())
    assert equal.low < 0 < equal.high
