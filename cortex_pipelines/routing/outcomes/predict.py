"""Predict a task's outcome at each master before it is sent."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.coordination.settings import LogTableSettings
from cortex_pipelines.coordination.tables.decisions import attempt_id
from cortex_pipelines.coordination.tables.features import features
from cortex_pipelines.routing.outcomes.predictors import PredictorError, load_predictors, predict_outcomes
from cortex_pipelines.routing.outcomes.training import BASELINE, Predictor
from cortex_pipelines.schemas.coordination import DECISIONS, OUTCOMES
from cortex_pipelines.schemas.learned import LEADERBOARD
from cortex_pipelines.schemas.routing import PREDICTED_TARGETS

_TASK_ID = "asked before it is sent"  # placeholder for the task's id that no log uses


def expect(
    text: str,
    master: str | None,
    when: datetime,
    tables: Path,
    predictors: Path,
    evaluation: Path,
    settings: LogTableSettings,
) -> list[dict[str, Any]]:
    """Predict success, duration, tokens and complexity of a task, at one master or all that the logs know.

    One object a master, by the adopted candidate of each target: ``success`` (calibrated probability), and of each
    amount ``median``, ``low`` and ``high``; reasons for missing ones under ``left_out``. Raises ``PredictorError``.
    """
    models = adopted_models(predictors, evaluation)
    rows = asked_rows(text, master, when, tables, settings)
    predictions = predict_outcomes(models, rows).with_columns(rows["master"])
    missing = read_table(predictors, PREDICTED_TARGETS.name).filter(pl.col("left_out").is_not_null())
    left_out = dict(missing.select("target", "left_out").iter_rows())
    used = {name: predictor.candidate for name, predictor in models.items()}
    answers = []
    for row in predictions.iter_rows(named=True):
        answer: dict[str, Any] = {"master": row["master"]}
        for name, predictor in models.items():
            answer[name] = row[name]
            if predictor.target.kind == "amount":
                interval = {"median": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
                answer[name] = interval | {"unit": predictor.target.unit}
        answers.append({**answer, "models": used, "left_out": left_out})
    return answers


def asked_rows(text: str, master: str | None, when: datetime, tables: Path, settings: LogTableSettings) -> pl.DataFrame:
    """Features of a task before it is sent, at one master or at all that the logs know. Raises ``PredictorError``."""
    decisions, outcomes = (read_table(tables, name) for name in (DECISIONS.name, OUTCOMES.name))
    known_masters = sorted({*decisions["master"].unique(), *outcomes["master"].drop_nulls().unique()})
    if master is not None and master not in known_masters:
        raise PredictorError(f"the logs have no master {master!r}; known masters: {', '.join(known_masters) or 'none'}")
    masters = known_masters if master is None else [master]
    # half a surrogate pair, as an argument may hold it, fits in no table
    clean = text.encode("utf-8", "replace").decode("utf-8")
    decided = {"task_id": _TASK_ID, "text": clean, "decided_at": when, "file": "", "byte_offset": 0, "test_row": False}
    decided = dict.fromkeys(decisions.columns) | decided | {"scored_masters": [], "scores": []}
    attempt_rows = [decided | {"attempt_id": attempt_id(_TASK_ID, clean, name), "master": name} for name in masters]
    # computed by the same code as the features of the logs
    all_features = features(
        pl.concat([decisions, pl.DataFrame(attempt_rows, schema=decisions.schema)]), outcomes, settings
    )
    return all_features.filter(pl.col("task_id") == _TASK_ID).sort("master")


_QUANTILES = {"p10": "low", "p50": "median", "p90": "high"}
_NOT_SHOWN = "no candidate is shown to beat the mean on later tasks; `cortex leaderboard` has the figures"


def shown_outcomes(expected: Mapping[str, Any]) -> dict[str, Any]:
    """One answer of ``expect`` without the targets for which the mean of all tasks is used.

    ``success``, ``duration_s`` and ``tokens`` with three quantiles, ``complexity`` (median); under ``left_out`` why the
    others are not predicted.
    """
    shown: dict[str, Any] = {}
    left_out = dict(expected["left_out"])
    for target, candidate in expected["models"].items():
        value, name = expected[target], target.replace("_seconds", "_s")
        if candidate == BASELINE:
            left_out[target] = _NOT_SHOWN
        elif target in ("duration_seconds", "tokens"):
            shown[name] = {quantile: value[end] for quantile, end in _QUANTILES.items()}
        else:
            shown[name] = value["median"] if isinstance(value, dict) else value
    return {**shown, "left_out": left_out}


def adopted_models(predictors: Path, evaluation: Path) -> dict[str, Predictor]:
    """The adopted candidate of each target. Raises ``PredictorError``."""
    rows = read_table(evaluation, LEADERBOARD.name).filter("adopted")
    adopted = dict(rows.select("task", "candidate").iter_rows())
    return {
        target: candidates[adopted.get(candidates[BASELINE].target.task, BASELINE)]
        for target, candidates in sorted(load_predictors(predictors).items())
    }


def read_table(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise PredictorError(f"no {path}; run `cortex run {folder.name} --upstream` first")
    return pl.read_parquet(path)
