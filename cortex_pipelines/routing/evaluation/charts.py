"""Self-contained HTML tables and SVG charts of the router's report."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.charts import COLOUR, chart
from cortex_pipelines.pages import figure, heading, paragraph, records, table
from cortex_pipelines.routing.evaluation.model_scores import CurvePoint, class_table, coverage_risk
from cortex_pipelines.routing.selection.calibration import reliability
from cortex_pipelines.statistics.intervals import Interval

_INCHES = 3.6
_CHANCES = {"p": "p_value", "p of loss": "p_loss", "p (Holm)": "p_corrected"}


def candidates_table(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        {
            "Candidate": str(step["model"]),
            "Accuracy": f"{step['accuracy']:.4f}",
            "Loss": f"{step['loss']:.4f}",
            "ECE": f"{step['ece']:.4f}",
            "Against": step["against"] or "",
            "Gained": step["gained"] if step["against"] else "",
            "Lost": step["lost"] if step["against"] else "",
            **{words: "" if step[p] is None else f"{step[p]:.3g}" for words, p in _CHANCES.items()},
            "Adopted": "yes" if step["adopted"] else "no",
        }
        for step in steps
    ]
    text = (
        "Out of fold, on training tasks; the fold that the network's settings were chosen on is "
        "left out. The next candidate to be adopted is the plainest that gets more tasks right "
        "than the one adopted before it and is better by more than chance: by McNemar's exact "
        "test of who is right, or by a paired test of the loss, corrected for both tests of all "
        "candidates compared with it (Holm). The plain average is there to be beaten."
    )
    return [heading("How the model was chosen"), paragraph(text), records(rows)]


def voters_table(metrics: Mapping[str, float]) -> list[str]:
    rows = [
        (name.removeprefix("voter_"), f"{value:.4f}")
        for name, value in sorted(metrics.items())
        if name.startswith("voter_")
    ]
    if not rows:
        return []
    rows += [
        ("plain average", f"{metrics['plain_average']:.4f}"),
        ("with learnt weights", f"{metrics['ensemble']:.4f}"),
        ("McNemar's exact p of these two", f"{metrics['average_mcnemar_p']:.4f}"),
        ("ECE of the plain average", f"{metrics['ece_before']:.4f}"),
        ("ECE of the decisions", f"{metrics['ece']:.4f}"),
    ]
    return [heading("The voters on the held-out tasks"), table(("Voter", "Accuracy"), rows)]


def reliability_picture(scores: pl.DataFrame) -> str:
    bins = reliability(scores["confidence"].to_list(), scores["challenger_right"].to_list())
    confidences, true, tasks = zip(*bins, strict=True)

    def draw(axes: Any) -> None:
        axes.plot((0, 1), (0, 1), color="0.7")
        axes.scatter(confidences, true, [10 + 150 * count / max(tasks) for count in tasks], COLOUR)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy")

    return figure("Reliability: accuracy against confidence", chart(draw, _INCHES, _INCHES))


def coverage_risk_picture(scores: pl.DataFrame) -> str:
    curve = coverage_risk(scores["confidence"].to_list(), scores["challenger_right"].to_list())
    shares, risks = zip(*curve, strict=True)

    def draw(axes: Any) -> None:
        axes.plot(shares, risks, color=COLOUR)
        axes.set(xlim=(0, 1), ylim=(0, max(0.05, *risks)), xlabel="coverage", ylabel="risk")

    return figure("Risk against coverage", chart(draw, _INCHES, _INCHES))


def class_rows(scores: pl.DataFrame) -> list[str]:
    rows = [
        {
            "Master": str(row["master"]),
            "Tasks": f"{row['tasks']:.0f}",
            "Recall": f"{row['recall']:.3f}",
            "Precision": f"{row['precision']:.3f}" if "precision" in row else "never sent to",
        }
        for row in class_table(scores)
    ]
    return [heading("By master"), records(rows)]


def curve_table(points: Sequence[CurvePoint]) -> list[str]:
    if not points:
        return []
    rows = [(f"{point.tasks}", _interval_text(point.lexical), _interval_text(point.semantic)) for point in points]
    head = ("Training tasks", "TF-IDF + logistic regression", "Encoder + logistic regression")
    return [heading("Learning curve"), table(head, rows)]


def _interval_text(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"
