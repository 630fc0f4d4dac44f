"""Train the task router on labelled tasks."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.embeddings.encoder import Floats, sentence_part
from cortex_pipelines.embeddings.threads import pinned_threads
from cortex_pipelines.hyperparameter_search import TRIALS_FILE, SearchResult, search
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.routing.dataset.labels import normalised
from cortex_pipelines.routing.features import Doubles, FeatureExtractor, Indices
from cortex_pipelines.routing.keyword_rules import parse_rules
from cortex_pipelines.routing.models.base import KeywordRules, TrainingData
from cortex_pipelines.routing.models.history import Attempts, History, seconds
from cortex_pipelines.routing.models.network import JointNetwork, NeuralSettings
from cortex_pipelines.routing.selection.ensemble import combine, learn_weights
from cortex_pipelines.routing.selection.model_selection import ModelSelection, select_model
from cortex_pipelines.routing.selection.out_of_scope import learn_scope, read_requests
from cortex_pipelines.routing.serving.bundle import RouterConfig, save_router
from cortex_pipelines.routing.settings import RoutingSettings
from cortex_pipelines.versioning.packages import installed

OBJECTIVE = "negative log-likelihood of held-out tasks, calibrated"


def search_neural(
    training: TrainingData, confirmed: Indices, folds: Indices, studies: Path
) -> tuple[NeuralSettings, SearchResult]:
    """The settings with the best likelihood on one fold, and every trial."""
    settings = training.settings
    fold, share = search_fold(confirmed, folds), max(1, settings.search_tasks // settings.folds)
    inside = confirmed[folds[confirmed] == fold][:share]
    outside = np.flatnonzero(folds != fold)[: max(1, settings.search_tasks - share)]
    train, unseen, _ = training.refit(outside, inside, fold)
    validation = replace(training.take(inside), features=unseen)
    # a trial depends on tasks, settings, this room's code and packages
    digest = hashlib.sha256(f"{settings.model_dump_json()}{installed()}".encode())
    arrays = [getattr(part, name) for part in (train, validation) for name in ("labels", "weights")]
    arrays += [part.features.projected for part in (train, validation)] + list(training.history.arrays().values())
    arrays += [train.attempts.rows] if train.attempts else []
    for array in (*arrays, validation.features.asked):
        digest.update(np.ascontiguousarray(array).tobytes())
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    # a third of the passes: before, the learning rate alone decides which is ahead
    outcome = search(
        lambda trial: _trial_loss(trial, train, validation),
        settings.trials,
        settings.seed,
        settings.epochs // 3,
        studies / f"router-{digest.hexdigest()[:24]}.jsonl",
        "Searching the router's settings",
    )
    return NeuralSettings(**outcome.best.parameters), outcome


def search_fold(confirmed: Indices, folds: Indices) -> int:
    """The fold used for the search, which is excluded from evaluation."""
    return int(folds[confirmed][0])


def _trial_loss(trial: Any, train: TrainingData, validation: TrainingData) -> float:
    import optuna

    settings, tasks, losses = train.settings, np.arange(len(validation.labels)), [0.0]

    def report_epoch(epoch: int, candidate: JointNetwork) -> None:
        scores = candidate.scores(validation.features)
        logs = combine([scores], learn_weights([scores], validation.labels, np.ones(len(tasks))))
        losses.append(float(-logs[tasks, validation.labels].mean()))
        trial.report(losses[-1], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    hyperparameters = NeuralSettings(
        learning_rate=trial.suggest_float("learning_rate", *settings.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *settings.weight_decay, log=True),
        dropout=trial.suggest_float("dropout", *settings.dropout),
    )
    JointNetwork.fit(train, hyperparameters, report_epoch)
    return losses[-1]


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


Embed = Callable[[Sequence[str]], Floats]
_FEWEST_OUTCOMES, _FEWEST_OF_EACH = 60, 10
"""Fewest attempts with a known outcome, and fewest that succeeded and that failed, to learn outcomes from."""


def asked_at(texts: Sequence[str], attempts: pl.DataFrame | None) -> Doubles:
    """When each task was first sent to a master, in seconds since 1970; NaN where that is not known."""
    if attempts is None:
        return np.full(len(texts), np.nan)
    sent = attempts.drop_nulls("decided_at").group_by("cluster").agg(pl.col("decided_at").min())
    first = dict(sent.iter_rows())
    return seconds([first.get(normalised(text)) for text in texts])


def with_attempts(
    training: TrainingData,
    attempts: pl.DataFrame,
    masters: Sequence[str],
    folds: Indices,
    embed: Embed,
    extractor: FeatureExtractor,
) -> TrainingData:
    """With the history of the ``attempts``, and those to learn from, in the folds of their tasks.

    As it was where too few outcomes are known.
    """
    attempts = attempts.filter(pl.col("master").is_in(list(masters)))
    known = attempts.filter(~pl.col("judged"))["success"].drop_nulls()
    if len(known) < _FEWEST_OUTCOMES or min(known.sum(), len(known) - known.sum()) < _FEWEST_OF_EACH:
        return training
    history = History.of_attempts(attempts, masters)
    fold_of = {normalised(text): int(fold) for text, fold in zip(training.features.texts, folds, strict=True)}
    measured = ~np.isnan(history.outcomes).all(axis=1)
    rows = np.flatnonzero(measured & ~attempts["judged"].to_numpy())
    texts = [attempts["text"][int(row)] for row in rows]
    features = extractor.features(texts, embed(texts), asked=history.sent[rows])
    of_attempts = [fold_of.get(normalised(text), int(_hash(text), 16) % (int(folds.max()) + 1)) for text in texts]
    return replace(training, history=history, attempts=Attempts(features, rows, np.array(of_attempts, dtype=np.int64)))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Comparison:
    """How the chosen model was: ``compared`` are the numbers of the held-out tasks among ``training``.

    ``times`` are those of all tasks, in seconds since 1970; NaN where that is not known.
    """

    masters: Sequence[str]
    training: TrainingData
    compared: Indices
    folds: Indices
    selection: ModelSelection
    times: Doubles


_OUTCOMES = {"outcome": "succeeded", "decision": "not known"}  # outcome of a neighbour by its label source
_CONFIGURED = {
    *("accept", "supporting", "alternatives", "evidence", "neighbours", "fallback_master"),
    *("max_tokens", "batch", "threads", "precision"),
}
"""Settings that a router's configuration keeps."""


