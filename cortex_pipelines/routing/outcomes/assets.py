"""Asset of outcome predictors."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import polars as pl

from cortex_pipelines.routing.outcomes.attempts import attempts
from cortex_pipelines.routing.outcomes.predictors import build_predictors
from cortex_pipelines.routing.outcomes.settings import PredictorSettings
from cortex_pipelines.schemas.coordination import DECISIONS, FEATURES, OUTCOMES
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS, PREDICTIONS
from cortex_pipelines.versioning import versioned_asset


@versioned_asset(tables=(PREDICTED_TARGETS, PREDICTIONS), partitioned=False, determinism="machine")
def outcome_predictors(
    coordination_tables: Path, predictors: PredictorSettings, out: Path, observe: Callable[[str, float], None]
) -> dict[str, pl.DataFrame]:
    """Predict success, duration, tokens and complexity of tasks; evaluated on the latest."""
    began = monotonic()
    decisions, outcomes, features = (
        pl.read_parquet(coordination_tables / f"{table.name}.parquet") for table in (DECISIONS, OUTCOMES, FEATURES)
    )
    rows = attempts(decisions, outcomes, features, predictors)
    models, tables = build_predictors(rows, predictors)
    models.save(out)
    observe("train_seconds", monotonic() - began)
    return tables
