"""Score the candidates for each outcome on later tasks, adopt one, and report it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.pages import SAMPLE, render
from cortex_pipelines.routing.outcomes.training import BASELINE, TARGETS
from cortex_pipelines.routing.selection.ensemble import expected_calibration_error
from cortex_pipelines.schemas.learned import MIN_ITEMS
from cortex_pipelines.statistics.intervals import Interval, wilson
from cortex_pipelines.statistics.leaderboard import leaderboard_rows

ASSET = "outcome_predictors"


@dataclass(frozen=True)
class CandidateScore:
    """Score of one candidate for one target on the later tasks.

    ``row`` is its row of the leaderboard. ``measures`` are the other usual ones: of a probability ``auroc`` (without
    one class), ``ece``, ``ece_uncalibrated``, and ``precision``, ``recall`` and ``f1`` of success at a probability of
    a half; of an amount, in its unit, ``mae``, ``rmse``, ``pinball`` (mean of the three quantiles) and ``width``, the
    median one of the intervals, whose ``coverage`` is None for a probability.
    """

    target: str
    row: dict[str, Any]
    measures: dict[str, float] = field(default_factory=dict)
    coverage: Interval | None = None

    @property
    def candidate(self) -> str:
        return str(self.row["candidate"])

    @property
    def adopted(self) -> bool:
        return bool(self.row["adopted"])

    @property
    def items(self) -> int:
        return int(self.row["items"])


def score_predictions(predictions: pl.DataFrame, settings: EvaluationSettings, share: float) -> list[CandidateScore]:
    """``share``: nominal coverage of the intervals."""
    scores = []
    for target in TARGETS:
        by_candidate = {
            str(name): rows.sort("attempt_id")
            for (name,), rows in predictions.filter(pl.col("target") == target.name).group_by(
                "model", maintain_order=True
            )
        }
        if not by_candidate:
            continue
        by_candidate = {BASELINE: by_candidate.pop(BASELINE), **by_candidate}
        rows = leaderboard_rows(
            ASSET,
            target.task,
            target.loss,
            {name: each["loss"].to_list() for name, each in by_candidate.items()},
            higher_is_better=False,
            clusters=by_candidate[BASELINE]["cluster"].to_list(),
            **settings.bootstrap,
        )
        for row, frame in zip(rows, by_candidate.values(), strict=True):
            if target.kind == "probability":
                scores.append(CandidateScore(target.name, row, _probability_measures(frame)))
                continue
            actual = frame["actual"]
            covered = int(((actual >= frame["low"]) & (actual <= frame["high"])).sum())
            coverage = wilson(covered, frame.height, settings.confidence)
            scores.append(CandidateScore(target.name, row, _amount_measures(frame, share), coverage))
    return scores


def _probability_measures(rows: pl.DataFrame) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    actual, predicted = rows["actual"].to_numpy(), rows["predicted"].to_numpy()
    precision, recall, f1, _ = precision_recall_fscore_support(
        actual, predicted >= 0.5, average="binary", zero_division=0.0
    )
    before, after = (
        expected_calibration_error(rows[column].to_list(), actual.tolist()) for column in ("uncalibrated", "predicted")
    )
    measures = {"precision": precision, "recall": recall, "f1": f1, "ece": after, "ece_uncalibrated": before}
    if len(set(actual)) > 1:
        measures["auroc"] = roc_auc_score(actual, predicted)
    return {name: float(value) for name, value in measures.items()}


def _amount_measures(rows: pl.DataFrame, share: float) -> dict[str, float]:
    actual, low, middle, high = (rows[name].to_numpy() for name in ("actual", "low", "predicted", "high"))
    errors = actual - middle
    quantiles = ((low, (1 - share) / 2), (middle, 0.5), (high, (1 + share) / 2))
    pinball = np.mean([np.maximum(q * (actual - value), (q - 1) * (actual - value)) for value, q in quantiles])
    return {
        "mae": float(np.abs(errors).mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "pinball": float(pinball),
        "width": float(np.median(high - low)),
    }


def outcome_metrics(scores: list[CandidateScore], sample: bool) -> dict[str, float]:
    """Metrics of the adopted candidates; ``<target>_gain`` is over the simplest."""
    metrics = {"hand_written_sample": float(sample)}
    plain = {score.target: score.row["value"] for score in scores if score.candidate == BASELINE}
    for score in scores:
        if not score.adopted:
            continue
        name, row = score.target, score.row
        gain = {"gain": "difference", "gain_low": "difference_low", "gain_high": "difference_high"}
        metrics |= {
            f"{name}_items": float(score.items),
            f"{name}_loss": row["value"],
            f"{name}_baseline_loss": plain[name],
            **{f"{name}_{key}": row[column] for key, column in gain.items()},
            **{f"{name}_{measure}": value for measure, value in score.measures.items()},
        }
        if score.coverage is not None:
            metrics |= score.coverage.as_metrics(f"{name}_coverage")
    return metrics


_TEMPLATE = Path(__file__).parent / "report.html"


def outcome_report(targets: pl.DataFrame, scores: list[CandidateScore], coverage: float, sample: bool) -> str:
    rows = []
    for target in targets.iter_rows(named=True):
        target_scores = [score for score in scores if score.target == target["target"]]
        row = {"scores": [_row(score) for score in target_scores], "items": 0, "verdict": ""}
        if target_scores:
            row |= {"items": target_scores[0].items, "verdict": _verdict(target_scores)}
        rows.append(target | row)
    title = "Outcomes of tasks, before they are sent"
    return render(_TEMPLATE, title, sample=SAMPLE if sample else "", targets=rows, coverage=f"{coverage:.0%}")


def _row(score: CandidateScore) -> dict[str, str]:
    row = {
        "candidate": score.candidate.replace("_", " ") + (" (adopted)" if score.adopted else ""),
        "loss": f"{score.row['value']:.4f}",
        "gain over the mean (interval)": "{difference:.3f} ({difference_low:.3f} to {difference_high:.3f})".format(
            **score.row
        ),
    }
    if score.coverage is not None:
        row["held by the interval"] = f"{score.coverage:.3f}"
    return row | {name.replace("_", " "): f"{value:.4g}" for name, value in score.measures.items()}


def _verdict(scores: list[CandidateScore]) -> str:
    adopted = next(score for score in scores if score.adopted)
    if scores[0].items < MIN_ITEMS:
        return f"{scores[0].items} tasks are too few to compare by ({MIN_ITEMS} are needed); the mean is used."
    if adopted.candidate == BASELINE:
        return "No candidate is shown to be better than the mean, so that is used."
    return f"'{adopted.candidate}' is better than the mean on the later tasks, and is used."
