"""Stratified folds, and the search for the neural candidate's settings on one of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cortex_pipelines.hyperparameter_search import SearchResult, search
from cortex_pipelines.routing.features import Indices
from cortex_pipelines.routing.models.base import TrainingData
from cortex_pipelines.routing.models.network import NeuralClassifier, NeuralSettings
from cortex_pipelines.routing.selection.ensemble import combine, learn_weights

OBJECTIVE = "negative log-likelihood of held-out tasks, calibrated"


def search_neural(
    training: TrainingData, confirmed: Indices, folds: Indices, studies: Path
) -> tuple[NeuralSettings, SearchResult]:
    """The settings with the best likelihood on one fold, and every trial."""
    settings = training.settings
    fold, share = search_fold(confirmed, folds), max(1, settings.search_tasks // settings.folds)
    inside = confirmed[folds[confirmed] == fold][:share]
    outside = np.flatnonzero(folds != fold)[: max(1, settings.search_tasks - share)]
    train, extractor = training.refit(outside)
    unseen = training.features.take(inside)
    validation = replace(training.take(inside), features=extractor.features(unseen.texts, unseen.embeddings))
    # a third of the passes: before, the learning rate alone decides which is ahead
    outcome = search(
        lambda trial: _trial_loss(trial, train, validation),
        settings.trials,
        settings.seed,
        settings.epochs // 3,
        studies / f"router-{_study_key(train, validation)}.jsonl",
        "Searching the router's settings",
    )
    return NeuralSettings(**outcome.best.parameters), outcome


def search_fold(confirmed: Indices, folds: Indices) -> int:
    """The fold used for the search, which is excluded from evaluation."""
    return int(folds[confirmed][0])


def _trial_loss(trial: Any, train: TrainingData, validation: TrainingData) -> float:
    import optuna

    losses = [0.0]

    def report_epoch(epoch: int, candidate: NeuralClassifier) -> None:
        losses.append(_loss(candidate, validation))
        trial.report(losses[-1], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    settings = train.settings
    hyperparameters = NeuralSettings(
        learning_rate=trial.suggest_float("learning_rate", *settings.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *settings.weight_decay, log=True),
        dropout=trial.suggest_float("dropout", *settings.dropout),
    )
    NeuralClassifier.fit(train, hyperparameters, report_epoch)
    return losses[-1]


def _loss(candidate: NeuralClassifier, validation: TrainingData) -> float:
    scores, tasks = candidate.scores(validation.features), np.arange(len(validation.labels))
    logs = combine([scores], learn_weights([scores], validation.labels, np.ones(len(tasks))))
    return float(-logs[tasks, validation.labels].mean())


def _study_key(*parts: TrainingData) -> str:
    """Hash of everything a trial depends on: tasks, settings and this package's code."""
    digest = hashlib.sha256(parts[0].settings.model_dump_json().encode())
    for training in parts:
        for array in (training.features.projected, training.labels, training.weights):
            digest.update(np.ascontiguousarray(array).tobytes())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:24]


def folds_of(keys: Sequence[str], labels: Indices, folds: int) -> Indices:
    """The tasks of each master are dealt out in the order of their keys (hashes): folds are stratified."""
    fold_of = np.zeros(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label).tolist()
        ordered_rows = sorted(rows, key=lambda row: (keys[row], row))
        for row in ordered_rows:
            fold_of[row] = dealt % folds
            dealt += 1
    return fold_of
