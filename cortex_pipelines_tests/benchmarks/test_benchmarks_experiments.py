import numpy as np
import pytest

from benchmarks.experiments import TESTS, Case, VariantSums, doubling, peeking, shares
from cortex_pipelines.release.gates import Count, analyse, look_of
from cortex_pipelines.statistics.sequential import UnitSums

RULES = {"least_answers": 50, "most_answers": 10**9, "margin": 0.0}


def unit_sums(y: np.ndarray) -> UnitSums:
    n = np.broadcast_to(np.arange(1, y.shape[1] + 1), y.shape)
    good = y.cumsum(axis=1)
    return UnitSums(n, n, good, n, good, good)


def test_the_canary_is_analysed_as_by_a_release_and_peeking_waits() -> None:
    random = np.random.default_rng(0)
    first, second = (random.random((40, 900)) < share for share in (0.1, 0.16))
    outcomes = VariantSums(unit_sums(first), unit_sums(second))
    expected = []
    for first_value, two in zip(first, second, strict=True):
        looks = [n for n in range(1, 901) if look_of(n, 50) > look_of(n - 1, 50)]
        ends = (analyse(Count(n, int(two[:n].sum())), Count(n, int(first_value[:n].sum())), RULES) for n in looks)
        expected.append(any(ends))
    assert 0 < sum(expected) < 40
    assert doubling(outcomes).tolist() == expected
    first, second = np.zeros((1, 49), bool), np.ones((1, 49), bool)
    assert not peeking(VariantSums(unit_sums(first), unit_sums(second))).any()


@pytest.mark.parametrize("case", [Case("", 0.3, answers=400), Case("", 0.3, people=24, alike=4)])
def test_an_effect_is_seen_more_often_than_none(case: Case) -> None:
    none = shares(case, 40, 0)
    large = shares(Case("", 0.3, 0.5, answers=case.answers, people=case.people, alike=4), 40, 0)
    assert set(none) == set(TESTS)
    assert none["always valid"] <= 0.1
    assert all(large[name] > none[name] for name in TESTS)
