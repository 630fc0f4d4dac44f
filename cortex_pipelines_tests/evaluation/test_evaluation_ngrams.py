"""N-grams of a project as a baseline, alone and mixed with a model."""

from math import exp

import numpy as np
import pytest

from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.evaluation.adapter.measures.conditions import TokenNgrams, mix_nats

VOCABULARY = 12
LEARNT = [[1, 2, 3, 4, 5], [1, 2, 3, 6], [7, 2, 3, 4]]


def tokenised_example(prompt: list[int], completion: list[int]) -> TokenisedExample:
    ids = (*prompt, *completion, 0)
    return TokenisedExample("e", "completion", ids, len(prompt), len(completion), 1)


def chance(ngrams: TokenNgrams, prompt: list[int], token: int) -> float:
    (nats,) = ngrams.nats(tokenised_example(prompt, [token]))
    return exp(-nats)


@pytest.mark.parametrize("prompt", [[1, 2, 3], [9, 9, 9], [8, 1, 2], [1, 2, 3, 4, 5, 6]])
def test_the_probabilities_of_all_tokens_sum_to_one(prompt: list[int]) -> None:
    ngrams = TokenNgrams.fit(LEARNT, VOCABULARY)
    total = sum(chance(ngrams, prompt, token) for token in range(VOCABULARY))
    assert total == pytest.approx(1)


def test_what_followed_in_training_is_likelier_by_the_longer_context() -> None:
    ngrams = TokenNgrams.fit(LEARNT, VOCABULARY)
    assert chance(ngrams, [1, 2, 3], 6) > chance(ngrams, [7, 2, 3], 6)
    assert chance(ngrams, [7, 2, 3], 4) > 0.5
    untrained = TokenNgrams.fit([], VOCABULARY)
    assert chance(untrained, [2, 3], 4) < 1 / VOCABULARY


def test_the_prompt_and_the_completion_so_far_are_remembered() -> None:
    ngrams = TokenNgrams.fit([], VOCABULARY)
    assert chance(ngrams, [4, 5, 9, 4], 5) > 10 * chance(ngrams, [4, 8, 9, 4], 5)
    first, *_, again = ngrams.nats(tokenised_example([9], [4, 5, 4, 5]))
    assert again < first


def test_a_mixture_lies_between_its_parts() -> None:
    first, second = np.array([0.1, 3.0]), np.array([2.0, 0.5])
    assert mix_nats(first, second, 0.0).tolist() == first.tolist()
    expected = [-np.log(0.75 * exp(-a) + 0.25 * exp(-b)) for a, b in ((0.1, 2.0), (3.0, 0.5))]
    assert mix_nats(first, second, 0.25) == pytest.approx(expected)
    assert np.isfinite(mix_nats(np.array([900.0]), np.array([1000.0]), 0.5)).all()
