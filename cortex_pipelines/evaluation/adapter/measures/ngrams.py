"""A model without a network: n-grams over a project's code, with a cache of the prompt.

Code repeats itself locally, so counts of the project and of the text just before go far
(Hellendoorn and Devanbu, FSE 2017). An adapter has to beat this, and mixing both costs next to
nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.adapters.data.packing import TokenisedExample

_CONTEXT = 4
"""Tokens that a prediction looks back at most; more are seldom seen twice."""
_MOST_TOKENS = 500_000
"""Counted tokens: some 300 MB."""

Context = tuple[int, ...]
Counts = dict[Context, dict[int, int]]
Nats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenNgrams:
    """Interpolated n-grams of tokens, smoothed after Witten and Bell (1991).

    Args:
        counts: Context of up to ``_CONTEXT`` tokens to what followed it and how often.
        totals: Context to how often it was seen.
        vocabulary: Number of different tokens there can be.
    """

    counts: Counts
    totals: dict[Context, int]
    vocabulary: int

    @classmethod
    def fit(cls, texts: Iterable[Sequence[int]], vocabulary: int) -> "TokenNgrams":
        """Count the n-grams of tokenised texts, up to the one that passes ``_MOST_TOKENS``.

        Args:
            texts: Tokens of each text.
            vocabulary: Number of different tokens there can be.
        """
        counts: Counts = defaultdict(dict)
        read = 0
        for text in texts:
            for place in range(len(text)):
                _count(counts, text, place)
            read += len(text)
            if read >= _MOST_TOKENS:
                break
        totals = {context: sum(following.values()) for context, following in counts.items()}
        return cls(dict(counts), totals, vocabulary)

    def nats(self, example: TokenisedExample) -> Nats:
        """Negative log probability of each token of a completion.

        What stands before a token, in the prompt and in the completion, is counted with the
        training texts.
        """
        text = example.ids[: example.prompt_tokens + example.text_tokens]
        seen: Counts = defaultdict(dict)
        times: Counter[Context] = Counter()
        costs = []
        for place, token in enumerate(text):
            if place >= example.prompt_tokens:
                costs.append(-log(self._probability(seen, times, text[:place], token)))
            times.update(_count(seen, text, place))
        return np.array(costs)

    def _probability(
        self, seen: Counts, times: Counter[Context], before: Sequence[int], token: int
    ) -> float:
        chance = 1 / self.vocabulary
        for size in range(min(_CONTEXT, len(before)) + 1):
            context = tuple(before[len(before) - size :])
            total = self.totals.get(context, 0) + times[context]
            if not total:
                break  # no longer context was seen either
            known, local = self.counts.get(context, {}), seen.get(context, {})
            kinds = len(known) + sum(other not in known for other in local)
            count = known.get(token, 0) + local.get(token, 0)
            chance = (count + kinds * chance) / (total + kinds)
        return chance


def mixed(first: Nats, second: Nats, weight: float) -> Nats:
    """Nats of a mixture of two models, token by token.

    Args:
        first: Nats of each token under one model.
        second: The same under the other.
        weight: Of the second; from 0 to below 1.
    """
    if not weight:
        return first
    mixture: Nats = -np.logaddexp(np.log1p(-weight) - first, np.log(weight) - second)
    return mixture


def _count(counts: Counts, text: Sequence[int], place: int) -> list[Context]:
    """Count a token after each of its contexts, which are returned."""
    contexts = [tuple(text[place - size : place]) for size in range(min(_CONTEXT, place) + 1)]
    for context in contexts:
        following = counts[context]
        following[text[place]] = following.get(text[place], 0) + 1
    return contexts
