"""Candidate models of a target, simplest first: constant, by master, linear."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from cortex_pipelines.routing.outcomes.encoding import Columns, Encoding
from cortex_pipelines.routing.outcomes.settings import PredictorSettings

Kind = Literal["probability", "amount"]
RUNGS = ("constant", "master", "linear")


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


FitModel = Callable[[pl.DataFrame, np.ndarray], FittedModel]
"""Fits a model to training tasks and their values."""


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
