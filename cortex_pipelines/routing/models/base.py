"""What every rung of the ladder is: something that gives each master a score."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cortex_pipelines.routing.features.encoder import Floats
from cortex_pipelines.routing.features.features import Doubles, Indices, Views
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class Lesson:
    """What a rung learns from.

    Args:
        views: The tasks.
        labels: Number of each task's master.
        weights: Weight of each task, above 0.
        masters: Number of masters, also of those that no task here has.
        settings: The section ``routing``.
    """

    views: Views
    labels: Indices
    weights: Floats
    masters: int
    settings: RoutingSettings

    def take(self, places: Indices) -> "Lesson":
        """The part of it at some places."""
        return Lesson(
            self.views.take(places),
            self.labels[places],
            self.weights[places],
            self.masters,
            self.settings,
        )


class Rung(Protocol):
    """A trained rung."""

    def scores(self, views: Views) -> Doubles:
        """Logarithms of shares, shape (tasks, masters); not yet calibrated."""

    def arrays(self) -> Mapping[str, Floats]:
        """All that it has learnt."""
