"""Markdown for the UI: what the tables of an output consist of, and the loss curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.charts import chart
from cortex_pipelines.schemas.table import Table

_PLOTTED = ("language", "kind", "category", "reason", "operator", "master", "label_source")
"""Categorical columns that characterise a table."""
_MOST_BARS = 12
_MOST_CHARS = 28
_BAR, _LONGEST = "█", 20
"""A bar of text, and the length of the longest: a chart for each column costs seconds a run."""


def table_plots(table: Table, frame: pl.LazyFrame) -> dict[str, str]:
    plots = {}
    for column in _PLOTTED:
        if column in table.schema:
            counts = (
                frame.group_by(column).len().sort(["len", column], descending=[True, False]).head(_MOST_BARS).collect()
            )
            if counts.height:
                bars = {str(value): int(count) for value, count in counts.iter_rows()}
                plots[f"{table.name}/by {column}"] = bar_table(column, bars)
    return plots


def curves(training: Mapping[str, Any]) -> dict[str, str]:
    series = {
        name: [(float(point["step"]), float(point["loss"])) for point in training.get(key) or []]
        for name, key in (("training loss", "steps"), ("validation loss", "validation"))
    }
    if not any(series.values()):
        return {}
    return {"loss curve": _markdown(line_chart(series), "loss by optimiser step")}


def bar_table(column: str, bars: Mapping[str, int]) -> str:
    most = max(bars.values())
    lines = [f"| {column} | rows | |", "| --- | ---: | --- |"]
    for name, count in bars.items():
        cell = name[:_MOST_CHARS].replace("|", "\\|")
        lines.append(f"| {cell} | {count:,} | {_BAR * -(-_LONGEST * count // most)} |")
    return "\n".join(lines)


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    def draw(axes: Any) -> None:
        for name, points in series.items():
            axes.plot([x for x, _ in points], [y for _, y in points], ".-", label=name)
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="upper right")

    return chart(draw, 6, 2.5)


def _markdown(picture: str, alt: str) -> str:
    return f"![{alt}]({picture})"
