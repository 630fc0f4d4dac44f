"""Search for the neural rung's settings with Optuna."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cortex_pipelines.progress import track
from cortex_pipelines.routing.ensemble import combined, learn_weights
from cortex_pipelines.routing.rungs.neural import Neural, NeuralSettings
from cortex_pipelines.routing.rungs.rung import Lesson
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.routing.views import Indices


@dataclass(frozen=True)
class Trial:
    """One trial of the search.

    Args:
        number: From 0.
        settings: What was tried.
        loss: Negative log-likelihood on tasks that it was not trained on, after calibration.
    """

    number: int
    settings: NeuralSettings
    loss: float

    def row(self) -> dict[str, Any]:
        """The trial as plain values, for a file."""
        return {"number": self.number, **asdict(self.settings), "loss": self.loss}


def search_neural(
    lesson: Lesson, judged: Indices, folds: Indices
) -> tuple[NeuralSettings, list[Trial]]:
    """The settings that make the tasks of the first fold most likely, and every trial.

    The study lives in memory and starts empty, so it hides no state between runs; its sampler
    (TPE) is seeded.

    Args:
        lesson: All tasks; the search takes the first ``search_tasks`` in the order they come in.
        judged: Places of tasks whose label is borne out.
        folds: Fold of each task.
    """
    import optuna

    settings = lesson.settings
    inside, outside = _sides(judged, folds, settings)
    train, held = lesson.take(outside), lesson.take(inside)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    trials: list[Trial] = []
    for number in track(range(settings.trials), "Searching the router's settings"):
        asked = study.ask()
        chosen = _choose(asked, settings)
        scores = Neural.fit(train, chosen).scores(held.views)
        shares = np.ones(len(held.labels))
        logs = combined([scores], learn_weights([scores], held.labels, shares))
        loss = float(-logs[np.arange(len(held.labels)), held.labels].mean())
        study.tell(asked, loss)
        trials.append(Trial(number, chosen, loss))
    best = min(trials, key=lambda trial: trial.loss)
    return best.settings, trials


def _sides(judged: Indices, folds: Indices, settings: RoutingSettings) -> tuple[Indices, Indices]:
    """Places to judge on and places to train on, no more than asked for."""
    inside = judged[folds[judged] == folds[judged][0]]
    outside = np.flatnonzero(folds != folds[judged][0])
    share = max(1, settings.search_tasks // settings.folds)
    return inside[:share], outside[: max(1, settings.search_tasks - share)]


def _choose(trial: Any, settings: RoutingSettings) -> NeuralSettings:
    return NeuralSettings(
        learning_rate=trial.suggest_float("learning_rate", *settings.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *settings.weight_decay, log=True),
        dropout=trial.suggest_float("dropout", *settings.dropout),
    )
