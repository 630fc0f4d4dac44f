"""Interface of candidate models, which score every master; and the keyword rules as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import polars as pl

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features import Doubles, FeatureExtractor, Features, Indices
from cortex_pipelines.routing.keyword_rules import Rules
from cortex_pipelines.routing.models.history import Attempts, History
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class TrainingData:
    """``masters`` counts also those that no task here has; ``labels`` are their numbers.

    ``history`` is what all attempts came to, ``attempts`` are those to learn outcomes from.
    """

    features: Features
    labels: Indices
    weights: Floats
    masters: int
    settings: RoutingSettings
    history: History = field(default_factory=History.empty)
    attempts: Attempts | None = None

    @classmethod
    def of_tasks(
        cls, tasks: pl.DataFrame, masters: Sequence[str], features: Features, settings: RoutingSettings
    ) -> "TrainingData":
        """The tasks of ``ROUTING_DATASET``; ``masters`` are numbered in their order."""
        numbers = {master: number for number, master in enumerate(masters)}
        return cls(
            features,
            np.array([numbers[master] for master in tasks["master"]], dtype=np.int64),
            tasks["weight"].to_numpy().astype(np.float32),
            len(masters),
            settings,
        )

    def take(self, indices: Indices) -> "TrainingData":
        features, labels, weights = self.features.take(indices), self.labels[indices], self.weights[indices]
        return replace(self, features=features, labels=labels, weights=weights)

    def refit(
        self, indices: Indices, held_out: Indices, fold: int | None = None
    ) -> tuple["TrainingData", Features, FeatureExtractor]:
        """The selected tasks, and the features of held-out ones, both fit on the selected ones alone; with what did it.

        Held-out tasks must not be used to count terms or fit components, or a comparison is not out of fold. The
        attempts of a held-out ``fold`` are left out.
        """
        subset, unseen = self.take(indices), self.features.take(held_out)
        extractor = FeatureExtractor.fit(subset.features.texts, subset.features.embeddings, self.settings.dimensions)
        attempts = self.attempts
        if attempts is not None:
            attempts = attempts.take(np.flatnonzero(attempts.folds != fold))
            attempts = replace(attempts, features=refitted(extractor, attempts.features))
        fitted = replace(subset, features=refitted(extractor, subset.features), attempts=attempts)
        return fitted, refitted(extractor, unseen), extractor


def refitted(extractor: FeatureExtractor, features: Features) -> Features:
    return extractor.features(features.texts, features.embeddings, asked=features.asked)


class CandidateModel(Protocol):
    def scores(self, features: Features) -> Doubles:
        """Log-probabilities before calibration, shape (tasks, masters)."""

    def arrays(self) -> Mapping[str, Floats]:
        """Learnt parameters."""


class LearntArrays:
    """A candidate, as a dataclass, whose fields are its learnt parameters."""

    def arrays(self) -> Mapping[str, Floats]:
        return dict(vars(self))

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats]) -> Self:
        return cls(**arrays)


_UNMATCHED_SCORE = 0.05  # score of a master without a matching keyword


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
                shares[row, self._numbers[self._fallback]] += self._rules.minimum
        return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)))

    def arrays(self) -> Mapping[str, Floats]:
        return {}
