from fractions import Fraction
from itertools import combinations, product
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.adapter.measures.test_runner import pass_at_k, pass_at_k_metrics
from cortex_pipelines.statistics import significance
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, two_sample_bootstrap, wilson
from cortex_pipelines_tests.messages import refusal


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
    few = bootstrap([0.0, 1.0, 2.0], resamples=256)
    many = bootstrap([0.0, 1.0, 2.0], resamples=5000)
    assert few.low <= many.estimate <= few.high
    assert many.low == pytest.approx(0.0, abs=0.35)


@pytest.mark.parametrize(
    ("seed", "mean", "items", "how", "low", "high"),
    [
        (1, 0.3, 60, {"confidence": 0.9}, 0.84, 0.96),
        # with eight draws a plain percentile interval covers the mean in about 88 % of cases
        (5, 0.0, 8, {"resamples": 4000}, 0.91, 1.0),
    ],
)
def test_intervals_hold_the_truth(
    seed: int, mean: float, items: int, how: dict[str, Any], low: float, high: float
) -> None:
    random = np.random.default_rng(seed)
    intervals = [bootstrap(list(random.normal(mean, 1, items)), **how) for _ in range(300)]
    assert low < sum(interval.low <= mean <= interval.high for interval in intervals) / 300 <= high


def test_clusters_and_weights_count_as_evidence() -> None:
    random = np.random.default_rng(2)
    values = list(random.normal(size=12))
    tenfold = [value for value in values for _ in range(10)]
    clusters = [str(number) for number in range(12) for _ in range(10)]
    alone, clustered = bootstrap(values), bootstrap(tenfold, clusters=clusters)
    assert clustered.high - clustered.low == pytest.approx(alone.high - alone.low)
    naive = bootstrap(tenfold)
    assert naive.high - naive.low < 0.6 * (alone.high - alone.low)
    interval = bootstrap([1.0, 0.0], weights=[3.0, 1.0])
    assert interval.estimate == pytest.approx(0.75)
    assert "at least one pair" in refusal(ValueError, bootstrap, [])
    assert "2 differences, 1 weights" in refusal(ValueError, bootstrap, [1.0, 2.0], weights=[1.0])


def test_wilson_and_mcnemar_agree_with_published_values() -> None:
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, method 3
    interval = wilson(81, 263, 0.95)
    assert (interval.low, interval.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    none = wilson(0, 20, 0.95)
    assert (none.low, none.high) == (0.0, pytest.approx(0.1611, abs=1e-4))
    assert significance.mcnemar_exact(3000, 3000) == 1.0
    assert 0 <= significance.mcnemar_exact(1000, 3000) < 1e-100
    assert "negative" in refusal(ValueError, significance.mcnemar_exact, -1, 3)


@given(st.integers(1, 500), st.data())
def test_wilson_is_symmetric_and_holds_its_estimate(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    share, other = wilson(successes, trials, 0.9), wilson(trials - successes, trials, 0.9)
    assert 0 <= share.low <= share.estimate <= share.high <= 1
    assert share.low == pytest.approx(1 - other.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_share(successes: int, trials: int) -> None:
    assert "wilson" in refusal(ValueError, wilson, successes, trials, 0.95)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_tail(first: int, second: int) -> None:
    total = first + second
    as_extreme = [k for k in range(total + 1) if abs(2 * k - total) >= abs(first - second)]
    expected = Fraction(sum(comb(total, k) for k in as_extreme), 2**total)
    assert significance.mcnemar_exact(first, second) == pytest.approx(float(expected))


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


HOW = {"resamples": 999, "confidence": 0.95, "seed": 3}


def paired(values: list[float], smallest: float = 0.1) -> significance.PairedDifferences:
    return significance.PairedDifferences(values, [str(index) for index in range(len(values))], None, smallest)


def test_items_needed_are_those_of_the_paired_t_test_and_holm_corrects_as_the_textbook() -> None:
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    values = list(np.random.default_rng(1).normal(0.0, 1.0, size=5000))
    # (1.96 + 0.8416)^2 * sd^2 / d^2 with sd 1 and d 0.1
    assert significance.items_needed(paired(values), 0.95) == pytest.approx(785, rel=0.06)
    assert significance.items_needed(paired([0.2, 0.2, 0.2]), 0.95) is None
    assert (significance.detectable_difference(10, None, 0.1), significance.detectable_difference(100, 400, 0.1)) == (
        0,
        pytest.approx(0.2),
    )
    assert significance.detectable_difference(400, 400, 0.1) == pytest.approx(0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_keeps_the_order_and_is_no_harder_than_bonferroni(chances: list[float]) -> None:
    corrected = significance.holm(chances)
    for index, (before, after) in enumerate(zip(chances, corrected, strict=True)):
        assert before <= after <= min(1.0, len(chances) * before) + 1e-12
        for other in range(index):
            if chances[other] < before:
                assert corrected[other] <= after


def test_a_clear_difference_is_found_and_chance_and_nothing_are_not() -> None:
    clear = paired([0.5 + 0.01 * (index % 5) for index in range(40)])
    noise = paired([(-1.0) ** index for index in range(40)])
    results = {result.metric: result for result in significance.compare_all({"clear": clear, "noise": noise}, **HOW)}
    assert results["clear"].p_corrected < 0.01 < 0.5 < results["noise"].p_corrected
    assert results["clear"].interval.low > 0
    assert results["clear"].p > 0  # finitely many resamples cannot give a p-value of 0
    result = significance.compare_all({"a": paired([1.0, 2.0, 3.0])}, **HOW)
    with_empty = significance.compare_all({"a": paired([1.0, 2.0, 3.0]), "b": paired([])}, **HOW)
    assert result == with_empty


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_clusters_of_one_sign_show_nothing(count: int) -> None:
    (result,) = significance.compare_all({"a": paired([0.5] * count)}, **HOW)
    assert result.p == pytest.approx(2 / 2**count)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_an_exact_p_is_that_of_all_ways_to_flip_signs(values: list[int]) -> None:
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in product((1, -1), repeat=len(values))
    ]
    expected = sum(result >= abs(sum(values)) for result in sums) / len(sums)
    assert significance.sign_flip_p(paired([float(result) for result in values]), 999, 3) == pytest.approx(expected)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_all_draws_of_k_with_one_that_passes(samples: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    draws = list(combinations([index < passed for index in range(samples)], k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_more_than_was_sampled_has_no_meaning() -> None:
    assert "no meaning" in refusal(ValueError, pass_at_k, 2, 1, 3)
    assert pass_at_k_metrics({"a": [True], "b": [False, False]}, [1, 2]) == {"pass_at_1": 0.5, "pass_at_2": 0.0}
