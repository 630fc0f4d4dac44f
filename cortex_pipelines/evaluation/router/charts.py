"""Self-contained HTML tables and SVG charts of the router's report."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from cortex_pipelines.evaluation.router.model_scores import CurvePoint, class_table, coverage_risk
from cortex_pipelines.evaluation.statistics.intervals import Interval
from cortex_pipelines.routing.selection.calibration import reliability

_SIZE = 260
_CHANCES = ("p_value", "p_loss", "p_corrected")
_POINTS = 200
"""Most points of a curve that are drawn."""


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """HTML table with escaped cells."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"


def candidates_table(steps: Sequence[Mapping[str, Any]]) -> str:
    """Candidates on the training folds, each against the best adopted simpler one."""
    head = (
        "Candidate",
        "Accuracy",
        "Loss",
        "ECE",
        "Against",
        "Gained",
        "Lost",
        "p",
        "p of loss",
        "p (Holm)",
        "Adopted",
    )
    rows = [
        (
            str(step["model"]),
            f"{step['accuracy']:.4f}",
            f"{step['loss']:.4f}",
            f"{step['ece']:.4f}",
            step["against"] or "",
            str(step["gained"]) if step["against"] else "",
            str(step["lost"]) if step["against"] else "",
            *("" if step[p] is None else f"{step[p]:.3g}" for p in _CHANCES),
            "yes" if step["adopted"] else "no",
        )
        for step in steps
    ]
    text = (
        "<p>Out of fold, on training tasks; the fold that the network's settings were chosen on is "
        "left out. The next candidate to be adopted is the plainest that gets more tasks right "
        "than the one adopted before it and is better by more than chance: by McNemar's exact "
        "test of who is right, or by a paired test of the loss, corrected for both tests of all "
        "candidates compared with it (Holm). The plain average is there to be beaten.</p>"
    )
    return f"<h2>How the model was chosen</h2>{text}{html_table(head, rows)}"


def voters_table(metrics: Mapping[str, float]) -> str:
    """Single voters on the held-out tasks; empty for a router of rules alone."""
    rows = [
        (name.removeprefix("voter_"), f"{value:.4f}")
        for name, value in sorted(metrics.items())
        if name.startswith("voter_")
    ]
    if not rows:
        return ""
    rows += [
        ("plain average", f"{metrics['plain_average']:.4f}"),
        ("with learnt weights", f"{metrics['ensemble']:.4f}"),
        ("McNemar's exact p of these two", f"{metrics['average_mcnemar_p']:.4f}"),
        ("ECE of the plain average", f"{metrics['ece_before']:.4f}"),
        ("ECE of the decisions", f"{metrics['ece']:.4f}"),
    ]
    return f"<h2>The voters on the held-out tasks</h2>{html_table(('Voter', 'Accuracy'), rows)}"


def reliability_picture(scores: pl.DataFrame) -> str:
    """Reliability diagram: confidence against accuracy, one point per bin."""
    bins = reliability(scores["confidence"].to_list(), scores["challenger_right"].to_list())
    most = max(tasks for _, _, tasks in bins)
    points = "".join(
        f'<circle cx="{_at(stated)}" cy="{_at(1 - was)}" r="{2 + 6 * (tasks / most) ** 0.5:.1f}">'
        f"<title>said {stated:.2f}, true {was:.2f}, {tasks} tasks</title></circle>"
        for stated, was, tasks in bins
    )
    line = f'<line x1="0" y1="{_SIZE}" x2="{_SIZE}" y2="0" stroke="#bbb"/>'
    return _figure("Reliability: confidence (across) against accuracy (up)", line + points)


def coverage_risk_picture(scores: pl.DataFrame) -> str:
    """Risk-coverage curve: error rate by share of tasks decided, surest first."""
    curve = coverage_risk(scores["confidence"].to_list(), scores["challenger_right"].to_list())
    step = max(1, len(curve) // _POINTS)
    shown = [*curve[::step], curve[-1]]
    highest = max(0.05, *(risk for _, risk in shown))
    path = " ".join(f"{_at(share)},{_at(1 - risk / highest)}" for share, risk in shown)
    line = f'<polyline points="{path}" fill="none" stroke="#246"/>'
    words = f"Coverage (across) against risk (up, to {highest:.2f})"
    return _figure(words, line)


def class_rows(scores: pl.DataFrame) -> str:
    """Precision and recall by master, worst first."""
    rows = [
        (
            str(row["master"]),
            f"{row['tasks']:.0f}",
            f"{row['recall']:.3f}",
            f"{row['precision']:.3f}" if "precision" in row else "never sent to",
        )
        for row in class_table(scores)
    ]
    return "<h2>By master</h2>" + html_table(("Master", "Tasks", "Recall", "Precision"), rows)


def curve_table(points: Sequence[CurvePoint]) -> str:
    """Learning curve as a table; empty where there is none."""
    if not points:
        return ""
    rows = [(f"{point.tasks}", _within(point.lexical), _within(point.semantic)) for point in points]
    head = ("Training tasks", "TF-IDF + logistic regression", "Encoder + logistic regression")
    return f"<h2>Learning curve</h2>{html_table(head, rows)}"


def _within(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _figure(words: str, inside: str) -> str:
    return (
        f"<figure><svg viewBox='-8 -8 {_SIZE + 16} {_SIZE + 16}' width='{_SIZE}' "
        f"height='{_SIZE}' fill='#246'><rect width='{_SIZE}' height='{_SIZE}' fill='none' "
        f"stroke='#999'/>{inside}</svg><figcaption>{escape(words)}</figcaption></figure>"
    )


def _at(share: float) -> str:
    return f"{share * _SIZE:.1f}"
