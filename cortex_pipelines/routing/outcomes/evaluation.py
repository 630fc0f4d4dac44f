"""Score the outcome predictors and their baseline on later tasks, and report it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from cortex_pipelines.evaluation.settings import EvaluationSettings
from cortex_pipelines.pages import SAMPLE, heading, page, paragraph, table
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
    coverage: Interval | None
    width: float | None
    calibration: tuple[float, float] | None
    auroc: float | None


def score_predictions(predictions: pl.DataFrame, settings: EvaluationSettings) -> list[CandidateScore]:
    return list(_scores(predictions, settings))


def _scores(predictions: pl.DataFrame, settings: EvaluationSettings) -> Iterator[CandidateScore]:
    for (target,), target_rows in predictions.group_by("target", maintain_order=True):
        baseline_loss = target_rows.filter(pl.col("model") == BASELINE).sort("attempt_id")["loss"].to_numpy()
        for (candidate,), rows in target_rows.group_by("model", maintain_order=True):
            by_attempt = rows.sort("attempt_id")
            gain = paired_bootstrap(
                (baseline_loss - by_attempt["loss"].to_numpy()).tolist(),
                clusters=by_attempt["cluster"].to_list(),
                **settings.bootstrap,
            )
            yield _score(str(target), str(candidate), by_attempt, gain, settings.confidence)


def _score(target: str, candidate: str, rows: pl.DataFrame, gain: Interval, confidence: float) -> CandidateScore:
    amount = rows["low"].null_count() == 0
    covered = (rows["actual"] >= rows["low"]) & (rows["actual"] <= rows["high"])
    return CandidateScore(
        target=target,
        candidate=candidate,
        chosen=bool(rows["chosen"].all()),
        items=rows.height,
        loss=float(rows["loss"].to_numpy().mean()),
        gain=gain,
        coverage=wilson(int(covered.sum()), rows.height, confidence) if amount else None,
        width=float(np.median((rows["high"] - rows["low"]).to_numpy())) if amount else None,
        calibration=None if amount else (_ece(rows, "uncalibrated"), _ece(rows, "predicted")),
        auroc=None if amount else _auroc(rows),
    )


def _ece(rows: pl.DataFrame, column: str) -> float:
    return expected_calibration_error(rows[column].to_list(), rows["actual"].to_list())


def _auroc(rows: pl.DataFrame) -> float | None:
    from sklearn.metrics import roc_auc_score

    if rows["actual"].n_unique() < 2:
        return None
    return float(roc_auc_score(rows["actual"].to_numpy(), rows["predicted"].to_numpy()))


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


_HOW = (
    "Every model was trained on the earlier tasks and meets the later ones here for the first "
    "time. The plainest says the same of all tasks: the base rate, or the median. 'master' says "
    "what is usual at the master, 'linear' adds up words, record of the master and what else was "
    "known before. Which one is used was decided on folds of the earlier tasks, not here."
)
_WORDS = {"constant": "the same for all", "master": "by master", "linear": "linear"}


def outcome_report(targets: pl.DataFrame, scores: list[CandidateScore], coverage: float, sample: bool) -> str:
    parts = [paragraph(SAMPLE, warning=True)] if sample else []
    parts.append(paragraph(_HOW))
    for row in targets.iter_rows(named=True):
        target_scores = [score for score in scores if score.target == row["target"]]
        parts.append(heading(row["target"]))
        parts += _target(row["left_out"], target_scores, coverage, by_factors=row["by_factors"])
    return page("Outcomes of tasks, before they are sent", parts)


def _target(left_out: str | None, scores: list[CandidateScore], coverage: float, *, by_factors: bool) -> list[str]:
    if left_out is not None:
        return [paragraph(f"Not predicted: {left_out}.")]
    if not scores:
        return [paragraph("No later task has a known value.")]
    head, rows = ["model", "loss", "gain over the plainest (interval)"], []
    loss = "Loss: mean squared error of the probability (Brier)."
    amount = scores[0].coverage is not None
    if amount:
        scale = "of the logarithm" if by_factors else "in its unit"
        loss = f"Loss: mean absolute error {scale}. Intervals are made to hold {coverage:.0%}."
    head += ["held by the interval", "its median width"] if amount else ["ECE", "AUROC"]
    for score in scores:
        row = [_WORDS[score.candidate] + (" (used)" if score.chosen else ""), f"{score.loss:.4f}", f"{score.gain:.3f}"]
        if score.calibration is None:
            rows.append([*row, f"{score.coverage:.3f}", f"{score.width:.4g}"])
            continue
        before, after = score.calibration
        auroc = "all went alike" if score.auroc is None else f"{score.auroc:.3f}"
        rows.append([*row, f"{after:.3f} (before calibration {before:.3f})", auroc])
    items = paragraph(f"{scores[0].items} later tasks. {loss}")
    return [items, table(head, rows), paragraph(_verdict(scores))]


def _verdict(scores: list[CandidateScore]) -> str:
    selected = next(score for score in scores if score.chosen)
    if selected.candidate == BASELINE:
        return "Nothing earned its place over the plainest model, so that one is used."
    if selected.gain.low > 0:
        return f"'{selected.candidate}' is better than the plainest model on the later tasks."
    if selected.gain.high < 0:
        return f"'{selected.candidate}' LOSES against the plainest model on the later tasks."
    return f"Whether '{selected.candidate}' beats the simplest model cannot be told from these."
