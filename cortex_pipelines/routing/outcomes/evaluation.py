"""Score the outcome predictors and their baseline on later tasks, and report it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.pages import SAMPLE, render
from cortex_pipelines.routing.selection.ensemble import expected_calibration_error
from cortex_pipelines.statistics.intervals import Interval, paired_bootstrap, wilson

BASELINE = "constant"


@dataclass(frozen=True)
class CandidateScore:
    """Score of one model for one target on the later tasks.

    ``loss`` is the Brier score of a probability, else the absolute error (of the logarithm where the target varies by
    factors); ``gain`` the loss of the plainest model less its own. ``coverage`` and ``width`` of intervals are None
    for a probability, ``calibration`` (ECE before and after) and ``auroc`` for an amount.
    """

    target: str
    candidate: str
    chosen: bool
    items: int
    loss: float
    gain: Interval
    coverage: Interval | None = None
    width: float | None = None
    calibration: tuple[float, float] | None = None
    auroc: float | None = None


def score_predictions(predictions: pl.DataFrame, settings: EvaluationSettings) -> list[CandidateScore]:
    scores = []
    for (target,), target_rows in predictions.group_by("target", maintain_order=True):
        baseline_loss = target_rows.filter(pl.col("model") == BASELINE).sort("attempt_id")["loss"].to_numpy()
        for (candidate,), unsorted in target_rows.group_by("model", maintain_order=True):
            rows = unsorted.sort("attempt_id")
            gain = paired_bootstrap(
                (baseline_loss - rows["loss"].to_numpy()).tolist(),
                clusters=rows["cluster"].to_list(),
                **settings.bootstrap,
            )
            scores.append(_score(str(target), str(candidate), rows, gain, settings.confidence))
    return scores


def _score(target: str, candidate: str, rows: pl.DataFrame, gain: Interval, confidence: float) -> CandidateScore:
    from sklearn.metrics import roc_auc_score

    loss = float(rows["loss"].to_numpy().mean())
    score = CandidateScore(target, candidate, bool(rows["chosen"].all()), rows.height, loss, gain)
    actual = rows["actual"]
    if rows["low"].null_count() == 0:
        covered = int(((actual >= rows["low"]) & (actual <= rows["high"])).sum())
        width = float(np.median((rows["high"] - rows["low"]).to_numpy()))
        return replace(score, coverage=wilson(covered, rows.height, confidence), width=width)
    before, after = (
        expected_calibration_error(rows[column].to_list(), actual.to_list()) for column in ("uncalibrated", "predicted")
    )
    several = actual.n_unique() > 1
    auroc = float(roc_auc_score(actual.to_numpy(), rows["predicted"].to_numpy())) if several else None
    return replace(score, calibration=(before, after), auroc=auroc)


def outcome_metrics(scores: list[CandidateScore], sample: bool) -> dict[str, float]:
    """Metrics of the selected models; ``<target>_gain`` is over the simplest."""
    metrics = {"hand_written_sample": float(sample)}
    plain = {score.target: score.loss for score in scores if score.candidate == BASELINE}
    for score in scores:
        if not score.chosen:
            continue
        name = score.target
        metrics |= {
            f"{name}_items": float(score.items),
            f"{name}_loss": score.loss,
            f"{name}_baseline_loss": plain[name],
            **score.gain.as_metrics(f"{name}_gain"),
        }
        if score.coverage is not None:
            metrics |= score.coverage.as_metrics(f"{name}_coverage")
        if score.calibration is not None:
            metrics |= {f"{name}_ece": score.calibration[1]}
        if score.auroc is not None:
            metrics |= {f"{name}_auroc": score.auroc}
    return metrics


_TEMPLATE = Path(__file__).parent / "report.html"
_WORDS = {"constant": "the same for all", "master": "by master", "linear": "linear"}


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
        "model": _WORDS[score.candidate] + (" (used)" if score.chosen else ""),
        "loss": f"{score.loss:.4f}",
        "gain over the plainest (interval)": f"{score.gain:.3f}",
    }
    if score.calibration is None:
        return row | {"held by the interval": f"{score.coverage:.3f}", "its median width": f"{score.width:.4g}"}
    before, after = score.calibration
    auroc = "all went alike" if score.auroc is None else f"{score.auroc:.3f}"
    return row | {"ECE": f"{after:.3f} (before calibration {before:.3f})", "AUROC": auroc}


def _verdict(scores: list[CandidateScore]) -> str:
    selected = next(score for score in scores if score.chosen)
    if selected.candidate == BASELINE:
        return "Nothing earned its place over the plainest model, so that one is used."
    if selected.gain.low > 0:
        return f"'{selected.candidate}' is better than the plainest model on the later tasks."
    if selected.gain.high < 0:
        return f"'{selected.candidate}' LOSES against the plainest model on the later tasks."
    return f"Whether '{selected.candidate}' beats the simplest model cannot be told from these."
