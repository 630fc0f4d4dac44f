"""Self-contained HTML report of a project's annotations."""

from collections.abc import Iterable, Sequence
from html import escape

import polars as pl

from cortex_pipelines.annotation.annotate import Annotations
from cortex_pipelines.annotation.evaluation.agreement import Agreement, Counts
from cortex_pipelines.annotation.labels.vocabulary import LABELS

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.25rem .7rem;border:1px solid #ccc;
text-align:left;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
td.bar{min-width:12rem}td.bar div{background:#4f43dd;height:.8rem;border-radius:2px}
pre{margin:.2rem 0;padding:.4rem .6rem;background:#f6f6f8;overflow-x:auto;font-size:13px}
p.warning{border-left:.4rem solid #c60;background:#fff4e5;padding:.6rem 1rem}
details{margin:.3rem 0}summary{cursor:pointer}small{color:#666}
"""
_EXAMPLES = 3
_EXAMPLE_CHARS = 600
_FIGURES = ("cyclomatic", "cognitive", "nesting", "parameters", "lines", "halstead_volume")
_NOTE = (
    "Labels come from rules. The sample is a few hundred short units that were written and "
    "labelled by hand, and the rules were written with it at hand: on code that nobody here has "
    "seen they agree less."
)


def annotation_metrics(annotations: Annotations) -> dict[str, float]:
    """Metrics for MLflow: sizes, means, and agreement with the hand-labelled sample."""
    units, agreed = annotations.units, annotations.agreement
    judged = [counts for counts in agreed.labels.values() if counts.both + counts.person_only]
    metrics: dict[str, float] = {
        "units": units.height,
        "findings": annotations.findings.height,
        "sample_cases": agreed.cases,
        "sample_category_accuracy": round(agreed.right / agreed.cases, 4),
        "sample_labels": len(judged),
        "sample_label_precision": _pooled(judged, "rules_only"),
        "sample_label_recall": _pooled(judged, "person_only"),
    }
    for kind in ("pattern", "anti-pattern", "smell"):
        rows = annotations.findings.filter(pl.col("kind") == kind).height
        metrics[f"findings_{kind.replace('-', '_')}"] = rows
    if units.height:
        for name in ("quality", *_FIGURES):
            # a sequential sum: a parallel mean may differ in its last bit
            total = sum(units[name].to_list())
            metrics[f"mean_{name}"] = round(total / units.height, 4)
    return metrics


def _pooled(counts: Iterable[Counts], missed: str) -> float:
    every = list(counts)
    both = sum(pair_counts.both for pair_counts in every)
    other = sum(
        pair_counts.rules_only if missed == "rules_only" else pair_counts.person_only
        for pair_counts in every
    )
    return round(both / (both + other), 4)


def annotation_report(annotations: Annotations, project: str) -> str:
    """Render the report; the same rows give the same bytes."""
    units, findings = annotations.units, annotations.findings
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(project)}: annotation</title>',
        f"<style>{_STYLE}</style></head><body><h1>What is known of {escape(project)}</h1>",
        f"<p>{units.height:,} units, {findings.height:,} findings.</p>",
        "<h2>Units</h2>",
        *(_bars(units, column) for column in ("language", "kind", "category")),
        "<h2>Complexity of functions and methods</h2>",
        _quantiles(units.filter(pl.col("kind").is_in(["function", "method"]))),
        "<h2>Findings</h2>",
        *(_by_kind(findings, kind) for kind in ("anti-pattern", "smell", "pattern")),
        "<h2>Examples</h2>",
        *_examples(units, findings),
        "<h2>Agreement with the hand-labelled sample</h2>",
        f'<p class="warning">{_NOTE}</p>',
        _agreement(annotations.agreement),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _bars(frame: pl.DataFrame, column: str) -> str:
    counts = frame.group_by(column).len().sort(["len", column], descending=[True, False])
    most = max([1, *counts["len"].to_list()])
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td><td class=n>{count:,}</td>"
        f'<td class=bar><div style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in counts.head(40).iter_rows()
    )
    return f"<table><tr><th>{escape(column)}</th><th>units</th><th></th></tr>{rows}</table>"


def _quantiles(functions: pl.DataFrame) -> str:
    rows = []
    for language in (*sorted(functions["language"].unique().to_list()), None):
        some = functions if language is None else functions.filter(pl.col("language") == language)
        if some.height:
            spans = [_spread(some[name]) for name in _FIGURES]
            rows.append([language or "all", f"{some.height:,}", *spans])
    head = ("language", "functions", *(name.replace("_", " ") for name in _FIGURES))
    return "<p>Median, 90th percentile and largest.</p>" + _table(head, rows)


def _spread(values: pl.Series) -> str:
    ordered = values.sort().to_list()
    middle, high = ordered[(len(ordered) - 1) // 2], ordered[(len(ordered) - 1) * 9 // 10]
    return " / ".join(f"{value:,.0f}" for value in (middle, high, ordered[-1]))


def _by_kind(findings: pl.DataFrame, kind: str) -> str:
    some = findings.filter(pl.col("kind") == kind)
    counts = (
        some.group_by("label", "purpose", "confidence")
        .agg(pl.len().alias("findings"), pl.col("unit_id").n_unique().alias("units"))
        .sort(["findings", "label"], descending=[True, False])
    )
    rows = [
        (label, purpose or "", f"{count:,}", f"{units:,}", f"{confidence:.2f}")
        for label, purpose, confidence, count, units in counts.iter_rows()
    ]
    return f"<h3>{kind.capitalize()}s ({some.height:,})</h3>" + _table(
        ("label", "purpose", "findings", "units", "confidence"), rows
    )


def _examples(units: pl.DataFrame, findings: pl.DataFrame) -> Iterable[str]:
    code = units.select("unit_id", "qualified_name", "code", unit_start="start_byte")
    joined = findings.join(code, on="unit_id").sort("label", "path", "start_byte", "unit_id")
    for (label,), some in joined.partition_by("label", as_dict=True, maintain_order=True).items():
        shown = "".join(_example(row) for row in _spread_out(some).iter_rows(named=True))
        explained = escape(LABELS[label].explanation)
        yield (
            f"<details><summary><b>{escape(label)}</b> ({some.height:,}): {explained}</summary>"
            f"{shown}</details>"
        )


def _spread_out(some: pl.DataFrame) -> pl.DataFrame:
    """A few rows sampled evenly."""
    step = max(1, some.height // _EXAMPLES)
    return some.gather_every(step).head(_EXAMPLES)


def _example(row: dict[str, object]) -> str:
    data = str(row["code"]).encode()
    start = int(str(row["start_byte"])) - int(str(row["unit_start"]))
    end = int(str(row["end_byte"])) - int(str(row["unit_start"]))
    text = data[start:end].decode(errors="replace")
    cut = text if len(text) <= _EXAMPLE_CHARS else text[:_EXAMPLE_CHARS] + " …"
    place = f"{row['path']}:{row['start_line']}"
    return (
        f"<p>{escape(str(row['qualified_name']))} <small>{escape(place)}</small></p>"
        f"<pre>{escape(cut)}</pre>"
    )


def _agreement(agreed: Agreement) -> str:
    head = ("", "cases", "precision", "recall", "kappa")
    tables = [
        f"<p>{agreed.cases} units; the category is the person's in {agreed.right}.</p>",
        _table(head, _counts(agreed.categories)),
        _table(head, _counts(agreed.labels)),
        "<p>Confidence of a category by the evidence for it.</p>",
        _table(
            ("evidence from", "confidence"),
            [(f"{start:.2f}", f"{rate:.2f}") for start, rate in agreed.bands],
        ),
    ]
    return "".join(tables)


def _counts(counts: dict[str, Counts]) -> list[Sequence[str]]:
    return [
        (
            name,
            str(label_counts.both + label_counts.person_only),
            *map(_rate, (label_counts.precision, label_counts.recall, label_counts.kappa)),
        )
        for name, label_counts in sorted(counts.items())
        if label_counts.both + label_counts.person_only + label_counts.rules_only
    ]


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        "<tr>" + "".join(f"<td{_align(cell)}>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"


def _align(cell: str) -> str:
    return " class=n" if cell[:1].isdigit() else ""
