"""HTML report of the outcome predictors' evaluation."""

import polars as pl

from cortex_pipelines.pages import SAMPLE, heading, page, paragraph, table
from cortex_pipelines.routing.outcomes.evaluation_scores import BASELINE, CandidateScore
from cortex_pipelines.statistics.intervals import Interval

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
    amount = scores[0].coverage is not None
    head += ["held by the interval", "its median width"] if amount else ["ECE", "AUROC"]
    for score in scores:
        mark = " (used)" if score.chosen else ""
        row = [_WORDS[score.candidate] + mark, f"{score.loss:.4f}", _span(score.gain)]
        rows.append([*row, *_amount(score)] if amount else [*row, *_probability(score)])
    return [
        paragraph(f"{scores[0].items} later tasks. {_loss_in_words(amount, by_factors, coverage)}"),
        table(head, rows),
        paragraph(_verdict(scores)),
    ]


def _loss_in_words(amount: bool, by_factors: bool, coverage: float) -> str:
    if not amount:
        return "Loss: mean squared error of the probability (Brier)."
    scale = "of the logarithm" if by_factors else "in its unit"
    return f"Loss: mean absolute error {scale}. Intervals are made to hold {coverage:.0%}."


def _amount(score: CandidateScore) -> list[str]:
    return [
        _span(score.coverage) if score.coverage is not None else "",
        f"{score.width:.4g}" if score.width is not None else "",
    ]


def _probability(score: CandidateScore) -> list[str]:
    before, after = score.calibration or (0.0, 0.0)
    return [
        f"{after:.3f} (before calibration {before:.3f})",
        "all went alike" if score.auroc is None else f"{score.auroc:.3f}",
    ]


def _verdict(scores: list[CandidateScore]) -> str:
    selected = next(score for score in scores if score.chosen)
    if selected.candidate == BASELINE:
        return "Nothing earned its place over the plainest model, so that one is used."
    if selected.gain.low > 0:
        return f"'{selected.candidate}' is better than the plainest model on the later tasks."
    if selected.gain.high < 0:
        return f"'{selected.candidate}' LOSES against the plainest model on the later tasks."
    return f"Whether '{selected.candidate}' beats the simplest model cannot be told from these."


def _span(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
