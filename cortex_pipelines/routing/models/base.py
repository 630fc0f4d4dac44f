"""What every candidate of the ladder is: something that gives each master a score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Features, Indices
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class TrainingData:
    """What a candidate learns from.

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
        """The part of it at some places."""
        return TrainingData(
            self.features.take(places),
            self.labels[places],
            self.weights[places],
            self.masters,
            self.settings,
        )


class CandidateModel(Protocol):
    """A trained candidate."""

    def scores(self, features: Features) -> Doubles:
        """Logarithms of shares, shape (tasks, masters); not yet calibrated."""

    def arrays(self) -> Mapping[str, Floats]:
        """All that it has learnt."""
