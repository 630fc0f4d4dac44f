"""Search for rank, learning rate and row length with Optuna, on a budget of tokens a trial."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.curve import Report, Run
from cortex_pipelines.adapters.lora import write_json
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.stopping import TrainingDivergedError
from cortex_pipelines.progress import track

_LOG = logging.getLogger("cortex_pipelines")
TRIALS = "trials.json"

Attempt = Callable[[AdapterSettings, Report], Run]
"""Trains with some settings and reports each measurement."""


def search(settings: AdapterSettings, attempt: Attempt, out: Path) -> AdapterSettings:
    """The settings with the best values found; every trial is written to ``trials.json``.

    The study lives in memory and starts empty, so it hides no state between runs; its sampler
    (TPE) is seeded. A trial whose validation loss is above the median of the earlier ones after
    as many tokens ends there.

    Args:
        settings: What to search, and all that stays as it is.
        attempt: Trains once.
        out: Folder to write to.

    Raises:
        ValueError: there is nothing to compare by, or no trial came to its end.
    """
    import optuna

    if not settings.validation_tokens:
        raise ValueError(
            "adapters.search compares validation losses, but adapters.validation_tokens is 0; "
            "raise it, or set search.trials to 0"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2),
    )
    for _ in track(range(settings.search.trials), "Searching the adapter's settings"):
        _try(study, settings, attempt)
    write_json(out / TRIALS, _record(study, settings))
    done = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
    if not done:
        raise ValueError(
            "adapters.search: every trial diverged; lower search.learning_rate in params.yaml"
        )
    best = study.best_trial
    _LOG.info("Trial %d is the best: %s", best.number, best.params)
    return _with(settings, best.params)


def _try(study: Any, settings: AdapterSettings, attempt: Attempt) -> None:
    import optuna

    trial = study.ask()
    space = settings.search
    chosen = {
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
        run = attempt(_with(settings, chosen).model_copy(update=short), report)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except TrainingDivergedError:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, min(one.loss for one in run.validations if one.step))


def _with(settings: AdapterSettings, chosen: dict[str, Any]) -> AdapterSettings:
    """The settings with what was chosen; alpha keeps its ratio to the rank."""
    alpha = max(1, round(settings.alpha * chosen["rank"] / settings.rank))
    return settings.model_copy(update={**chosen, "alpha": alpha})


def _record(study: Any, settings: AdapterSettings) -> dict[str, Any]:
    return {
        "metric": "validation_loss",
        "direction": "minimize",
        "trials": [
            {
                "number": trial.number,
                "parameters": trial.params,
                "value": trial.value,
                "state": trial.state.name.lower(),
                "steps": [[step, loss] for step, loss in sorted(trial.intermediate_values.items())],
            }
            for trial in study.trials
        ],
        "importances": _importances(study, settings),
    }


def _importances(study: Any, settings: AdapterSettings) -> dict[str, float]:
    """Share of each parameter in how the losses differ (fANOVA); none from too few trials."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    values = {one.value for one in study.trials if one.state == TrialState.COMPLETE}
    if len(values) < 2:
        return {}
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=settings.seed))
    return {name: float(share) for name, share in found.items()}
