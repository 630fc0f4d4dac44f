"""Train and calibrate the candidates for one target out of fold: mean, mean by master, linear, boosted trees."""

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from cortex_pipelines.routing.outcomes.encoding import Columns, Encoding
from cortex_pipelines.routing.settings import PredictorSettings

Kind = Literal["probability", "amount"]


@dataclass(frozen=True)
class FittedModel:
    """A constant, a value by master, a constant plus one weight per feature, or ``trees`` in LightGBM's text format."""

    base: float
    by_master: dict[str, float]
    encoding: Encoding | None
    weights: tuple[float, ...]
    trees: str = ""

    def __post_init__(self) -> None:
        if self.encoding is not None and not self.trees and len(self.weights) != self.encoding.width:
            raise ValueError("a model needs one weight per feature")

    def raw(self, rows: pl.DataFrame) -> np.ndarray:
        """One prediction per task: log-odds of a probability, else the value."""
        if self.encoding is not None and self.trees:
            from lightgbm import Booster

            booster = Booster(model_str=self.trees)
            return np.asarray(booster.predict(self.encoding.matrix(rows), raw_score=True, num_threads=1))
        if self.encoding is not None:
            added: np.ndarray = self.encoding.matrix(rows) @ np.array(self.weights)
            return self.base + added
        return np.array([self.by_master.get(name, self.base) for name in rows["master"].to_list()], dtype=np.float64)


FitModel = Callable[[pl.DataFrame, np.ndarray], FittedModel]  # fits a model to training tasks and their values


BASELINE = "mean"  # of all tasks; the median of an amount
LEARNED = ("linear", "lightgbm")
"""Candidates that read the task; of a probability they give the log-odds."""


def candidate_models(kind: Kind, columns: Columns, settings: PredictorSettings) -> dict[str, list[FitModel]]:
    """Candidates from the simplest, each with the settings that are compared out of fold."""

    def middle(values: np.ndarray) -> float:
        return float(values.mean() if kind == "probability" else np.median(values))

    def by_master(rows: pl.DataFrame, values: np.ndarray) -> FittedModel:
        """Mean of each master, shrunk to the overall mean where tasks are few."""
        base, masters, offsets = middle(values), np.array(rows["master"].to_list()), {}
        for master in sorted(set(masters.tolist())):
            master_values = values[masters == master]
            weight = len(master_values) / (len(master_values) + settings.shrinkage)
            offsets[master] = weight * middle(master_values) + (1 - weight) * base
        return FittedModel(base, offsets, None, ())

    return {
        BASELINE: [lambda rows, values: FittedModel(middle(values), {}, None, ())],
        "mean_by_master": [by_master],
        "linear": [_linear(kind, columns, settings, strength) for strength in settings.strengths],
        "lightgbm": [_boosted(kind, columns, settings, leaves) for leaves in settings.leaves],
    }


def _linear(kind: Kind, columns: Columns, settings: PredictorSettings, strength: float) -> FitModel:
    def fit(rows: pl.DataFrame, values: np.ndarray) -> FittedModel:
        from sklearn.linear_model import LogisticRegression, Ridge

        encoding = Encoding.fit(rows, columns, settings.vocabulary, settings.min_documents)
        model: Any
        if kind == "probability":
            model = LogisticRegression(C=1 / strength, max_iter=1000, tol=1e-6)
            model.fit(encoding.matrix(rows), values > 0.5)
            return FittedModel(float(model.intercept_[0]), {}, encoding, tuple(model.coef_[0].tolist()))
        model = Ridge(alpha=strength, solver="sparse_cg", tol=1e-8).fit(encoding.matrix(rows), values)
        return FittedModel(float(model.intercept_), {}, encoding, tuple(model.coef_.tolist()))

    return fit


def _boosted(kind: Kind, columns: Columns, settings: PredictorSettings, leaves: int) -> FitModel:
    def fit(rows: pl.DataFrame, values: np.ndarray) -> FittedModel:
        from lightgbm import Dataset, train

        encoding = Encoding.fit(rows, columns, settings.vocabulary, settings.min_documents)
        parameters = {
            "objective": "binary" if kind == "probability" else "quantile",
            "alpha": 0.5,
            "num_leaves": leaves,
            "learning_rate": settings.boosting_rate,
            "min_data_in_leaf": settings.leaf_tasks,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": settings.seed,
            "verbosity": -1,
        }
        booster = train(parameters, Dataset(encoding.matrix(rows), values), settings.boosting_rounds)
        return FittedModel(0.0, {}, encoding, (), booster.model_to_string())

    return fit


