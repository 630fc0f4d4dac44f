"""Train, calibrate and choose the model of one target out of fold: constant, by master, or linear."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from cortex_pipelines.routing.outcomes.encoding import Columns, Encoding
from cortex_pipelines.routing.settings import PredictorSettings

Kind = Literal["probability", "amount"]


@dataclass(frozen=True)
class FittedModel:
    """A constant, a value by master, or a constant plus one weight per feature."""

    base: float
    by_master: dict[str, float]
    encoding: Encoding | None
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.encoding is not None and len(self.weights) != self.encoding.width:
            raise ValueError("a model needs one weight per feature")

    def raw(self, rows: pl.DataFrame) -> np.ndarray:
        """One prediction per task: log-odds of a probability, else the value."""
        if self.encoding is not None:
            added: np.ndarray = self.encoding.matrix(rows) @ np.array(self.weights)
            return self.base + added
        if not self.by_master:
            return np.full(rows.height, self.base)
        return np.array([self.by_master.get(name, self.base) for name in rows["master"].to_list()])


FitModel = Callable[[pl.DataFrame, np.ndarray], FittedModel]  # fits a model to training tasks and their values


def candidate_models(kind: Kind, columns: Columns, settings: PredictorSettings) -> dict[str, list[FitModel]]:
    return {
        "constant": [lambda rows, values: FittedModel(_middle(kind, values), {}, None, ())],
        "master": [lambda rows, values: _by_master(kind, rows, values, settings.shrinkage)],
        "linear": [_linear(kind, columns, settings, strength) for strength in settings.strengths],
    }


def _middle(kind: Kind, values: np.ndarray) -> float:
    return float(values.mean() if kind == "probability" else np.median(values))


def _by_master(kind: Kind, rows: pl.DataFrame, values: np.ndarray, shrinkage: float) -> FittedModel:
    """Mean of each master, shrunk to the overall mean where tasks are few."""
    base = _middle(kind, values)
    masters = np.array(rows["master"].to_list())
    offsets = {}
    for master in sorted(set(masters.tolist())):
        master_values = values[masters == master]
        weight = len(master_values) / (len(master_values) + shrinkage)
        offsets[master] = weight * _middle(kind, master_values) + (1 - weight) * base
    return FittedModel(base, offsets, None, ())


def _linear(kind: Kind, columns: Columns, settings: PredictorSettings, strength: float) -> FitModel:
    def fit(rows: pl.DataFrame, values: np.ndarray) -> FittedModel:
        from sklearn.linear_model import LogisticRegression, Ridge

        encoding = Encoding.fit(rows, columns, settings.vocabulary, settings.min_documents)
        matrix = encoding.matrix(rows)
        model: Any
        if kind == "probability":
            model = LogisticRegression(C=1 / strength, max_iter=1000, tol=1e-6)
            model.fit(matrix, values > 0.5)
            return FittedModel(float(model.intercept_[0]), {}, encoding, tuple(model.coef_[0].tolist()))
        model = Ridge(alpha=strength, solver="sparse_cg", tol=1e-8)
        model.fit(matrix, values)
        return FittedModel(float(model.intercept_), {}, encoding, tuple(model.coef_.tolist()))

    return fit


def losses(kind: Kind, predicted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Squared error of a probability (Brier), absolute error of an amount, per task."""
    errors = predicted - values
    return np.asarray(errors**2 if kind == "probability" else np.abs(errors))


def select_model(candidates: Sequence[tuple[str, np.ndarray]], errors: float = 2.0) -> str:
    """A more complex model must lower the loss by more than its error.

    Two standard errors of the paired difference are a test at the level of 5 percent, about; more where items overlap.
    Candidates are ordered from the simplest, each with its losses on the same held-out items.
    """
    selected, selected_losses = candidates[0]
    for name, other in candidates[1:]:
        gains = selected_losses - other
        error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
        if gains.mean() > errors * error:
            selected, selected_losses = name, other
    return selected


@dataclass(frozen=True)
class PredictionTarget:
    """``by_factors``: it varies by factors, so that its logarithm is learnt."""

    name: str
    kind: Kind
    unit: str
    by_factors: bool


TARGETS = (
    PredictionTarget("success", "probability", "probability", by_factors=False),
    PredictionTarget("duration_seconds", "amount", "seconds", by_factors=True),
    PredictionTarget("tokens", "amount", "tokens", by_factors=True),
    PredictionTarget("complexity", "amount", "steps from low to high", by_factors=False),
    PredictionTarget("complexity_score", "amount", "points", by_factors=False),
)


