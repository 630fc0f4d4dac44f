"""Baseline without a network: n-grams over a project's code, with a cache of the prompt.

Code repeats itself locally, so counts over the project and the preceding text predict it well
(Hellendoorn and Devanbu, FSE 2017). An adapter has to beat this, and mixing both is almost free.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cortex_pipelines.adapters.data.packing import TokenisedExample

_CONTEXT = 4
"""Maximum tokens of context; longer contexts seldom occur twice."""
_MOST_TOKENS = 500_000
"""Limit on counted tokens, about 300 MB."""

Context = tuple[int, ...]
Counts = dict[Context, dict[int, int]]
Nats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenNgrams:
    """Interpolated n-grams of tokens, smoothed after Witten and Bell (1991)."""

    counts: Counts
    totals: dict[Context, int]
    vocabulary: int

    @classmethod
    def fit(cls, texts: Iterable[Sequence[int]], vocabulary: int) -> "TokenNgrams":
        counts: Counts = defaultdict(dict)
        token_count = 0
        for text in texts:
            for position in range(len(text)):
                _count(counts, text, position)
            token_count += len(text)
            if token_count >= _MOST_TOKENS:
                break
        totals = {context: sum(following.values()) for context, following in counts.items()}
        return cls(dict(counts), totals, vocabulary)

    def nats(self, example: TokenisedExample) -> Nats:
        """Negative log probability of each token of a completion, counting the tokens before it, too."""
        text = example.ids[: example.prompt_tokens + example.text_tokens]
        local_counts: Counts = defaultdict(dict)
        context_totals: Counter[Context] = Counter()
        costs = []
        for position, token in enumerate(text):
            if position >= example.prompt_tokens:
                costs.append(-log(self._probability(local_counts, context_totals, text[:position], token)))
            context_totals.update(_count(local_counts, text, position))
        return np.array(costs)

    def _probability(
        self, local_counts: Counts, context_totals: Counter[Context], before: Sequence[int], token: int
    ) -> float:
        chance = 1 / self.vocabulary
        for size in range(min(_CONTEXT, len(before)) + 1):
            context = tuple(before[len(before) - size :])
            total = self.totals.get(context, 0) + context_totals[context]
            if not total:
                break  # no longer context was seen either
            following, local = self.counts.get(context, {}), local_counts.get(context, {})
            kinds = len(following) + sum(other not in following for other in local)
            count = following.get(token, 0) + local.get(token, 0)
            chance = (count + kinds * chance) / (total + kinds)
        return chance


def mix_nats(first: Nats, second: Nats, weight: float) -> Nats:
    """Nats of a mixture of two models, token by token; ``weight`` is the second's, below 1."""
    if not weight:
        return first
    mixture: Nats = -np.logaddexp(np.log1p(-weight) - first, np.log(weight) - second)
    return mixture


def _count(counts: Counts, text: Sequence[int], position: int) -> list[Context]:
    contexts = [tuple(text[position - size : position]) for size in range(min(_CONTEXT, position) + 1)]
    for context in contexts:
        following = counts[context]
        following[text[position]] = following.get(text[position], 0) + 1
    return contexts
