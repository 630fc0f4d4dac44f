"""Self-contained HTML report of the router's evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from cortex_pipelines.charts import COLOUR, chart
from cortex_pipelines.pages import render
from cortex_pipelines.routing.evaluation.scores import CurvePoint, class_table, coverage_risk
from cortex_pipelines.routing.selection.ensemble import reliability

_TEMPLATE = Path(__file__).parent / "report.html"
_INCHES = 3.6
_EXAMPLES = 20
_CHANCES = {"p": "p_value", "p of loss": "p_loss", "p (Holm)": "p_corrected"}
_FIGURES = {
    "plain_average": "plain average",
    "ensemble": "with learnt weights",
    "average_mcnemar_p": "McNemar's exact p of these two",
    "ece_before": "ECE of the plain average",
    "ece": "ECE of the decisions",
}
_GAINED = ("Gained: right where the baseline is wrong", "Baseline said", "challenger", "baseline")
_LOST = ("Lost: wrong where the baseline is right", "Router said", "baseline", "challenger")


def routing_report(
    scores: pl.DataFrame,
    metrics: Mapping[str, float],
    baseline: str,
    known_masters: Sequence[str],
    notes: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    curve: Sequence[CurvePoint],
    misrouted: Sequence[tuple[str, str]] = (),
) -> str:
    """``baseline`` names what the router is compared with first: keyword rules, or what stands in for them.

    ``misrouted`` are requests that belong to no master and were sent to one all the same, with it.
    """
    voters = {name: name.removeprefix("voter_") for name in sorted(metrics) if name.startswith("voter_")}
    scope = [
        ("Left to a person", _span(metrics, "out_of_scope_abstained")),
        ("Tasks that count as in scope", _span(metrics, "in_scope_kept")),
        ("Area under the ROC curve of the score", f"{metrics.get('scope_auroc', 0):.4f}"),
    ]
    known_accuracies: list[tuple[str, str]] = []
    if "known_items" in metrics:
        rules = _comparison_rows(metrics, baseline.capitalize(), baseline, "known_baseline", "known_")
        known_accuracies = [("Router", _span(metrics, "known_challenger")), *rules]
    counts = scores.group_by("master", "challenger").len().rows()
    masters = {right for right, _, _ in counts} | {routed_to for _, routed_to, _ in counts if routed_to is not None}
    examples = []
    for title, column, right, wrong in (_GAINED, _LOST):
        found = scores.filter(pl.col(f"{right}_right") & ~pl.col(f"{wrong}_right")).sort("example_id")
        rows = found.head(_EXAMPLES).select("text", "master", pl.col(wrong).fill_null("nobody")).rows()
        examples.append((title, column, rows, found.height))
    return render(
        _TEMPLATE,
        "Task router on held-out tasks",
        metrics=metrics,
        notes=notes,
        accuracies=_accuracies(metrics, baseline),
        known_masters=known_masters,
        known_accuracies=known_accuracies,
        scope=scope,
        misrouted=misrouted,
        candidates=[_candidate(step) for step in steps],
        voters=[(words, f"{metrics[name]:.4f}") for name, words in (voters | _FIGURES).items()] if voters else [],
        masters=class_table(scores),
        curve=[(f"{point.tasks}", f"{point.lexical:.3f}", f"{point.semantic:.3f}") for point in curve],
        confused=({(right, routed_to): count for right, routed_to, count in counts}, sorted(masters)),
        examples=examples,
        **_pictures(scores),
    )


def _candidate(step: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Candidate": str(step["model"]),
        **{words: f"{step[words.lower()]:.4f}" for words in ("Accuracy", "Loss", "ECE")},
        "Against": step["against"] or "",
        "Gained": step["gained"] if step["against"] else "",
        "Lost": step["lost"] if step["against"] else "",
        **{words: "" if step[p] is None else f"{step[p]:.3g}" for words, p in _CHANCES.items()},
        "Adopted": "yes" if step["adopted"] else "no",
    }


def _pictures(scores: pl.DataFrame) -> dict[str, str]:
    confidence, right = scores["confidence"].to_list(), scores["challenger_right"].to_list()
    confidences, true, tasks = zip(*reliability(confidence, right), strict=True)
    shares, risks = zip(*coverage_risk(confidence, right), strict=True)

    def draw_reliability(axes: Any) -> None:
        axes.plot((0, 1), (0, 1), color="0.7")
        axes.scatter(confidences, true, [10 + 150 * count / max(tasks) for count in tasks], COLOUR)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="accuracy")

    def draw_risk(axes: Any) -> None:
        axes.plot(shares, risks, color=COLOUR)
        axes.set(xlim=(0, 1), ylim=(0, max(0.05, *risks)), xlabel="coverage", ylabel="risk")

    return {"reliability": chart(draw_reliability, _INCHES, _INCHES), "risk": chart(draw_risk, _INCHES, _INCHES)}


def _accuracies(metrics: Mapping[str, float], baseline: str) -> list[tuple[str, str]]:
    rows = [("Router", _span(metrics, "challenger"))]
    rows += _comparison_rows(metrics, baseline.capitalize(), baseline, "baseline", "baseline_")
    rows += _comparison_rows(metrics, "TF-IDF, trained on the same tasks", "TF-IDF", "tfidf", "tfidf_")
    if "champion" in metrics:
        rows += _comparison_rows(metrics, "Champion", "champion", "champion", "")
    return [
        *rows,
        ("Decided without a person", f"{metrics['coverage']:.3f}"),
        ("Right among these", _span(metrics, "covered")),
        ("Expected calibration error", f"{metrics['ece']:.3f}"),
    ]


def _comparison_rows(
    metrics: Mapping[str, float], title: str, name: str, metric: str, prefix: str
) -> list[tuple[str, str]]:
    return [
        (title, _span(metrics, metric)),
        (f"Router minus {name}", _span(metrics, f"{prefix}difference")),
        ("McNemar's exact p", f"{metrics[f'{prefix}mcnemar_p']:.4f}"),
    ]


def _span(metrics: Mapping[str, float], name: str) -> str:
    """A figure with its interval; none where it was not measured."""
    if name not in metrics:
        return "none"
    return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"
