"""Self-contained HTML report of the router's evaluation."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from cortex_pipelines.evaluation.router.charts import (
    candidates_table,
    class_rows,
    coverage_risk_picture,
    curve_table,
    html_table,
    reliability_picture,
    voters_table,
)
from cortex_pipelines.evaluation.router.model_scores import CurvePoint

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;border:1px solid #ccc;
text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
td.hit{background:#e3f3e6}td.miss{background:#fbe6e3}
figure{display:inline-block;margin:.6rem 1.2rem .6rem 0}
p.warning{border-left:.4rem solid #c60;background:#fff4e5;padding:.6rem 1rem}
"""
_SAMPLE = (
    "The tasks are a hand-written sample. They show that the path works; no figure on this page is "
    "evidence that the router is any good on real tasks."
)
_EXAMPLES = 20


def routing_report(
    scores: pl.DataFrame,
    metrics: Mapping[str, float],
    known: Sequence[str],
    notes: Sequence[str],
    steps: Sequence[Mapping[str, Any]],
    curve: Sequence[CurvePoint],
    strangers: Sequence[tuple[str, str]] = (),
) -> str:
    """Render the report; the same figures give the same bytes.

    Args:
        scores: A frame of ``schemas.ROUTING_SCORES``.
        metrics: As ``routing_metrics`` gives them.
        known: Masters that the keyword rules know.
        notes: Further remarks on the comparison, each a paragraph.
        steps: Results of model selection, from ``candidates.json``.
        curve: The learning curve.
        strangers: Requests that belong to no master and were sent to one all the same, with it.
    """
    warning = [f'<p class="warning">{_SAMPLE}</p>'] if metrics["hand_written_sample"] else []
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>Task router</title>',
        f"<style>{_STYLE}</style></head><body><h1>Task router on held-out tasks</h1>",
        *warning,
        *(f"<p>{escape(note)}</p>" for note in notes),
        _accuracies(metrics, known),
        _scope(metrics, strangers),
        candidates_table(steps),
        voters_table(metrics),
        "<h2>Can it be trusted?</h2>",
        reliability_picture(scores),
        coverage_risk_picture(scores),
        class_rows(scores),
        curve_table(curve),
        "<h2>Confusion: rows belong to, columns sent to</h2>",
        _confusion(scores),
        _examples(scores, "Gained: right where the rules are wrong", gained=True),
        _examples(scores, "Lost: wrong where the rules are right", gained=False),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _accuracies(metrics: Mapping[str, float], known: Sequence[str]) -> str:
    rows = [
        ("Router", _span(metrics, "challenger")),
        ("Keyword rules", _span(metrics, "baseline")),
        ("Router minus rules", _span(metrics, "baseline_difference")),
        ("McNemar's exact p", f"{metrics['baseline_mcnemar_p']:.4f}"),
    ]
    rows += [
        ("TF-IDF, trained on the same tasks", _span(metrics, "tfidf")),
        ("Router minus TF-IDF", _span(metrics, "tfidf_difference")),
        ("McNemar's exact p", f"{metrics['tfidf_mcnemar_p']:.4f}"),
    ]
    if "champion" in metrics:
        rows += [
            ("Champion", _span(metrics, "champion")),
            ("Router minus champion", _span(metrics, "difference")),
            ("McNemar's exact p", f"{metrics['mcnemar_p']:.4f}"),
        ]
    rows += [
        ("Decided without a person", f"{metrics['coverage']:.3f}"),
        ("Right among these", _span(metrics, "covered") if "covered" in metrics else "none"),
        ("Expected calibration error", f"{metrics['ece']:.3f}"),
    ]
    text = html_table(("", f"{metrics['items']:.0f} tasks, accuracy"), rows)
    if "known_items" in metrics:
        names = ", ".join(known)
        text += f"<h2>Only the masters that the rules know ({escape(names)})</h2>" + html_table(
            ("", f"{metrics['known_items']:.0f} tasks, accuracy"),
            [
                ("Router", _span(metrics, "known_challenger")),
                ("Keyword rules", _span(metrics, "known_baseline")),
                ("Router minus rules", _span(metrics, "known_difference")),
                ("McNemar's exact p", f"{metrics['known_mcnemar_p']:.4f}"),
            ],
        )
    return text


def _scope(metrics: Mapping[str, float], strangers: Sequence[tuple[str, str]]) -> str:
    """How often out-of-scope requests are left to a person; empty where not measured."""
    if "out_of_scope_items" not in metrics:
        return ""
    head = ("", f"{metrics['out_of_scope_items']:.0f} requests of daily life")
    rows = [
        ("Left to a person", _span(metrics, "out_of_scope_abstained")),
        ("Tasks that count as in scope", _span(metrics, "in_scope_kept")),
        ("Area under the ROC curve of the score", f"{metrics['scope_auroc']:.4f}"),
    ]
    missed = html_table(("Sent all the same", "To"), strangers) if strangers else ""
    text = (
        "<p>The requests were written for this purpose, by the same hand as those that the score "
        "was learnt from. Requests nearer to the tasks of a team are harder to tell.</p>"
    )
    return f"<h2>Does it know what it does not know?</h2>{text}{html_table(head, rows)}{missed}"


def _confusion(scores: pl.DataFrame) -> str:
    counts = {
        (right, sent): count
        for right, sent, count in scores.group_by("master", "challenger").len().rows()
    }
    sent_to = sorted({sent for _, sent in counts if sent is not None})
    masters = sorted({right for right, _ in counts} | set(sent_to))
    lines = []
    for right in masters:
        cells = []
        for sent in masters:
            kind = "n hit" if right == sent else "n miss" if (right, sent) in counts else "n"
            cells.append(f'<td class="{kind}">{counts.get((right, sent), 0)}</td>')
        lines.append(f"<tr><th>{escape(right)}</th>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *masters))
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _examples(scores: pl.DataFrame, title: str, *, gained: bool) -> str:
    right, wrong = ("challenger", "baseline") if gained else ("baseline", "challenger")
    chosen = scores.filter(pl.col(f"{right}_right") & ~pl.col(f"{wrong}_right")).sort("example_id")
    rows = [
        (row["text"], row["master"], row[wrong] or "nobody")
        for row in chosen.head(_EXAMPLES).iter_rows(named=True)
    ]
    shown = f"{len(rows)} of {chosen.height} shown" if chosen.height > len(rows) else ""
    what = "Rules said" if gained else "Router said"
    table = html_table(("Task", "Belongs to", what), rows) if rows else "<p>None.</p>"
    return f"<h2>{escape(title)} ({chosen.height})</h2>{table}<p>{shown}</p>"


def _span(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.3f} ({metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f})"
