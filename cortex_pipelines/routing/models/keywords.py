"""The keyword rules as a candidate model."""

from collections.abc import Mapping, Sequence

import numpy as np

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features
from cortex_pipelines.routing.keyword_rules import Rules

_UNMATCHED_SCORE = 0.05
"""Score of a master without a matching keyword."""


class KeywordRules:
    """The rules as a candidate without training; ``fallback`` is the master where they find no keyword."""

    def __init__(self, rules: Rules, masters: Sequence[str], fallback: str | None) -> None:
        self._rules, self._fallback = rules, fallback
        self._numbers = {master: number for number, master in enumerate(masters)}

    def scores(self, features: Features) -> Doubles:
        shares = np.full((len(features), len(self._numbers)), _UNMATCHED_SCORE)
        for row, text in enumerate(features.texts):
            decision = self._rules.decide(text)
            for master, score in decision.scores.items():
                if master in self._numbers:
                    shares[row, self._numbers[master]] += score
            if decision.master is None and self._fallback in self._numbers:
                shares[row, self._numbers[self._fallback]] += self._rules.thresholds.minimum
        logs: Doubles = np.log(shares / shares.sum(axis=1, keepdims=True))
        return logs

    def arrays(self) -> Mapping[str, Floats]:
        return {}
