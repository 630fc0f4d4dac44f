import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom

from cortex_pipelines.statistics.sequential import MIN_UNITS, UnitSums, difference, lower_share, sample_ratio

ERROR, SCALE = 0.05, 0.1


def sums_of(n: np.ndarray, y: np.ndarray) -> UnitSums:
    """Of units in the last axis."""
    parts = ((n > 0), n, y, n * n, n * y, y * y)
    return UnitSums(*(part.sum(axis=-1) for part in parts))


def test_sums_follow_a_unit() -> None:
    random = np.random.default_rng(0)
    n, y, sums = np.zeros(6, int), np.zeros(6, int), UnitSums()
    for _ in range(200):
        unit, good = random.integers(6), random.integers(2)
        before = (int(n[unit]), int(y[unit]))
        n[unit], y[unit] = n[unit] + 1, y[unit] + good
        sums = sums.with_change(before, (int(n[unit]), int(y[unit])))
        if n[unit] > 1 and random.random() < 0.2:  # and back again
            sums = sums.with_change((int(n[unit]), int(y[unit])), before)
            n[unit], y[unit] = before
    assert sums == sums_of(n, y)


def test_of_many_single_answers_it_is_the_normal_mixture() -> None:
    n, first, second = 200_000, 60_000, 64_000
    low, high = difference(
        UnitSums(n, n, first, n, first, first), UnitSums(n, n, second, n, second, second), ERROR, SCALE
    )
    variance = (0.3 * 0.7 + 0.32 * 0.68) / n
    wider = (variance + SCALE**2) / SCALE**2
    inside = 2 * np.log(1 / ERROR) + np.log((variance + SCALE**2) / variance)
    half = np.sqrt(variance * wider * inside)
    assert (low, high) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-3)


def test_few_units_say_nothing_and_the_sample_ratio_is_a_bayes_factor() -> None:
    few = UnitSums(MIN_UNITS - 1, 900, 0, 90_000, 0, 0)
    many = UnitSums(MIN_UNITS, 1000, 1000, 100_000, 100_000, 100_000)
    assert difference(few, many, ERROR, SCALE) == (-1, 1)
    assert difference(many, few, ERROR, SCALE, min_units=2)[1] < 0
    assert lower_share(UnitSums(1, 1000, 1000, 10**6, 10**6, 10**6), ERROR, SCALE) == 0
    assert lower_share(many, ERROR, SCALE) > 0.9
    first, second, share = 30, 11, 0.4
    mixed, _ = quad(lambda p: binom.pmf(second, first + second, p), 0, 1)
    planned = binom.pmf(second, first + second, share)
    assert sample_ratio(first, second, share) == pytest.approx(mixed / planned)
    assert sample_ratio(0, 0, share) == pytest.approx(1)
    assert sample_ratio(0, 10**6, 0.5) > 1e300
    assert sample_ratio(5500, 4500, 0.5) > 1e6
    assert sample_ratio(5000, 5000, 0.5) < 1


def test_people_who_differ_are_no_difference_of_the_variants() -> None:
    """A/A with 40 people, daily looks for four weeks: by people the error stays below 5 %, and by
    answers, as if each came from somebody else, most runs find a difference."""
    random, runs, people = np.random.default_rng(0), 600, 40
    shares = random.beta(3, 7, (runs, people))
    second = random.random((runs, people)) < 0.5
    busy = random.gamma(1.0, 20.0, (runs, people))
    n = np.zeros((runs, people), int)
    y = np.zeros((runs, people), int)
    by_people, by_answers = np.zeros(runs, bool), np.zeros(runs, bool)
    for _ in range(28):
        new = random.poisson(busy)
        n, y = n + new, y + random.binomial(new, shares)
        variants = [sums_of(n * mask, y * mask) for mask in (~second, second)]
        low, high = difference(variants[0], variants[1], ERROR, SCALE)
        by_people |= (low > 0) | (high < 0)
        apart = [UnitSums(variant.n, variant.n, variant.y, variant.n, variant.y, variant.y) for variant in variants]
        low, high = difference(apart[0], apart[1], ERROR, SCALE)
        by_answers |= (low > 0) | (high < 0)
    assert by_people.mean() <= ERROR
    assert by_answers.mean() > 0.5


@pytest.mark.parametrize(("share", "chance"), [(0.5, 0.3), (0.1, 0.05)])
def test_looking_at_every_answer_finds_no_difference_where_there_is_none(share: float, chance: float) -> None:
    random, runs, answers = np.random.default_rng(1), 300, 2000
    second = random.random((runs, answers)) < share
    good = random.random((runs, answers)) < chance
    variants = []
    for mask in (~second, second):
        n, y = mask.cumsum(axis=1), (mask & good).cumsum(axis=1)
        variants.append(UnitSums(n, n, y, n, y, y))
    low, high = difference(variants[0], variants[1], ERROR, SCALE)
    assert ((low > 0) | (high < 0)).any(axis=1).mean() <= ERROR
