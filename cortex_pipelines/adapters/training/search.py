"""Search rank, learning rate and row length with Optuna, on a token budget per trial."""

import logging
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.model.lora import write_json
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.early_stopping import TrainingDivergedError
from cortex_pipelines.adapters.training.history import TrainingResult, ValidationCallback
from cortex_pipelines.hyperparameter_search import TRIALS_FILE
from cortex_pipelines.hyperparameter_search import search as study

_LOG = logging.getLogger("cortex_pipelines")

TrialTraining = Callable[[AdapterSettings, ValidationCallback], TrainingResult]
"""Trains with the given settings and reports each validation."""


def search(settings: AdapterSettings, attempt: TrialTraining, trials_file: Path, out: Path) -> AdapterSettings:
    """The settings with the best trial's values; all trials are written to ``trials.json``.

    A trial is pruned if its validation loss is above the median of earlier trials after the same number of tokens; one
    that diverges has failed.
    """
    if not settings.validation_tokens:
        raise ValueError(
            "adapters.search compares validation losses, but adapters.validation_tokens is 0; "
            "raise it, or set search.trials to 0"
        )
    finished_study = study(
        lambda trial: _loss(trial, settings, attempt),
        settings.search.trials,
        settings.seed,
        0,
        trials_file,
        "Searching the adapter's settings",
    )
    write_json(out / TRIALS_FILE, finished_study.as_json("validation loss, nats a token"))
    _LOG.info("Trial %d is the best: %s", finished_study.best.number, finished_study.best.parameters)
    return _with(settings, dict(finished_study.best.parameters))


def _loss(trial: Any, settings: AdapterSettings, attempt: TrialTraining) -> float:
    import optuna

    space = settings.search
    parameters = {
        "rank": trial.suggest_categorical("rank", list(space.ranks)),
        "learning_rate": trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        "max_length": trial.suggest_categorical("max_length", list(space.lengths)),
    }

    def report(tokens: int, loss: float) -> None:
        trial.report(loss, tokens)
        if trial.should_prune():
            raise optuna.TrialPruned

    short = {"max_tokens": space.max_tokens, "keep_partial": False}
    try:
        result = attempt(_with(settings, parameters).model_copy(update=short), report)
    except TrainingDivergedError:
        return nan
    return min(validation.loss for validation in result.validations if validation.step)


def _with(settings: AdapterSettings, parameters: dict[str, Any]) -> AdapterSettings:
    """The settings with a trial's values; alpha keeps its ratio to the rank."""
    alpha = max(1, round(settings.alpha * parameters["rank"] / settings.rank))
    return settings.model_copy(update={**parameters, "alpha": alpha})
