"""Interface of candidate models, which score every master."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from cortex_pipelines.embeddings.encoder import Floats
from cortex_pipelines.routing.features.features import (
    Doubles,
    FeatureExtractor,
    Features,
    Indices,
)
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class TrainingData:
    """Training data of a candidate.

    Args:
        features: The tasks.
        labels: Number of each task's master.
        weights: Weight of each task, above 0.
        masters: Number of masters, also of those that no task here has.
        settings: The section ``routing``.
    """

    features: Features
    labels: Indices
    weights: Floats
    masters: int
    settings: RoutingSettings

    def take(self, places: Indices) -> "TrainingData":
        """The training data of selected tasks."""
        return TrainingData(
            self.features.take(places),
            self.labels[places],
            self.weights[places],
            self.masters,
            self.settings,
        )

    def refitted(self, places: Indices) -> tuple["TrainingData", FeatureExtractor]:
        """The selected tasks, with features refitted on them alone.

        What is held out must not be among the tasks that terms are counted and components fitted
        on, or a comparison out of fold is none.
        """
        part = self.take(places)
        texts, embeddings = part.features.texts, part.features.embeddings
        extractor = FeatureExtractor.fit(texts, embeddings, self.settings.dimensions)
        return replace(part, features=extractor.features(texts, embeddings)), extractor


class CandidateModel(Protocol):
    """A trained candidate."""

    def scores(self, features: Features) -> Doubles:
        """Log-probabilities before calibration, shape (tasks, masters)."""

    def arrays(self) -> Mapping[str, Floats]:
        """Learnt parameters."""