class TooFewMastersError(ValueError):
    """Fewer than two masters to choose from."""


def train_router(
    tasks: pl.DataFrame,
    embed: Embed,
    settings: RoutingSettings,
    encoder_pin: Mapping[str, Any],
    rules: Mapping[str, Any] | None,
    out: Path,
    studies: Path,
    observe: Callable[[Comparison], None] | None = None,
    attempts: pl.DataFrame | None = None,
) -> dict[str, float]:
    """Run the model selection, and save the router with the table of candidates, every trial and metrics to ``out``.

    A task to be judged on must not be among ``tasks`` (``ROUTING_DATASET``). ``attempts``, with a column ``judged``,
    say what tasks came to at masters, and when; those that are judged on are only looked back on. Trials of an
    unfinished search stay in ``studies``. Raises ``TooFewMastersError``.
    """
    masters = tuple(sorted(tasks["master"].unique()))
    if len(masters) < 2:
        raise TooFewMastersError(
            f"the logs hold {tasks.height} tasks with a known master, over {len(masters)} masters; "
            "at least two masters are needed for a router to decide between"
        )
    # an order that has nothing to do with the tasks' own, and is the same for the same tasks
    keys = [_hash(text) for text in tasks["text"]]
    order = sorted(range(tasks.height), key=lambda row: keys[row])
    tasks, keys = tasks[order], [keys[row] for row in order]
    with pinned_threads(settings.threads):
        embeddings = embed(tasks["text"].to_list())
        extractor = FeatureExtractor.fit(tasks["text"].to_list(), embeddings, settings.dimensions)
        asked = asked_at(tasks["text"].to_list(), attempts)
        features = extractor.features(tasks["text"].to_list(), embeddings, asked=asked)
        training = TrainingData.of_tasks(tasks, masters, features, settings)
        confirmed = np.flatnonzero((tasks["label_source"] == "outcome").to_numpy())
        confirmed = confirmed if len(confirmed) else np.arange(tasks.height)
        folds = folds_of(keys, training.labels, min(settings.folds, tasks.height))
        if attempts is not None:
            training = with_attempts(training, attempts, masters, folds, embed, extractor)
        hyperparameters, search_result = search_neural(training, confirmed, folds, studies)
        compared = compared_tasks(confirmed, folds)
        keywords = None
        if rules is not None:
            keywords = KeywordRules(parse_rules(rules, "rules.json"), masters, settings.fallback_master)
        selection = select_model(training, compared, folds, keywords, hyperparameters)
        if observe is not None:
            times = seconds(tasks["occurred_at"].to_list())
            observe(Comparison(masters, training, compared, folds, selection, times))
        unlike = sentence_part(embed(read_requests()))
        scope, scope_metrics = learn_scope(training.features.sentence, confirmed, unlike, settings.in_scope_kept)
    config = RouterConfig(
        masters=masters,
        weights=selection.weights,
        scope=(scope.slope, scope.bias),
        in_scope=scope.limit,
        encoder=encoder_pin,
        first_tier=selection.first_tier,
        **settings.model_dump(include=_CONFIGURED),
    )
    neighbours = [
        {"text": text, "master": master, "outcome": _OUTCOMES.get(source, source)}
        for text, master, source in tasks.select("text", "master", "label_source").iter_rows()
    ]
    save_router(out, config, extractor, selection.candidates, neighbours, rules, scope.requests)
    counts = Counter(tasks["master"])
    metrics = {
        **{f"out_of_fold_{name}": value for name, value in selection.metrics.items()},
        **{f"accuracy_{step.model}": step.accuracy for step in selection.steps},
        "judged_tasks": float(len(compared)),
        "masters": float(len(counts)),
        "smallest_master_tasks": float(min(counts.values())),
        "train_tasks": float(tasks.height),
        "trials": float(len(search_result.trials)),
        **scope_metrics,
    }
    write_json(out / "candidates.json", [asdict(step) for step in selection.steps])
    write_json(out / TRIALS_FILE, search_result.as_json(OBJECTIVE))
    write_json(out / "metrics.json", metrics)
    return metrics


def compared_tasks(confirmed: Indices, folds: Indices) -> Indices:
    """Tasks for model selection, without those of the hyperparameter search.

    If none remain, all are used: they are too few for any candidate to be adopted.
    """
    remaining = confirmed[folds[confirmed] != search_fold(confirmed, folds)]
    return remaining if len(remaining) else confirmed
