"""Hyperparameter search for the neural candidate with Optuna."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.hyperparameter_search import SearchResult, search
from cortex_pipelines.routing.features.features import Indices
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.network import Neural, NeuralSettings
from cortex_pipelines.routing.selection.ensemble import combined, learn_weights
from cortex_pipelines.routing.settings import RoutingSettings

OBJECTIVE = "negative log-likelihood of held-out tasks, calibrated"


def search_neural(
    training: TrainingData, judged: Indices, folds: Indices, studies: Path
) -> tuple[NeuralSettings, SearchResult]:
    """The settings with the best likelihood on one fold, and every trial.

    Args:
        training: All tasks; the search takes the first ``search_tasks`` in the order they come in.
        judged: Places of tasks whose label is borne out.
        folds: Fold of each task; that of the first judged one is the ``search_fold``.
        studies: Folder for the trials of a search that is not over.
    """
    settings = training.settings
    inside, outside = _sides(judged, folds, settings)
    train, extractor = training.refitted(outside)
    unseen = training.features.take(inside)
    held = replace(
        training.take(inside), features=extractor.features(unseen.texts, unseen.embeddings)
    )
    # a third of the passes: before, the learning rate alone decides which is ahead
    outcome = search(
        lambda trial: _tried(trial, train, held),
        settings.trials,
        settings.seed,
        settings.epochs // 3,
        studies / f"router-{_identity(train, held)}.jsonl",
        "Searching the router's settings",
    )
    return NeuralSettings(**outcome.best.parameters), outcome


def search_fold(judged: Indices, folds: Indices) -> int:
    """The fold used for the search, which is excluded from evaluation."""
    return int(folds[judged][0])


def _tried(trial: Any, train: TrainingData, held: TrainingData) -> float:
    """Loss of one trial, pruned early if it falls behind."""
    import optuna

    losses = [0.0]

    def watch(epoch: int, candidate: Neural) -> None:
        losses.append(_loss(candidate, held))
        trial.report(losses[-1], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    Neural.fit(train, _choose(trial, train.settings), watch)
    return losses[-1]


def _loss(candidate: Neural, held: TrainingData) -> float:
    scores, tasks = candidate.scores(held.features), np.arange(len(held.labels))
    logs = combined([scores], learn_weights([scores], held.labels, np.ones(len(tasks))))
    return float(-logs[tasks, held.labels].mean())


def _identity(*parts: TrainingData) -> str:
    """Hash of everything a trial depends on: tasks, settings and this package's code."""
    digest = hashlib.sha256(parts[0].settings.model_dump_json().encode())
    for training in parts:
        for array in (training.features.projected, training.labels, training.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:24]


def _sides(judged: Indices, folds: Indices, settings: RoutingSettings) -> tuple[Indices, Indices]:
    """Indices for evaluation and training, no more than requested."""
    fold = search_fold(judged, folds)
    inside, outside = judged[folds[judged] == fold], np.flatnonzero(folds != fold)
    share = max(1, settings.search_tasks // settings.folds)
    return inside[:share], outside[: max(1, settings.search_tasks - share)]


def _choose(trial: Any, settings: RoutingSettings) -> NeuralSettings:
    return NeuralSettings(
        learning_rate=trial.suggest_float("learning_rate", *settings.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *settings.weight_decay, log=True),
        dropout=trial.suggest_float("dropout", *settings.dropout),
    )
