"""The head: trained the same way each time, calibrated, and searched without hidden state."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cortex_pipelines.routing.head import (
    Examples,
    Head,
    HeadSettings,
    calibrated,
    load_head,
    save_head,
    train_head,
)
from cortex_pipelines.routing.search import search_head
from cortex_pipelines.routing.settings import RoutingSettings


def examples(count: int, seed: int, noise: float = 0.0) -> Examples:
    """Four clusters; with noise, some tasks carry the wrong label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    points = np.eye(8)[labels] + random.normal(0, 0.3, (count, 8))
    wrong = random.random(count) < noise
    told = np.where(wrong, random.integers(0, 4, count), labels)
    return Examples(
        points.astype(np.float32), told.astype(np.int64), np.ones(count, dtype=np.float32)
    )


@pytest.mark.parametrize("hidden", [0, 16])
def test_training_learns_and_repeats_exactly(hidden: int, tmp_path: Path) -> None:
    train, test = examples(200, 1), examples(200, 2)
    chosen = HeadSettings(hidden, 0.05, 0.01)
    first, second = (train_head(train, 4, chosen, epochs=60, seed=3) for _ in range(2))
    assert (first.logits(test.embeddings).argmax(1) == test.labels).mean() > 0.9
    for name, head in (("a", first), ("b", second)):
        save_head(head, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = load_head(tmp_path / "a", 1.0)
    assert (again.logits(test.embeddings) == first.logits(test.embeddings)).all()


def test_logits_do_not_depend_on_how_many_are_asked_for() -> None:
    head = train_head(examples(50, 1), 4, HeadSettings(16, 0.05, 0.01), 5, 3)
    points = examples(33, 5).embeddings
    whole = head.probabilities(points)
    assert all((head.probabilities(points[n : n + 1])[0] == whole[n]).all() for n in range(33))
    assert np.allclose(whole.sum(axis=1), 1.0)


def test_weights_decide_how_much_an_example_teaches() -> None:
    train = examples(200, 1)
    wrong = Examples(train.embeddings, (train.labels + 1) % 4, train.weights * np.float32(1e-6))
    both = Examples(
        np.concatenate([train.embeddings, wrong.embeddings]),
        np.concatenate([train.labels, wrong.labels]),
        np.concatenate([train.weights, wrong.weights]),
    )
    head = train_head(both, 4, HeadSettings(0, 0.05, 0.01), 60, 3)
    assert (head.logits(train.embeddings).argmax(1) == train.labels).mean() > 0.9


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 10.0), st.integers(0, 5))
def test_calibration_finds_the_temperature_that_was_used(factor: float, seed: int) -> None:
    """Labels drawn from the probabilities at a temperature have that temperature as likeliest."""
    random = np.random.default_rng(seed)
    points = random.normal(0, 2, (4000, 6)).astype(np.float32)
    head = Head(((np.eye(6, dtype=np.float32) * np.float32(factor), np.zeros(6, np.float32)),))
    chances = np.exp(points) / np.exp(points).sum(axis=1, keepdims=True)
    labels = (chances.cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)
    drawn = Examples(points, labels.astype(np.int64), np.ones(4000, np.float32))
    found = calibrated(head, drawn)
    assert found.temperature == pytest.approx(factor, rel=0.15)
    assert found.loss(drawn) <= head.loss(drawn) + 1e-9


def test_the_search_keeps_the_best_of_its_trials_and_repeats_exactly(
    settings: RoutingSettings,
) -> None:
    train, validation = examples(120, 1, noise=0.2), examples(60, 2, noise=0.2)
    (head, trials), (other, again) = (search_head(train, validation, 4, settings) for _ in "ab")
    assert [trial.row() for trial in trials] == [trial.row() for trial in again]
    assert [trial.number for trial in trials] == list(range(settings.trials))
    assert head.loss(validation) == min(trial.loss for trial in trials)
    assert (head.layers[0][0] == other.layers[0][0]).all()
    low, high = settings.learning_rate
    assert all(low <= trial.settings.learning_rate <= high for trial in trials)
    assert {trial.settings.hidden for trial in trials} <= set(settings.hidden_sizes)