@dataclass(frozen=True)
class Predictor:
    """A calibrated model of one target.

    Log-odds are multiplied by ``slope`` (Platt), then ``shift`` is added: to log-odds, or to an amount so that it is a
    median. ``reach`` is half the width of an amount's interval, in the scale in which it is learnt.
    """

    target: PredictionTarget
    candidate: str
    model: FittedModel
    slope: float
    shift: float
    reach: float

    def uncalibrated(self, rows: pl.DataFrame) -> np.ndarray:
        return self._in_unit(self.model.raw(rows))

    def predict(self, rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Prediction and interval; all three are equal for a probability."""
        raw = self.model.raw(rows)
        if self.target.kind == "probability":
            middle = self._in_unit(self.slope * raw + self.shift)
            return middle, middle, middle
        middle = raw + self.shift
        low, predicted, high = (self._in_unit(v) for v in (middle - self.reach, middle, middle + self.reach))
        return predicted, low, high

    def _in_unit(self, raw: np.ndarray) -> np.ndarray:
        if self.target.kind == "probability":
            return _sigmoid(raw) if self.candidate == "linear" else np.clip(raw, 0.0, 1.0)
        return np.maximum(np.expm1(raw), 0.0) if self.target.by_factors else raw


@dataclass(frozen=True)
class TrainedCandidates:
    predictors: dict[str, Predictor]
    chosen: str
    fold_loss: dict[str, float]


def train(
    rows: pl.DataFrame, target: PredictionTarget, columns: Columns, settings: PredictorSettings
) -> TrainedCandidates:
    """Train, calibrate and choose on past tasks.

    Calibration and choice use each task's prediction by models that were trained without its fold (cross-conformal:
    Vovk 2015), so no task is lost to them.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):  # one thread: sums do not depend on the machine's cores
        values = scaled(rows[target.name].to_numpy(), target)
        digests = (hashlib.sha256(f"{settings.seed}\n{cluster}".encode()).digest() for cluster in rows["cluster"])
        fold = np.array([int.from_bytes(digest[:8], "big") % settings.folds for digest in digests])
        predictors, fold_losses = {}, []
        for candidate, candidates in candidate_models(target.kind, columns, settings).items():
            unseen = [_out_of_fold(rows, values, fold, fit) for fit in candidates]
            best = int(np.argmin([_loss(target, candidate, raw, values).mean() for raw in unseen]))
            slope, shift, reach = _calibration(target, candidate, unseen[best], values, settings)
            model = candidates[best](rows, values)
            predictors[candidate] = Predictor(target, candidate, model, slope, shift, reach)
            calibrated = slope * unseen[best] + shift
            fold_losses.append((candidate, _loss(target, candidate, calibrated, values)))
    return TrainedCandidates(
        predictors, select_model(fold_losses), {candidate: float(loss.mean()) for candidate, loss in fold_losses}
    )


def scaled(values: np.ndarray, target: PredictionTarget) -> np.ndarray:
    scaled_values: np.ndarray = np.log1p(values) if target.by_factors else values.astype(np.float64)
    return scaled_values


def _loss(target: PredictionTarget, candidate: str, raw: np.ndarray, values: np.ndarray) -> np.ndarray:
    predicted = _sigmoid(raw) if target.kind == "probability" and candidate == "linear" else raw
    return losses(target.kind, predicted, values)


def _out_of_fold(rows: pl.DataFrame, values: np.ndarray, fold: np.ndarray, fit: FitModel) -> np.ndarray:
    predicted = np.zeros(len(values))
    for number in np.unique(fold):
        in_fold = fold == number
        if in_fold.all() or _lacks_class(values[~in_fold], values):
            predicted[in_fold] = fit(rows, values).raw(rows.filter(pl.Series(in_fold)))
            continue
        model = fit(rows.filter(pl.Series(~in_fold)), values[~in_fold])
        predicted[in_fold] = model.raw(rows.filter(pl.Series(in_fold)))
    return predicted


def _lacks_class(subset: np.ndarray, values: np.ndarray) -> bool:
    return set(np.unique(values)) == {0.0, 1.0} and len(np.unique(subset)) < 2


def _calibration(
    target: PredictionTarget, candidate: str, raw: np.ndarray, values: np.ndarray, settings: PredictorSettings
) -> tuple[float, float, float]:
    if target.kind == "probability":
        return (*_platt(raw, values), 0.0) if candidate == "linear" else (1.0, 0.0, 0.0)
    shift = float(np.median(values - raw))
    return 1.0, shift, conformal_reach(np.abs(values - raw - shift), settings.coverage)


def conformal_reach(errors: np.ndarray, coverage: float) -> float:
    """Conformal bound: the error of rank ``ceil((n + 1) * coverage)``, or the largest where errors are too few."""
    rank = min(len(errors), math.ceil((len(errors) + 1) * coverage))
    return float(np.sort(errors)[rank - 1])


def _platt(raw: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Slope and shift of Platt scaling (Platt 1999).

    The targets are drawn from 0 and 1 as Platt does, so that few failures do not give certainty.
    """
    from scipy.optimize import minimize

    positive, negative = values.sum(), (1 - values).sum()
    targets = np.where(values > 0.5, (positive + 1) / (positive + 2), 1 / (negative + 2))

    def loss(parameters: Sequence[float]) -> float:
        odds = parameters[0] * raw + parameters[1]
        return float((np.logaddexp(0.0, odds) - targets * odds).mean())

    slope, shift = minimize(loss, [1.0, 0.0], method="BFGS").x
    return float(slope), float(shift)


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -500, 500))))
