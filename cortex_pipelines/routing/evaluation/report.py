"""Self-contained HTML report of the router's evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.charts import COLOUR, chart
from cortex_pipelines.pages import confusion, figure, heading, page, paragraph, records, table
from cortex_pipelines.routing.evaluation.scores import CurvePoint, class_table, coverage_risk
from cortex_pipelines.routing.selection.ensemble import reliability

_INCHES = 3.6
_CHANCES = {"p": "p_value", "p of loss": "p_loss", "p (Holm)": "p_corrected"}


def _candidates(steps: Sequence[Mapping[str, Any]]) -> list[str]:
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


def _voters(metrics: Mapping[str, float]) -> list[str]:
    names = {name: name.removeprefix("voter_") for name in sorted(metrics) if name.startswith("voter_")}
    if not names:
        return []
    names |= {
        "plain_average": "plain average",
        "ensemble": "with learnt weights",
        "average_mcnemar_p": "McNemar's exact p of these two",
        "ece_before": "ECE of the plain average",
        "ece": "ECE of the decisions",
    }
    rows = [(words, f"{metrics[name]:.4f}") for name, words in names.items()]
    return [heading("The voters on the held-out tasks"), table(("Voter", "Accuracy"), rows)]


def _pictures(scores: pl.DataFrame) -> list[str]:
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

    return [
        figure("Reliability: accuracy against confidence", chart(draw_reliability, _INCHES, _INCHES)),
        figure("Risk against coverage", chart(draw_risk, _INCHES, _INCHES)),
    ]


_SAMPLE = (
    "The tasks are a hand-written sample. They show that the path works; no figure on this page is "
    "evidence that the router is any good on real tasks."
)
_EXAMPLES = 20
_CURVE = ("Training tasks", "TF-IDF + logistic regression", "Encoder + logistic regression")


def routing_report(
    scores: pl.DataFrame,
    metrics: Mapping[str, float],
    known_masters: Sequence[str],
    notes: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    curve: Sequence[CurvePoint],
    misrouted: Sequence[tuple[str, str]] = (),
) -> str:
    """``misrouted`` are requests that belong to no master and were sent to one all the same, with it."""
    curve_rows = [(f"{point.tasks}", f"{point.lexical:.3f}", f"{point.semantic:.3f}") for point in curve]
    parts = [
        *([paragraph(_SAMPLE, warning=True)] if metrics["hand_written_sample"] else []),
        *map(paragraph, notes),
        *_accuracies(metrics, known_masters),
        *_scope(metrics, misrouted),
        *_candidates(steps),
        *_voters(metrics),
        heading("Can it be trusted?"),
        *_pictures(scores),
        heading("By master"),
        records(class_table(scores)),
        *([heading("Learning curve"), table(_CURVE, curve_rows)] if curve else []),
        heading("Confusion: rows belong to, columns sent to"),
        _confusion(scores),
        *_examples(scores, "Gained: right where the rules are wrong", gained=True),
        *_examples(scores, "Lost: wrong where the rules are right", gained=False),
    ]
    return page("Task router on held-out tasks", parts)


def _accuracies(metrics: Mapping[str, float], known_masters: Sequence[str]) -> list[str]:
    rows = [("Router", _span(metrics, "challenger"))]
    rows += _comparison_rows(metrics, "Keyword rules", "rules", "baseline", "baseline_")
    rows += _comparison_rows(metrics, "TF-IDF, trained on the same tasks", "TF-IDF", "tfidf", "tfidf_")
    if "champion" in metrics:
        rows += _comparison_rows(metrics, "Champion", "champion", "champion", "")
    rows += [
        ("Decided without a person", f"{metrics['coverage']:.3f}"),
        ("Right among these", _span(metrics, "covered") if "covered" in metrics else "none"),
        ("Expected calibration error", f"{metrics['ece']:.3f}"),
    ]
    parts = [table(("", f"{metrics['items']:.0f} tasks, accuracy"), rows)]
    if "known_items" in metrics:
        known_rows = [("Router", _span(metrics, "known_challenger"))]
        known_rows += _comparison_rows(metrics, "Keyword rules", "rules", "known_baseline", "known_")
        parts += [
            heading(f"Only the masters that the rules know ({', '.join(known_masters)})"),
            table(("", f"{metrics['known_items']:.0f} tasks, accuracy"), known_rows),
        ]
    return parts


def _comparison_rows(
    metrics: Mapping[str, float], title: str, name: str, metric: str, prefix: str
) -> list[tuple[str, str]]:
    return [
        (title, _span(metrics, metric)),
        (f"Router minus {name}", _span(metrics, f"{prefix}difference")),
        ("McNemar's exact p", f"{metrics[f'{prefix}mcnemar_p']:.4f}"),
    ]


def _scope(metrics: Mapping[str, float], misrouted: Sequence[tuple[str, str]]) -> list[str]:
    if "out_of_scope_items" not in metrics:
        return []
    head = ("", f"{metrics['out_of_scope_items']:.0f} requests of daily life")
    rows = [
        ("Left to a person", _span(metrics, "out_of_scope_abstained")),
        ("Tasks that count as in scope", _span(metrics, "in_scope_kept")),
        ("Area under the ROC curve of the score", f"{metrics['scope_auroc']:.4f}"),
    ]
    text = (
        "The requests were written for this purpose, by the same hand as those that the score "
        "was learnt from. Requests nearer to the tasks of a team are harder to tell."
    )
    parts = [heading("Does it know what it does not know?"), paragraph(text), table(head, rows)]
    return [*parts, table(("Sent all the same", "To"), misrouted)] if misrouted else parts


def _confusion(scores: pl.DataFrame) -> str:
    rows = scores.group_by("master", "challenger").len().rows()
    masters = {right for right, _, _ in rows} | {routed_to for _, routed_to, _ in rows if routed_to is not None}
    return confusion({(right, routed_to): count for right, routed_to, count in rows}, sorted(masters))


def _examples(scores: pl.DataFrame, title: str, *, gained: bool) -> list[str]:
    right, wrong = ("challenger", "baseline") if gained else ("baseline", "challenger")
    examples = scores.filter(pl.col(f"{right}_right") & ~pl.col(f"{wrong}_right")).sort("example_id")
    rows = [
        (row["text"], row["master"], row[wrong] or "nobody") for row in examples.head(_EXAMPLES).iter_rows(named=True)
    ]
    column_title = "Rules said" if gained else "Router said"
    parts = [heading(f"{title} ({examples.height})"), table(("Task", "Belongs to", column_title), rows)]
    shown_note = f"{len(rows)} of {examples.height} shown"
    return [*parts, paragraph(shown_note)] if examples.height > len(rows) else parts


def _span(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"
