"""Search rank, learning rate, layers and step size of an adapter with Optuna, by short trainings.

Trial 0 has the configured values. The best other trial replaces them only if it needs fewer bits on the test split, by
a paired interval above zero: this one choice is all that the test split decides.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from math import log, nan
from pathlib import Path
from typing import Any

from cortex_pipelines.adapters.data.corpus import Corpus
from cortex_pipelines.adapters.data.packing import token_count
from cortex_pipelines.adapters.settings import AdapterSettings
from cortex_pipelines.adapters.training.history import TrainingDivergedError, TrainingResult, ValidationCallback
from cortex_pipelines.adapters.training.run import build_rows, plan_steps
from cortex_pipelines.hyperparameter_search import TRIALS_FILE, SearchResult, search
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap

_LOG = logging.getLogger("cortex_pipelines")

TrialTraining = Callable[[AdapterSettings, Corpus, ValidationCallback | None], TrainingResult]
"""Trains with the given settings and reports each validation."""

OBJECTIVE = "validation loss, nats a token"
LEAST_GROUPS = 6  # of files of the test split; with fewer an interval says little
_VALIDATIONS = 4  # of a trial
_VALIDATION_PART = 4  # of a trial's training tokens, a quarter: each measurement takes as long as a twelfth of them
_HORIZON = 0.32  # best learning rate ~ tokens^-0.32 (Bjorck et al. 2024, arXiv:2409.19913)
_RESAMPLES, _CONFIDENCE = 10_000, 0.95


def shortened(settings: AdapterSettings) -> AdapterSettings:
    """The settings that a trial's corpus is read by."""
    tokens = min(settings.max_tokens, settings.search.max_tokens)
    validation = max(1, min(settings.validation_tokens, tokens // _VALIDATION_PART))
    return settings.model_copy(update={"max_tokens": tokens, "validation_tokens": validation})


def search_settings(
    settings: AdapterSettings,
    corpus: Corpus,
    trial_corpus: Corpus,
    groups: Sequence[str],
    train: TrialTraining,
    trials_file: Path,
    out: Path,
    *,
    warm_start: bool,
) -> tuple[AdapterSettings, dict[str, float]]:
    """The settings to train with and metrics of the search; all trials are written to ``trials.json``.

    ``groups``: group of files of each test example of ``trial_corpus``. A trial is pruned if its validation loss is
    above the median of earlier trials at the same validation; one that diverges has failed.
    """
    space, untested = settings.search, replace(trial_corpus, test=())
    targets = {_label(target): target for target in (settings.target_modules, *space.targets)}
    choices: dict[str, list[Any]] = {
        "rank": list(dict.fromkeys((settings.rank, *space.ranks))),
        "target_modules": list(targets),
        "step_size": list(dict.fromkeys((1, *space.step_sizes))),
    }
    if warm_start:  # the parent's weights have a rank and layers
        choices |= {name: choices[name][:1] for name in ("rank", "target_modules")}
    low, high = space.learning_rate
    default = {name: values[0] for name, values in choices.items()} | {"learning_rate": settings.learning_rate}

    def settings_of(parameters: Mapping[str, Any]) -> AdapterSettings:
        changes = {
            "rank": parameters["rank"],
            "alpha": max(1, round(settings.alpha * parameters["rank"] / settings.rank)),
            "learning_rate": parameters["learning_rate"],
            "target_modules": targets[parameters["target_modules"]],
            "gradient_accumulation": settings.gradient_accumulation * parameters["step_size"],
        }
        return settings.model_copy(update=changes)

    def trial_settings_of(parameters: Mapping[str, Any]) -> AdapterSettings:
        trial_settings = settings_of(parameters)
        steps = len(plan_steps(build_rows(trial_corpus.train, trial_settings, trial_settings.packing), trial_settings))
        changes = {
            "learning_rate": trial_settings.learning_rate
            * (token_count(corpus.train) / token_count(trial_corpus.train)) ** _HORIZON,
            "evaluation_strategy": "steps",
            "evaluation_steps": -(-steps // _VALIDATIONS),
            "patience": None,
            "keep_partial": False,
        }
        return trial_settings.model_copy(update=changes)

    def loss_of(trial: Any) -> float:
        import optuna

        parameters = {name: trial.suggest_categorical(name, values) for name, values in choices.items()}
        parameters["learning_rate"] = trial.suggest_float(
            "learning_rate", min(low, settings.learning_rate), max(high, settings.learning_rate), log=True
        )
        losses: list[float] = []

        def report(_tokens: int, loss: float) -> None:
            losses.append(loss)
            trial.report(loss, len(losses))
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            train(trial_settings_of(parameters), untested, report)
        except TrainingDivergedError:
            return nan
        return min(losses)

    description = "Searching the adapter's settings"
    result = search(loss_of, space.trials, settings.seed, 0, trials_file, description, default)
    saved, reason = None, _nothing_to_compare(result, groups)
    if not reason:
        pair = [
            train(trial_settings_of(trial.parameters), trial_corpus, None) for trial in (result.trials[0], result.best)
        ]
        saved = _bits_saved(pair[0].test, pair[1].test, trial_corpus, groups, settings.seed)
        reason = "" if saved.low > 0 else "the best trial is not shown to be better on the test split"
    best_parameters = default if reason else dict(result.best.parameters)
    record = {
        "chosen": best_parameters,
        "default": default,
        "kept_default_because": reason,
        "saved": asdict(saved) if saved else None,
        "test_examples": len(groups),
        "test_groups": len(set(groups)),
        "trial_tokens": token_count(trial_corpus.train),
    }
    write_json(out / TRIALS_FILE, result.as_json(OBJECTIVE) | record)
    _LOG.info(
        "Search: %s", f"the section's own values stay, {reason}" if reason else f"{best_parameters} replaces {default}"
    )
    metrics = {"search_trials": float(space.trials), "search_adopted": float(not reason)}
    return settings_of(best_parameters), metrics | (saved.as_metrics("search_saved") if saved else {})


def _nothing_to_compare(result: SearchResult, groups: Sequence[str]) -> str:
    if result.best.number == 0:
        return "no trial was better by validation"
    if result.trials[0].state != "complete":
        return "they could not be compared: the trial with the section's own values diverged"
    if len(set(groups)) < LEAST_GROUPS:
        return f"the test split has {len(set(groups))} groups of files, too few to compare on"
    return ""


def _bits_saved(
    default: Sequence[float], best: Sequence[float], corpus: Corpus, groups: Sequence[str], seed: int
) -> Interval:
    """Bits per byte that the best trial saves; nats of each test example."""
    sizes = [example.text_bytes for example in corpus.test]
    differences = [(old - new) / log(2) / size for old, new, size in zip(default, best, sizes, strict=True)]
    return paired_bootstrap(
        differences, weights=sizes, clusters=groups, resamples=_RESAMPLES, confidence=_CONFIDENCE, seed=seed
    )


def _label(target: str | tuple[str, ...]) -> str:
    return target if isinstance(target, str) else " ".join(target)
