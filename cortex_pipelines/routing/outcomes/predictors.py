"""Predictors of all targets, evaluated on later tasks and saved as JSON."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from cortex_pipelines.routing.outcomes.encoding import COLUMNS, Columns
from cortex_pipelines.routing.outcomes.training import (
    TARGETS,
    Cost,
    PredictionTarget,
    Predictor,
    losses,
    train,
    without_leaks,
)
from cortex_pipelines.routing.settings import PredictorSettings
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS, PREDICTIONS

FILE = "predictors.json"
_NONE = "{}: no outcome predictors ({}); run `cortex run outcome_predictors --upstream` first"


class PredictorError(ValueError):
    """A folder holds no predictors."""


Predictors = Mapping[str, Mapping[str, Predictor]]
"""By target and candidate."""


def load_predictors(folder: Path) -> Predictors:
    try:
        stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, dict[str, Predictor]]).validate_python(stored)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        reason: object = f"{FILE}: {'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
        raise PredictorError(_NONE.format(folder, reason)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise PredictorError(_NONE.format(folder, error)) from error


def save_predictors(predictors: Predictors, folder: Path) -> None:
    content = {target: {name: asdict(each) for name, each in models.items()} for target, models in predictors.items()}
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def predict_outcomes(predictors: Mapping[str, Predictor], features: pl.DataFrame) -> pl.DataFrame:
    """One row a task: a calibrated probability or median per target, and ``_low`` and ``_high`` of an amount."""
    columns: dict[str, np.ndarray] = {}
    for name, predictor in sorted(predictors.items()):
        predicted, low, high = predictor.predict(features)
        columns[name] = predicted
        if predictor.target.kind == "amount":
            columns |= {f"{name}_low": low, f"{name}_high": high}
    return pl.DataFrame(columns)


def build_predictors(
    attempts: pl.DataFrame, settings: PredictorSettings, columns: Columns = COLUMNS, cost: Cost = nullcontext
) -> tuple[dict[str, dict[str, Predictor]], dict[str, pl.DataFrame]]:
    """Train each target with enough tasks; evaluated on the latest, as ``attempts`` are in the order of time."""
    predictors: dict[str, dict[str, Predictor]] = {}
    targets, predictions = [], []
    for target in TARGETS:
        with_value = attempts.filter(pl.col(target.name).is_not_null())
        test = with_value.tail(round(with_value.height * settings.test_share))
        past = with_value.head(with_value.height - test.height)
        row = {"target": target.name, "unit": target.unit, "by_factors": target.by_factors}
        row |= {"train_items": past.height, "test_items": test.height}
        row["leaks"] = []
        row["left_out"] = _too_few(target, past, with_value.height, settings)
        if row["left_out"] is None:
            allowed, leaks = without_leaks(past, target, columns)
            predictors[target.name], fold_losses = train(past, target, allowed, settings, cost)
            row |= {"fold_losses": json.dumps(fold_losses, sort_keys=True)}
            row["leaks"] = [f"{name}: {reason}" for name, reason in leaks.items()]
            for name, predictor in predictors[target.name].items():
                predictions += _prediction_rows(target, name, predictor, test)
        targets.append(row)
    return predictors, {
        PREDICTED_TARGETS.name: PREDICTED_TARGETS.frame(targets),
        PREDICTIONS.name: PREDICTIONS.frame(predictions),
    }


def _too_few(target: PredictionTarget, past: pl.DataFrame, known_count: int, settings: PredictorSettings) -> str | None:
    if known_count < settings.min_items:
        return (
            f"{known_count} tasks have a known {target.name}; at least {settings.min_items} "
            "(predictors.min_items) are needed"
        )
    if target.kind == "probability":
        succeeded = int(past[target.name].sum())
        if min(succeeded, past.height - succeeded) < settings.min_of_each:
            return (
                f"of the {past.height} earlier tasks {succeeded} succeeded; at least {settings.min_of_each} "
                "(predictors.min_of_each) that succeeded, and that failed, are needed"
            )
    return None


def _prediction_rows(
    target: PredictionTarget, model: str, predictor: Predictor, test: pl.DataFrame
) -> list[dict[str, Any]]:
    actual = test[target.name].to_numpy()
    predicted, low, high = predictor.predict(test)
    columns = test.select("attempt_id", "cluster", "master").with_columns(
        actual=actual,
        predicted=predicted,
        low=low if target.kind == "amount" else None,
        high=high if target.kind == "amount" else None,
        uncalibrated=predictor.uncalibrated(test),
        loss=losses(target.kind, target.scaled(predicted), target.scaled(actual)),
    )
    return [{"target": target.name, "model": model, **row} for row in columns.iter_rows(named=True)]
