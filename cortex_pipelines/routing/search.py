"""Search for the head's settings with Optuna."""

from dataclasses import asdict, dataclass
from typing import Any

from cortex_pipelines.progress import track
from cortex_pipelines.routing.head import Examples, Head, HeadSettings, calibrated, train_head
from cortex_pipelines.routing.settings import RoutingSettings


@dataclass(frozen=True)
class Trial:
    """One trial of the search.

    Args:
        number: From 0.
        settings: What was tried.
        loss: Negative log-likelihood on the validation tasks, after calibration.
    """

    number: int
    settings: HeadSettings
    loss: float

    def row(self) -> dict[str, Any]:
        """The trial as plain values, for a file."""
        return {"number": self.number, **asdict(self.settings), "loss": self.loss}


def search_head(
    train: Examples, validation: Examples, masters: int, settings: RoutingSettings
) -> tuple[Head, list[Trial]]:
    """The calibrated head that makes the validation tasks most likely, and every trial.

    The study lives in memory and starts empty, so it hides no state between runs; its sampler
    (TPE) is seeded.

    Args:
        train: Tasks to train on.
        validation: Tasks to choose and calibrate on.
        masters: Number of masters.
        settings: Number of trials, and what may be tried.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.seed))
    best: Head | None = None
    trials: list[Trial] = []
    for number in track(range(settings.trials), "Searching the router's head"):
        asked = study.ask()
        chosen = _choose(asked, settings)
        trained = train_head(train, masters, chosen, settings.epochs, settings.seed)
        head = calibrated(trained, validation)
        loss = head.loss(validation)
        study.tell(asked, loss)
        if best is None or loss < min(trial.loss for trial in trials):
            best = head
        trials.append(Trial(number, chosen, loss))
    if best is None:
        raise ValueError("routing.trials: at least one trial is needed")
    return best, trials


def _choose(trial: Any, settings: RoutingSettings) -> HeadSettings:
    return HeadSettings(
        hidden=trial.suggest_categorical("hidden", settings.hidden_sizes),
        learning_rate=trial.suggest_float("learning_rate", *settings.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *settings.weight_decay, log=True),
    )