def losses(kind: Kind, predicted: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Squared error of a probability (Brier), absolute error of an amount, per task."""
    errors = predicted - values
    return np.asarray(errors**2 if kind == "probability" else np.abs(errors))


@dataclass(frozen=True)
class PredictionTarget:
    """``by_factors``: it varies by factors, so that its logarithm is learnt."""

    name: str
    kind: Kind
    unit: str
    by_factors: bool

    @property
    def task(self) -> str:
        """Its name in the leaderboard, without the unit."""
        return self.name.removesuffix("_seconds")

    @property
    def loss(self) -> str:
        if self.kind == "probability":
            return "Brier score"
        return f"absolute error, {'of the logarithm' if self.by_factors else self.unit}"

    def scaled(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(np.log1p(values) if self.by_factors else values.astype(np.float64))


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
        middle = self.slope * self.model.raw(rows) + self.shift
        low, predicted, high = (self._in_unit(v) for v in (middle - self.reach, middle, middle + self.reach))
        return predicted, low, high

    def _in_unit(self, raw: np.ndarray) -> np.ndarray:
        if self.target.kind == "probability":
            return _sigmoid(raw) if self.candidate in LEARNED else np.clip(raw, 0.0, 1.0)
        return np.maximum(np.expm1(raw), 0.0) if self.target.by_factors else raw


Cost = Callable[[str], AbstractContextManager[Any]]  # entered with a name around what is to be measured


def train(
    rows: pl.DataFrame,
    target: PredictionTarget,
    columns: Columns,
    settings: PredictorSettings,
    cost: Cost = nullcontext,
) -> tuple[dict[str, Predictor], dict[str, float]]:
    """Train and calibrate all candidates on past tasks: predictors, and each one's loss out of fold.

    Settings and calibration come from each task's prediction by models that were trained without its fold
    (cross-conformal: Vovk 2015), so no task is lost to them. ``cost`` is entered with ``task/candidate`` around the
    training of each.
    """
    from threadpoolctl import threadpool_limits

    def loss(candidate: str, raw: np.ndarray) -> np.ndarray:
        is_odds = target.kind == "probability" and candidate in LEARNED
        return losses(target.kind, _sigmoid(raw) if is_odds else raw, values)

    with threadpool_limits(limits=1):  # one thread: sums do not depend on the machine's cores
        values = target.scaled(rows[target.name].to_numpy())
        digests = (hashlib.sha256(f"{settings.seed}\n{cluster}".encode()).digest() for cluster in rows["cluster"])
        fold = np.array([int.from_bytes(digest[:8], "big") % settings.folds for digest in digests])
        predictors, fold_losses = {}, {}
        for candidate, candidates in candidate_models(target.kind, columns, settings).items():
            with cost(f"{target.task}/{candidate}"):
                out_of_fold = [_out_of_fold(rows, values, fold, fit) for fit in candidates]
                best = int(np.argmin([loss(candidate, raw).mean() for raw in out_of_fold]))
                model = candidates[best](rows, values)
            raw, slope, shift, reach = out_of_fold[best], 1.0, 0.0, 0.0
            if target.kind == "amount":
                shift = float(np.median(values - raw))
                reach = conformal_reach(np.abs(values - raw - shift), settings.coverage)
            elif candidate in LEARNED:
                slope, shift = platt(raw, values)
            predictors[candidate] = Predictor(target, candidate, model, slope, shift, reach)
            fold_losses[candidate] = float(loss(candidate, slope * raw + shift).mean())
    return predictors, fold_losses


def _out_of_fold(rows: pl.DataFrame, values: np.ndarray, fold: np.ndarray, fit: FitModel) -> np.ndarray:
    predicted = np.zeros(len(values))
    for number in np.unique(fold):
        in_fold = fold == number
        outside = ~in_fold
        lacks_class = set(np.unique(values)) == {0.0, 1.0} and len(np.unique(values[outside])) < 2
        if in_fold.all() or lacks_class:
            outside = np.ones_like(in_fold)
        model = fit(rows.filter(pl.Series(outside)), values[outside])
        predicted[in_fold] = model.raw(rows.filter(pl.Series(in_fold)))
    return predicted


def conformal_reach(errors: np.ndarray, coverage: float) -> float:
    """Conformal bound: the error of rank ``ceil((n + 1) * coverage)``, or the largest where errors are too few."""
    rank = min(len(errors), math.ceil((len(errors) + 1) * coverage))
    return float(np.sort(errors)[rank - 1])


def platt(raw: np.ndarray, values: np.ndarray) -> tuple[float, float]:
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


def somers_d(independent: np.ndarray, dependent: np.ndarray) -> float:
    """Somers' D of two columns that both have several values (Somers 1962).

    It is Kendall's tau-b, which takes n log n steps, with other pairs below the line: ``scipy.stats.somersd`` goes
    through a table of all distinct values, for hours if a few thousand tasks all have other durations.
    """
    from scipy.stats import kendalltau

    untied = [
        len(column) ** 2 - (np.unique(column, return_counts=True)[1] ** 2).sum() for column in (independent, dependent)
    ]
    return float(kendalltau(independent, dependent, method="asymptotic").statistic * math.sqrt(untied[1] / untied[0]))


_TELLS_ALL = 0.99
"""Rank correlation (Somers' D) with the outcome from which a column is not a feature but the answer."""
_IDENTIFIES = 0.5  # distinct values a task, from which a category names tasks rather than describing them


def without_leaks(rows: pl.DataFrame, target: PredictionTarget, columns: Columns) -> tuple[Columns, dict[str, str]]:
    """The columns that a model may read, and why each of the others may not.

    A column is left out if it tells the value almost alone, as only what is known afterwards does, or if its
    categories are identifiers.
    """
    values, leaks = rows[target.name].to_numpy(), {}
    for name in (*columns.numbers, *columns.amounts):
        known = rows[name].is_not_null().to_numpy()
        numbers = rows[name].cast(pl.Float64).to_numpy()[known]
        if len(set(numbers)) > 1 and len(set(values[known])) > 1 and known.sum() >= _FEWEST_KNOWN:
            order = somers_d(values[known], numbers)
            if abs(order) >= _TELLS_ALL:
                leaks[name] = f"tells {target.name} almost alone (Somers' D {order:.3f}): known only afterwards?"
    for name in columns.categories:
        distinct = rows[name].drop_nulls().n_unique()
        if distinct > max(_FEWEST_KNOWN, _IDENTIFIES * rows.height):
            leaks[name] = f"{distinct} values in {rows.height} tasks: an identifier"
    numbers, amounts, categories = (
        tuple(name for name in names if name not in leaks)
        for names in (columns.numbers, columns.amounts, columns.categories)
    )
    return Columns(numbers, amounts, categories, columns.text), leaks


_FEWEST_KNOWN = 20


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -500, 500))))
