"""Choosing the next token."""

import random
from collections import Counter
from typing import Any

from cortex_pipelines.serving.engines.engine import Sampling


class Sampler:
    """Chooses the tokens of one answer.

    Args:
        how: Temperature, nucleus, seed and penalties.
        index: Which of several answers; each is drawn by a seed of its own.
        device: Where the scores are.
    """

    def __init__(self, how: Sampling, index: int, device: Any) -> None:
        import torch

        self._how = how
        self._counts: Counter[int] = Counter()
        self._chance = torch.Generator(device=device)
        seed = random.SystemRandom().getrandbits(63) if how.seed is None else how.seed + index
        self._chance.manual_seed(seed % 2**63)

    def choose(self, scores: Any) -> int:
        """A token by its scores, shape (vocabulary,), which may be changed."""
        import torch

        how = self._how
        if how.presence or how.frequency:
            for token, count in self._counts.items():
                scores[token] -= how.presence + how.frequency * count
        if how.temperature <= 0:
            token = int(scores.argmax())
        else:
            chances = _nucleus((scores / how.temperature).softmax(-1), how.top_p)
            token = int(torch.multinomial(chances, 1, generator=self._chance))
        self._counts[token] += 1
        return token


def _nucleus(chances: Any, share: float) -> Any:
    """The likeliest tokens that together have a share of the probability; at least one."""
    import torch

    if share >= 1:
        return chances
    ranked, places = chances.sort(descending=True)
    ranked = torch.where(ranked.cumsum(-1) - ranked < share, ranked, 0.0)
    ranked[0] = ranked[0].clamp(min=torch.finfo(ranked.dtype).tiny)
    return torch.zeros_like(chances).scatter_(0, places, ranked)
