"""A memory that needs no training: what followed the longest piece of text that ends as a prompt does.

Code repeats itself (Hellendoorn and Devanbu, FSE 2017). The tokens of a project, or of the open file, are sorted by the
tokens before them, a suffix array of the reversed text (Manber and Myers 1990; for language models Liu et al.,
COLM 2024); a model's probabilities are mixed with the shares of what followed, by weights for each length of match
(Jelinek and Mercer 1980). A changed file is a changed index, so it follows each commit and forgets exactly.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.adapters.data.packing import TokenisedExample

_LONGEST = 16
"""Tokens of the longest match; 32 saved no bits more (flask)."""

_ORDERS = (1, 2, 3, 4, 6, 8, 12, 16)
"""Shortest match of each group of lengths that has one weight."""

_PRIOR_TOKENS, _PRIOR_WEIGHT = 2.0, 0.1  # what a group without validation tokens gets
_ROUNDS = 50
_NOTHING = -1

Nats = NDArray[np.float64]


@dataclass(frozen=True)
class Matches:
    """For each token of an answer: length of the longest match before it, and the token's share of what followed."""

    orders: NDArray[np.int64]
    shares: Nats


class TokenMemory:
    """Index of the tokens of texts; matches do not reach over the border of two."""

    def __init__(self, texts: Iterable[Sequence[int]]) -> None:
        separated = chain([_NOTHING] * _LONGEST, *(chain(text, [_NOTHING]) for text in texts))
        tokens = np.fromiter(separated, np.int64)
        # positions are sorted by the tokens before them, the nearest first, by doubling the length that is compared
        rank, length = np.roll(tokens, 1), 1  # the first of all is padding, as is the last
        while length < _LONGEST:
            earlier = np.concatenate((np.full(length, _NOTHING), rank[:-length]))
            pairs = (rank + 1) * (max(len(tokens), int(tokens.max())) + 2) + earlier + 1
            rank, length = np.unique(pairs, return_inverse=True)[1].astype(np.int64), 2 * length
        order = np.argsort(rank, kind="stable")
        order = order[tokens[order] != _NOTHING]
        self._followers = tokens[order]
        self._tokens, self._order = tokens.tolist(), order.tolist()

    def following(self, context: Sequence[int]) -> tuple[int, NDArray[np.int64]]:
        """Length of the longest match that ends a context, and the tokens that follow it in the index."""
        low, high, length = 0, len(self._order), 0
        for token in reversed(context[-_LONGEST:]):
            distance = length + 1

            def before(position: int, distance: int = distance) -> int:
                return int(self._tokens[position - distance])

            first = bisect_left(self._order, token, low, high, key=before)
            end = bisect_right(self._order, token, first, high, key=before)
            if first == end:
                break
            low, high, length = first, end, distance
        return length, self._followers[low:high]


def match_answers(examples: Iterable[TokenisedExample], memory: TokenMemory | None) -> Matches:
    """Matches of the tokens of all answers, in order; ``memory`` None: in the prompt of each, the open file."""
    orders, shares = list[int](), list[float]()
    for example in examples:
        index = memory or TokenMemory([example.ids[: example.prompt_tokens]])
        for position, token in enumerate(example.answer, example.prompt_tokens):
            length, followers = index.following(example.ids[max(0, position - _LONGEST) : position])
            orders.append(length)
            shares.append(float(np.mean(followers == token)) if length else 0.0)
    return Matches(np.array(orders, np.int64), np.array(shares))


def learn_weights(nats: Nats, matches: Matches) -> Nats:
    """Weight of the memory by group of lengths, the likeliest for tokens with these nats under a model.

    The first is of no match, and zero. By expectation maximisation, with a weak prior for rare lengths.
    """
    weights = np.zeros(len(_ORDERS) + 1)
    groups = _groups(matches)
    for group in range(1, len(weights)):
        chances, shares = np.exp(-nats[groups == group]), matches.shares[groups == group]
        weight = _PRIOR_WEIGHT
        for _ in range(_ROUNDS):
            mixture = (1 - weight) * chances + weight * shares
            responsibility = np.divide(weight * shares, mixture, out=np.zeros_like(mixture), where=mixture > 0)
            weight = (responsibility.sum() + _PRIOR_TOKENS * _PRIOR_WEIGHT) / (len(shares) + _PRIOR_TOKENS)
        weights[group] = weight
    return weights


def mix(nats: Nats, matches: Matches, weights: Nats) -> Nats:
    """Nats of a model mixed with a memory."""
    weight = weights[_groups(matches)]
    with np.errstate(divide="ignore"):
        remembered = np.log(weight * matches.shares)
    mixture: Nats = -np.logaddexp(np.log1p(-weight) - nats, remembered)
    return mixture


def _groups(matches: Matches) -> NDArray[np.int64]:
    groups: NDArray[np.int64] = np.searchsorted(_ORDERS, matches.orders, side="right")
    return groups
