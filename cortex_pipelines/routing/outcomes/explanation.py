"""Why an outcome is predicted: what each feature adds, and the earlier tasks that are most alike.

A feature adds its term of a linear model, or its share in boosted trees (TreeSHAP: Lundberg and others 2020). These are
shown if the deletion test is passed: on later tasks, taking out the heaviest features changes the prediction further
than taking out random ones.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.config import Parameters
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.outcomes.encoding import Columns, Encoding
from cortex_pipelines.routing.outcomes.predict import adopted_models, asked_rows, read_table
from cortex_pipelines.routing.outcomes.training import LEARNED, FittedModel, Predictor
from cortex_pipelines.routing.settings import PredictorSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.schemas.routing import PREDICTIONS
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap

_MOST_REMOVED = 5
_DRAWS = 5
_EVIDENCE = 3
_ABSENT = "words that it lacks"
_WORDS = Columns(numbers=(), amounts=(), categories=(), text="text")
_OUTCOMES = ("success", "duration_seconds", "tokens", "complexity")


@dataclass(frozen=True)
class _Feature:
    """Columns of an encoding that are one feature: a number, a category, or a word (``is_word``)."""

    name: str
    columns: tuple[int, ...]
    is_word: bool = False


def _features(model: FittedModel) -> list[_Feature]:
    encoding = model.encoding
    if encoding is None:
        return []
    numbers = (*encoding.columns.numbers, *encoding.columns.amounts)
    features = [_Feature(name, (column,)) for column, name in enumerate(numbers)]
    first = len(numbers)
    for name, values in zip(encoding.columns.categories, encoding.categories, strict=True):
        features.append(_Feature(name, tuple(range(first, first + len(values)))))
        first += len(values)
    return features + [_Feature(word, (first + number,), True) for number, word in enumerate(encoding.words)]


def _matrix(model: FittedModel, rows: pl.DataFrame) -> np.ndarray:
    return np.zeros((rows.height, 0)) if model.encoding is None else np.asarray(model.encoding.matrix(rows).toarray())


def contributions(model: FittedModel, matrix: np.ndarray) -> np.ndarray:
    """(tasks, columns + 1); the last column is the base, and each row adds up to the raw prediction."""
    if model.trees:
        from lightgbm import Booster

        booster = Booster(model_str=model.trees)
        return np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=1))
    return np.column_stack([matrix * np.array(model.weights), np.full(len(matrix), model.base)])


def deletion_test(
    predictor: Predictor, rows: pl.DataFrame, settings: EvaluationSettings, dealt: bool = False
) -> Interval:
    """How much further the raw prediction changes without the heaviest features than without random ones.

    Mean over one to five of the features that a task has; columns at 0 stand for a feature taken out. ``dealt``: the
    control, with the weights of each task dealt out to its features again. Raises ValueError: no task.
    """
    model, chance = predictor.model, np.random.default_rng(settings.seed)
    features, matrix = _features(model), _matrix(model, rows)
    gains = []
    for row, added in zip(matrix, contributions(model, matrix), strict=True):
        present = [np.array(each.columns) for each in features if each.columns and row[list(each.columns)].any()]
        weights = np.array([abs(added[columns].sum()) for columns in present])
        most = min(_MOST_REMOVED, len(present) - 1)
        if most < 1:
            gains.append(0.0)
            continue
        if dealt:
            weights = chance.permutation(weights)
        orders = [np.argsort(-weights, kind="stable"), *(chance.permutation(len(present)) for _ in range(_DRAWS))]
        shorter = np.repeat(row[None], len(orders) * most, axis=0)
        for number, order in enumerate(orders):
            for count in range(most):
                shorter[number * most + count, np.concatenate([present[each] for each in order[: count + 1]])] = 0.0
        changed = np.abs(contributions(model, shorter).sum(axis=1) - added.sum()).reshape(len(orders), most)
        by_weight, *at_random = changed.mean(axis=1)
        gains.append(float(by_weight - np.mean(at_random)))
    return paired_bootstrap(gains, clusters=rows["cluster"].to_list(), **settings.bootstrap)


def explain_outcomes(
    text: str, master: str, when: datetime, tables: Path, predictors: Path, evaluation: Path, parameters: Parameters
) -> dict[str, Any]:
    """Each target's adopted candidate, what its features add, and ``evidence``: earlier tasks at the master.

    What is added is in log-odds of a probability, else in the scale that is learnt (``scale``). ``attributions`` is
    None where the candidate does not read the task or the deletion test is not passed; ``why`` says which. Raises
    ``PredictorError``.
    """
    models, settings = adopted_models(predictors, evaluation), parameters.predictors
    asked = asked_rows(text, master, when, tables, parameters.log_tables)
    decisions, outcomes, features = (read_table(tables, table.name) for table in (DECISIONS, OUTCOMES, FEATURES))
    past = attempts(decisions, outcomes, features, settings.complexity_words)
    later = read_table(predictors, PREDICTIONS.name)
    targets = {}
    for name, predictor in models.items():
        of_target = later.filter(pl.col("target") == name)["attempt_id"].unique()
        test = past.filter(pl.col("attempt_id").is_in(of_target.implode()))
        targets[name] = _target(predictor, asked, test, parameters.evaluation)
    trained = past.filter(~pl.col("attempt_id").is_in(later["attempt_id"].unique().implode()))
    return {"master": master, "targets": targets, "evidence": _evidence(asked, trained, settings)}


def _target(
    predictor: Predictor, asked: pl.DataFrame, test: pl.DataFrame, judged: EvaluationSettings
) -> dict[str, Any]:
    predicted, _, _ = predictor.predict(asked)
    answer = {
        "candidate": predictor.candidate,
        "predicted": float(predicted[0]),
        "attributions": None,
        "deletion": None,
    }
    if predictor.candidate not in LEARNED:
        return {**answer, "why": f"{predictor.candidate} does not read the task"}
    test_result = deletion_test(predictor, test, judged)
    answer["deletion"] = {"value": test_result.estimate, "low": test_result.low, "high": test_result.high}
    if not test_result.low > 0:
        return {**answer, "why": f"not shown: without its heaviest features a prediction changes {test_result:+.4f}"}
    base, rows = _attributions(predictor, asked)
    target = predictor.target
    scale = "log-odds" if target.kind == "probability" else "logarithm" if target.by_factors else target.unit
    return {**answer, "scale": scale, "base": base, "attributions": rows}


def _attributions(predictor: Predictor, asked: pl.DataFrame) -> tuple[float, list[dict[str, Any]]]:
    """The base, and the rows of one task, the heaviest first; with calibration they add up to the prediction."""
    matrix = _matrix(predictor.model, asked)
    (added,) = contributions(predictor.model, matrix) * predictor.slope
    rows, absent = [], 0.0
    for feature in _features(predictor.model):
        weight = float(added[list(feature.columns)].sum())
        if feature.is_word and not matrix[0, list(feature.columns)].any():
            absent += weight
        elif weight:
            value = feature.name if feature.is_word else asked[feature.name][0]
            rows.append({"feature": "word" if feature.is_word else feature.name, "value": value, "weight": weight})
    if absent:
        rows.append({"feature": _ABSENT, "value": None, "weight": absent})
    return float(added[-1]) + predictor.shift, sorted(rows, key=lambda row: -abs(row["weight"]))


def _evidence(asked: pl.DataFrame, trained: pl.DataFrame, settings: PredictorSettings) -> list[dict[str, Any]]:
    """Tasks that were learnt from, at the same master and with a known outcome, by cosine of their words' TF-IDF."""
    known = pl.any_horizontal(pl.col(_OUTCOMES).is_not_null())
    rows = trained.filter(known & (pl.col("master") == asked["master"][0]))
    words = Encoding.fit(trained, _WORDS, settings.vocabulary, settings.min_documents)
    if rows.is_empty() or not words.words:
        return []
    cosines = (words.matrix(rows) @ words.matrix(asked).T).toarray()[:, 0]
    nearest = [int(row) for row in np.argsort(-cosines, kind="stable")[:_EVIDENCE] if cosines[row] > 0]
    outcomes = rows.select(_OUTCOMES).rows(named=True)
    return [
        {"text": rows["text"][row], "outcomes": outcomes[row], "similarity": float(cosines[row])} for row in nearest
    ]
