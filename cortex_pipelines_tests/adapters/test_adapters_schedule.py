import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_pipelines.adapters.training.schedule import learning_rate_at
from cortex_pipelines_tests.adapters.tinymodel import settings


@given(steps=st.integers(1, 200), warmup=st.integers(0, 300), shape=st.sampled_from(["cosine", "linear", "constant"]))
def test_rises_to_the_peak_and_never_rises_again(steps: int, warmup: int, shape: str) -> None:
    changed = settings(learning_rate=1.0, warmup_steps=warmup, lr_scheduler=shape)
    rates = [learning_rate_at(step, steps, changed) for step in range(steps)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert peak == min(warmup, steps - 1)
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(("shape", "half"), [("cosine", 0.5), ("linear", 0.5), ("constant", 1.0)])
def test_shapes_at_half_way(shape: str, half: float) -> None:
    changed = settings(learning_rate=1.0, warmup_steps=0, lr_scheduler=shape)
    assert learning_rate_at(50, 100, changed) == pytest.approx(half)
