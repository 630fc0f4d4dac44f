"""Interface of candidate models, which score every master."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, FeatureExtractor, Features, Indices
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class TrainingData:
    """``masters`` counts also those that no task here has; ``labels`` are their numbers."""

    features: Features
    labels: Indices
    weights: Floats
    masters: int
    settings: RoutingSettings

    def take(self, indices: Indices) -> "TrainingData":
        return TrainingData(
            self.features.take(indices), self.labels[indices], self.weights[indices], self.masters, self.settings
        )

    def refit(self, indices: Indices) -> tuple["TrainingData", FeatureExtractor]:
        """The selected tasks, with features refit on them alone.

        Held-out tasks must not be used to count terms or fit components, or a comparison is not out of fold.
        """
        subset = self.take(indices)
        texts, embeddings = subset.features.texts, subset.features.embeddings
        extractor = FeatureExtractor.fit(texts, embeddings, self.settings.dimensions)
        return replace(subset, features=extractor.features(texts, embeddings)), extractor


class CandidateModel(Protocol):
    def scores(self, features: Features) -> Doubles:
        """Log-probabilities before calibration, shape (tasks, masters)."""

    def arrays(self) -> Mapping[str, Floats]:
        """Learnt parameters."""
