import random
from collections.abc import Sequence

import numpy as np
import pytest

from cortex_pipelines.adapters.data.packing import TokenisedExample
from cortex_pipelines.evaluation.adapter.measures.conditions import (
    Matches,
    TokenMemory,
    learn_weights,
    match_answers,
    mix,
)


def longest_match(texts: Sequence[Sequence[int]], context: Sequence[int]) -> tuple[int, list[int]]:
    for length in range(min(16, len(context)), 0, -1):
        followers = [
            text[position]
            for text in texts
            for position in range(length, len(text))
            if list(text[position - length : position]) == list(context[-length:])
        ]
        if followers:
            return length, sorted(followers)
    return 0, sorted(token for text in texts for token in text)


@pytest.mark.parametrize("tokens", [1, 2, 5, 50_000])
def test_the_longest_match_is_that_of_a_search(tokens: int) -> None:
    choice = random.Random(tokens)
    texts = [[choice.randrange(tokens) for _ in range(choice.randrange(60))] for _ in range(12)] + [[]]
    memory = TokenMemory(texts)
    contexts = [[choice.randrange(tokens) for _ in range(choice.randrange(30))] for _ in range(40)]
    contexts += [text[: choice.randrange(len(text) + 1)] for text in texts]
    for context in contexts:
        length, followers = memory.following(context)
        assert (length, sorted(followers.tolist())) == longest_match(texts, context)


def test_answers_are_matched_in_the_project_or_in_their_own_prompt() -> None:
    length, followers = TokenMemory([]).following([1, 2])
    assert (length, followers.tolist()) == (0, [])
    examples = [example([7, 1, 2], [3, 9]), example([4, 5, 9, 4], [5, 4])]
    project = match_answers(examples, TokenMemory([[1, 2, 3, 9], [8, 2, 4], [1, 2, 4]]))
    assert (project.orders.tolist(), project.shares.tolist()) == ([2, 3, 0, 0], [0.5, 1.0, 0.0, 0.0])
    file = match_answers(examples, None)
    assert (file.orders.tolist(), file.shares.tolist()) == ([0, 0, 1, 2], [0.0, 0.0, 1.0, 0.0])


def example(prompt: list[int], answer: list[int]) -> TokenisedExample:
    return TokenisedExample("e", "completion", (*prompt, *answer, 0), len(prompt), len(answer), 1)


def test_weights_are_those_that_fit_each_length_of_match() -> None:
    # matches of 8 tokens are always right, of 1 never; no match of 3 was seen
    matches = Matches(np.array([8, 1, 0] * 200), np.array([1.0, 0.0, 0.0] * 200))
    nats = np.full(600, np.log(2))
    weights = learn_weights(nats, matches)
    assert weights[0] == 0
    assert weights[1] < 0.01
    assert weights[3] == pytest.approx(0.1)
    assert weights[6] > 0.95
    mixed = mix(nats, matches, weights)
    assert mixed.sum() < nats.sum() / 1.4
    expected = -np.log((1 - weights[6]) / 2 + weights[6])
    assert mixed[:3] == pytest.approx([expected, np.log(2) - np.log1p(-weights[1]), np.log(2)])
    # what a model holds for impossible is finite where the memory has seen it
    certain = Matches(np.array([8]), np.array([1.0]))
    assert np.isfinite(mix(np.array([1e6]), certain, weights)).all()


def test_a_mixture_is_a_distribution_and_forgets_what_is_removed() -> None:
    model = np.array([0.5, 0.2, 0.2, 0.1])
    shares = np.array([0.0, 0.75, 0.25, 0.0])
    weights = learn_weights(np.array([]), Matches(np.array([], np.int64), np.array([])))
    mixed = mix(-np.log(model), Matches(np.full(4, 5), shares), weights)
    assert np.exp(-mixed).sum() == pytest.approx(1)
    texts = [[1, 2, 3], [1, 2, 4], [5, 2, 3]]
    answers = [example([1, 2], [4])]
    assert match_answers(answers, TokenMemory(texts)).shares.tolist() == [0.5]
    unshared = match_answers(answers, TokenMemory([texts[0], texts[2]]))
    assert (
        unshared.shares.tolist() == match_answers(answers, TokenMemory([[1, 2, 3], [5, 2, 3]])).shares.tolist() == [0]
    )
