from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.evaluation.adapter.measures.test_runner import pass_at_k, pass_at_k_metrics
from cortex_pipelines.statistics.significance import (
    PairedDifferences,
    compare_all,
    detectable_difference,
    holm,
    items_needed,
    sign_flip_p,
)

HOW = {"resamples": 999, "confidence": 0.95, "seed": 3}


def paired(values: list[float], smallest: float = 0.1) -> PairedDifferences:
    return PairedDifferences(values, [str(index) for index in range(len(values))], None, smallest)


def test_holm_gives_the_corrected_values_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_helps_keeps_the_order_and_is_no_harder_than_bonferroni(chances: list[float]) -> None:
    corrected = holm(chances)
    for index, (before, after) in enumerate(zip(chances, corrected, strict=True)):
        assert before <= after <= min(1.0, len(chances) * before) + 1e-12
        for other in range(index):
            if chances[other] < before:
                assert corrected[other] <= after


def test_a_clear_difference_is_found_and_chance_is_not() -> None:
    clear = paired([0.5 + 0.01 * (index % 5) for index in range(40)])
    noise = paired([(-1.0) ** index for index in range(40)])
    results = {result.metric: result for result in compare_all({"clear": clear, "noise": noise}, **HOW)}
    assert results["clear"].p_corrected < 0.01 < 0.5 < results["noise"].p_corrected
    assert results["clear"].interval.low > 0
    assert results["clear"].p > 0  # finitely many resamples cannot give a p-value of 0


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_clusters_of_one_sign_show_nothing(count: int) -> None:
    (result,) = compare_all({"a": paired([0.5] * count)}, **HOW)
    assert result.p == pytest.approx(2 / 2**count)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8))
def test_an_exact_p_is_that_of_all_ways_to_flip_signs(values: list[int]) -> None:
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in product((1, -1), repeat=len(values))
    ]
    expected = sum(result >= abs(sum(values)) for result in sums) / len(sums)
    assert sign_flip_p(paired([float(result) for result in values]), 999, 3) == pytest.approx(expected)


def test_a_metric_without_items_is_not_compared_and_does_not_count() -> None:
    result = compare_all({"a": paired([1.0, 2.0, 3.0])}, **HOW)
    with_empty = compare_all({"a": paired([1.0, 2.0, 3.0]), "b": paired([])}, **HOW)
    assert result == with_empty


def test_items_needed_are_those_of_the_paired_t_test() -> None:
    values = list(np.random.default_rng(1).normal(0.0, 1.0, size=5000))
    # (1.96 + 0.8416)^2 * sd^2 / d^2 with sd 1 and d 0.1
    assert items_needed(paired(values), 0.95) == pytest.approx(785, rel=0.06)


def test_what_does_not_spread_needs_no_number_and_what_is_seen_fits_it() -> None:
    assert items_needed(paired([0.2, 0.2, 0.2]), 0.95) is None
    assert detectable_difference(10, None, 0.1) == 0
    assert detectable_difference(100, 400, 0.1) == pytest.approx(0.2)
    assert detectable_difference(400, 400, 0.1) == pytest.approx(0.1)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_all_draws_of_k_with_one_that_passes(samples: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    draws = list(combinations([index < passed for index in range(samples)], k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_more_than_was_sampled_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="no meaning"):
        pass_at_k(2, 1, 3)
    assert pass_at_k_metrics({"a": [True], "b": [False, False]}, [1, 2]) == {"pass_at_1": 0.5, "pass_at_2": 0.0}
