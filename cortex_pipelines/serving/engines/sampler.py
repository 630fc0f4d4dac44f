"""Sampling of the next token."""

import random
from collections import Counter
from typing import Any

from cortex_pipelines.serving.engines.engine import Sampling


class Sampler:
    """Samples the tokens of one answer.

    Args:
        how: Temperature, nucleus, seed and penalties.
        index: Index of the answer; each has its own seed.
        device: Device of the logits.
    """

    def __init__(self, sampling: Sampling, index: int, device: Any) -> None:
        import torch

        self._sampling = sampling
        self._counts: Counter[int] = Counter()
        self._generator = torch.Generator(device=device)
        seed = random.SystemRandom().getrandbits(63) if sampling.seed is None else sampling.seed + index
        self._generator.manual_seed(seed % 2**63)

    def choose(self, scores: Any) -> int:
        """Choose a token by its logits, shape (vocabulary,), which are modified in place."""
        import torch

        sampling = self._sampling
        if sampling.presence or sampling.frequency:
            for token, count in self._counts.items():
                scores[token] -= sampling.presence + sampling.frequency * count
        if sampling.temperature <= 0:
            token = int(scores.argmax())
        else:
            chances = _nucleus((scores / sampling.temperature).softmax(-1), sampling.top_p)
            token = int(torch.multinomial(chances, 1, generator=self._generator))
        self._counts[token] += 1
        return token


def _nucleus(chances: Any, share: float) -> Any:
    """Zero all but the likeliest tokens that together reach ``share``; keeps at least one."""
    import torch

    if share >= 1:
        return chances
    ranked, token_ids = chances.sort(descending=True)
    ranked = torch.where(ranked.cumsum(-1) - ranked < share, ranked, 0.0)
    ranked[0] = ranked[0].clamp(min=torch.finfo(ranked.dtype).tiny)
    return torch.zeros_like(chances).scatter_(0, token_ids, ranked)
