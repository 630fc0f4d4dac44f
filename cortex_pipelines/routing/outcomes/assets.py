"""Outcome predictors and their evaluation in the asset graph."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic

import polars as pl

from cortex_pipelines.coordination.settings import CoordinationSettings
from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.jsonl import write_json
from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.outcomes.evaluation import outcome_metrics, outcome_report, score_predictions
from cortex_pipelines.routing.outcomes.predictors import build_predictors, save_predictors
from cortex_pipelines.routing.settings import PredictorSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS, PREDICTIONS
from cortex_pipelines.statistics.leaderboard import leaderboard_table
from cortex_pipelines.versioning import versioned_asset
from cortex_pipelines.versioning.peak_memory import observed_cost


@versioned_asset(tables=(PREDICTED_TARGETS, PREDICTIONS), partitioned=False, determinism="machine")
def outcome_predictors(
    coordination_tables: Path, predictors: PredictorSettings, out: Path, observe: Callable[[str, float], None]
) -> dict[str, pl.DataFrame]:
    """Predict success, duration, tokens and complexity of tasks; evaluated on the latest."""
    began = monotonic()
    decisions, outcomes, features = (table.read(coordination_tables) for table in (DECISIONS, OUTCOMES, FEATURES))
    rows = attempts(decisions, outcomes, features, predictors.complexity_words)
    models, tables = build_predictors(rows, predictors, cost=partial(observed_cost, observe))
    save_predictors(models, out)
    observe("train_seconds", monotonic() - began)
    return tables


@versioned_asset(tables=(LEADERBOARD,), partitioned=False, determinism="machine")
def outcome_evaluation(
    outcome_predictors: Path,
    predictors: PredictorSettings,
    evaluation: EvaluationSettings,
    coordination: CoordinationSettings,
    out: Path,
) -> dict[str, pl.DataFrame]:
    """Compare the candidates for each outcome on later tasks, and adopt one of each."""
    targets = PREDICTED_TARGETS.read(outcome_predictors)
    scores = score_predictions(PREDICTIONS.read(outcome_predictors), evaluation, predictors.coverage)
    write_json(out / "metrics.json", outcome_metrics(scores, coordination.sample))
    report = outcome_report(targets, scores, predictors.coverage, coordination.sample)
    (out / "report.html").write_text(report, encoding="utf-8")
    return {LEADERBOARD.name: leaderboard_table(score.row for score in scores)}
