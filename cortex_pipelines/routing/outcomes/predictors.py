"""Predictors of all targets, evaluated on later tasks and saved as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import TypeAdapter, ValidationError

from cortex_pipelines.routing.outcomes.encoding import COLUMNS, Columns
from cortex_pipelines.routing.outcomes.training import (
    TARGETS,
    PredictionTarget,
    Predictor,
    TrainedCandidates,
    losses,
    scaled,
    train,
)
from cortex_pipelines.routing.settings import PredictorSettings
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS, PREDICTIONS

FILE = "predictors.json"


class PredictorError(ValueError):
    """A folder holds no predictors."""


class OutcomePredictors:
    def __init__(self, predictors: Mapping[str, Predictor]) -> None:
        self.predictors = dict(predictors)

    @classmethod
    def load(cls, folder: Path) -> "OutcomePredictors":
        try:
            stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(TypeAdapter(dict[str, Predictor]).validate_python(stored))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            location = ".".join(map(str, first["loc"])) or "all of it"
            raise _missing(folder, f"{FILE}: {location}: {first['msg']}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise _missing(folder, error) from error

    def save(self, folder: Path) -> None:
        content = {name: asdict(value) for name, value in sorted(self.predictors.items())}
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    def predict(self, features: pl.DataFrame) -> pl.DataFrame:
        """One row a task: a calibrated probability or median per target, and ``_low`` and ``_high`` of an amount."""
        columns: dict[str, np.ndarray] = {}
        for name, predictor in sorted(self.predictors.items()):
            predicted, low, high = predictor.predict(features)
            columns[name] = predicted
            if predictor.target.kind == "amount":
                columns |= {f"{name}_low": low, f"{name}_high": high}
        return pl.DataFrame(columns)


def _missing(folder: Path, reason: object) -> PredictorError:
    return PredictorError(f"{folder}: no outcome predictors ({reason}); run `cortex run outcome_predictors` first")


def build_predictors(
    attempts: pl.DataFrame, settings: PredictorSettings, columns: Columns = COLUMNS
) -> tuple[OutcomePredictors, dict[str, pl.DataFrame]]:
    """Train each target with enough tasks; evaluated on the latest, as ``attempts`` are in the order of time."""
    predictors: dict[str, Predictor] = {}
    targets, predictions = [], []
    for target in TARGETS:
        with_value = attempts.filter(pl.col(target.name).is_not_null())
        test = with_value.tail(round(with_value.height * settings.test_share))
        past = with_value.head(with_value.height - test.height)
        reason = _too_few(target, past, with_value.height, settings)
        trained = None if reason else train(past, target, columns, settings)
        targets.append(_target_row(target, trained, past.height, test.height, reason))
        if trained is not None:
            predictors[target.name] = trained.predictors[trained.chosen]
            predictions += _prediction_rows(target, trained, test)
    tables = {
        PREDICTED_TARGETS.name: PREDICTED_TARGETS.frame(targets),
        PREDICTIONS.name: PREDICTIONS.frame(predictions),
    }
    return OutcomePredictors(predictors), tables


def _too_few(target: PredictionTarget, past: pl.DataFrame, known_count: int, settings: PredictorSettings) -> str | None:
    if known_count < settings.min_items:
        return (
            f"{known_count} tasks have a known {target.name}; at least {settings.min_items} "
            "(predictors.min_items) are needed"
        )
    if target.kind == "probability":
        succeeded = int(past[target.name].sum())
        fewest = min(succeeded, past.height - succeeded)
        if fewest < settings.min_of_each:
            return (
                f"of the {past.height} earlier tasks {succeeded} succeeded; at least "
                f"{settings.min_of_each} (predictors.min_of_each) that succeeded, and that "
                "failed, are needed"
            )
    return None


def _target_row(
    target: PredictionTarget, trained: TrainedCandidates | None, past: int, test: int, reason: str | None
) -> dict[str, Any]:
    return {
        "target": target.name,
        "unit": target.unit,
        "by_factors": target.by_factors,
        "train_items": past,
        "test_items": test,
        "chosen": trained.chosen if trained else None,
        "fold_losses": json.dumps(trained.fold_loss, sort_keys=True) if trained else None,
        "left_out": reason,
    }


def _prediction_rows(target: PredictionTarget, trained: TrainedCandidates, test: pl.DataFrame) -> list[dict[str, Any]]:
    actual = test[target.name].to_numpy()
    scaled_actual = scaled(actual, target)
    rows = []
    for candidate, predictor in trained.predictors.items():
        predicted, low, high = predictor.predict(test)
        row_losses = losses(target.kind, scaled(predicted, target), scaled_actual)
        uncalibrated = predictor.uncalibrated(test)
        rows += [
            {
                "target": target.name,
                "model": candidate,
                "chosen": candidate == trained.chosen,
                "attempt_id": test["attempt_id"][row],
                "cluster": test["cluster"][row],
                "master": test["master"][row],
                "actual": float(actual[row]),
                "predicted": float(predicted[row]),
                "low": float(low[row]) if target.kind == "amount" else None,
                "high": float(high[row]) if target.kind == "amount" else None,
                "uncalibrated": float(uncalibrated[row]),
                "loss": float(row_losses[row]),
            }
            for row in range(test.height)
        ]
    return rows
