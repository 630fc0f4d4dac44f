"""Self-contained HTML report of a project's annotations."""

from collections.abc import Iterable, Sequence

import polars as pl

from cortex_pipelines.annotation.annotate import Annotations
from cortex_pipelines.annotation.evaluation.agreement import ConfusionCounts
from cortex_pipelines.annotation.labels.vocabulary import LABELS
from cortex_pipelines.pages import code, collapsible, heading, page, paragraph, table

_EXAMPLES = 3
_EXAMPLE_CHARS = 600
_FIGURES = ("cyclomatic", "cognitive", "nesting", "parameters", "lines")
_NOTE = (
    "Labels come from rules. The sample is a few hundred short units that were written and "
    "labelled by hand, and the rules were written with it at hand: on code that nobody here has "
    "seen they agree less."
)


def annotation_metrics(annotations: Annotations) -> dict[str, float]:
    """Metrics for MLflow: sizes, means, and agreement with the hand-labelled sample."""
    units, agreed = annotations.units, annotations.agreement
    scored = [counts for counts in agreed.labels.values() if counts.both + counts.person_only]
    both = sum(counts.both for counts in scored)
    metrics: dict[str, float] = {
        "units": units.height,
        "findings": annotations.findings.height,
        "sample_cases": agreed.cases,
        "sample_category_accuracy": round(agreed.right / agreed.cases, 4),
        "sample_labels": len(scored),
        "sample_label_precision": round(both / (both + sum(counts.rules_only for counts in scored)), 4),
        "sample_label_recall": round(both / (both + sum(counts.person_only for counts in scored)), 4),
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


def annotation_report(annotations: Annotations, project: str) -> str:
    """Render the report; the same rows give the same bytes."""
    units, findings, agreed = annotations.units, annotations.findings, annotations.agreement
    rates = ("", "cases", "precision", "recall", "kappa")
    parts = [
        paragraph(f"{units.height:,} units, {findings.height:,} findings."),
        heading("Units"),
        *(_bars(units, column) for column in ("language", "kind", "category")),
        heading("Complexity of functions and methods"),
        paragraph("Median, 90th percentile and largest."),
        _quantiles(units.filter(pl.col("kind").is_in(["function", "method"]))),
        heading("Findings"),
        *_by_kind(findings),
        heading("Examples"),
        *_examples(units, findings),
        heading("Agreement with the hand-labelled sample"),
        paragraph(_NOTE, warning=True),
        paragraph(f"{agreed.cases} units; the category is the person's in {agreed.right}."),
        table(rates, _counts(agreed.categories)),
        table(rates, _counts(agreed.labels)),
        paragraph("Confidence of a category by the evidence for it."),
        table(("evidence from", "confidence"), [(f"{start:.2f}", f"{rate:.2f}") for start, rate in agreed.bands]),
    ]
    return page(f"What is known of {project}", parts)


def _bars(frame: pl.DataFrame, column: str) -> str:
    counts = frame.group_by(column).len().sort(["len", column], descending=[True, False]).head(40)
    most = max([1, *counts["len"].to_list()])
    rows = [(str(name), count) for name, count in counts.iter_rows()]
    return table((column, "units"), rows, [count / most for _, count in rows])


def _quantiles(functions: pl.DataFrame) -> str:
    rows: list[list[str | int]] = []
    for language in (*sorted(functions["language"].unique().to_list()), None):
        selected = functions if language is None else functions.filter(pl.col("language") == language)
        if selected.height:
            last = selected.height - 1
            sorted_values = [selected[name].sort().to_list() for name in _FIGURES]
            positions = (last // 2, last * 9 // 10, last)
            spans = [" / ".join(f"{values[position]:,.0f}" for position in positions) for values in sorted_values]
            rows.append([language or "all", selected.height, *spans])
    return table(("language", "functions", *_FIGURES), rows)


def _by_kind(findings: pl.DataFrame) -> Iterable[str]:
    head = ("label", "purpose", "findings", "units", "confidence")
    for kind in ("anti-pattern", "smell", "pattern"):
        of_kind = findings.filter(pl.col("kind") == kind)
        counts = (
            of_kind.group_by("label", "purpose", "confidence")
            .agg(pl.len().alias("findings"), pl.col("unit_id").n_unique().alias("units"))
            .sort(["findings", "label"], descending=[True, False])
        )
        rows = [
            (label, purpose or "", count, units, f"{confidence:.2f}")
            for label, purpose, confidence, count, units in counts.iter_rows()
        ]
        yield heading(f"{kind.capitalize()}s ({of_kind.height:,})", 3)
        yield table(head, rows)


def _examples(units: pl.DataFrame, findings: pl.DataFrame) -> Iterable[str]:
    of_units = units.select("unit_id", "qualified_name", "code", unit_start="start_byte")
    with_units = findings.join(of_units, on="unit_id").sort("label", "path", "start_byte", "unit_id")
    for (label,), group in with_units.partition_by("label", as_dict=True, maintain_order=True).items():
        examples = []
        spread = group.gather_every(max(1, group.height // _EXAMPLES)).head(_EXAMPLES)
        for row in spread.iter_rows(named=True):
            start, end = (row[column] - row["unit_start"] for column in ("start_byte", "end_byte"))
            text = row["code"].encode()[start:end].decode(errors="replace")
            cut = text if len(text) <= _EXAMPLE_CHARS else text[:_EXAMPLE_CHARS] + " …"
            examples.append(code(f"{row['qualified_name']} · {row['path']}:{row['start_line']}", cut))
        yield collapsible(f"{label} ({group.height:,}): {LABELS[label].explanation}", examples)


def _counts(counts: dict[str, ConfusionCounts]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name, confusion in sorted(counts.items()):
        cases = confusion.both + confusion.person_only
        rates = (confusion.precision, confusion.recall, confusion.kappa)
        if cases + confusion.rules_only:
            rows.append((name, str(cases), *("" if rate is None else f"{rate:.2f}" for rate in rates)))
    return rows
