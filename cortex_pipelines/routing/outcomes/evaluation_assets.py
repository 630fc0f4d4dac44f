"""Evaluation of the outcome predictors in the asset graph."""

import json
from pathlib import Path

import polars as pl

from cortex_pipelines.coordination.logs import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.routing.outcomes.evaluation_report import outcome_report
from cortex_pipelines.routing.outcomes.evaluation_scores import outcome_metrics, score_predictions
from cortex_pipelines.routing.outcomes.settings import PredictorSettings
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS, PREDICTIONS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(partitioned=False, determinism="machine")
def outcome_evaluation(
    outcome_predictors: Path,
    predictors: PredictorSettings,
    evaluation: EvaluationSettings,
    coordination: CoordinationSettings,
    out: Path,
) -> None:
    """Compare each outcome predictor with the simplest model on later tasks."""
    targets = pl.read_parquet(outcome_predictors / f"{PREDICTED_TARGETS.name}.parquet")
    predictions = pl.read_parquet(outcome_predictors / f"{PREDICTIONS.name}.parquet")
    scores = score_predictions(predictions, evaluation)
    metrics = outcome_metrics(scores, coordination.sample)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    report = outcome_report(targets, scores, predictors.coverage, coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
