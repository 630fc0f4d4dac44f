"""Small SVG charts in Markdown for the UI."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cortex_pipelines.charts import COLOUR, chart
from cortex_pipelines.schemas.table import Table

_PLOTTED = ("language", "kind", "category", "reason", "operator", "master", "label_source")
"""Categorical columns that characterise a table."""
_MOST_BARS = 12
_MOST_CHARS = 28


def table_plots(table: Table, frame: pl.LazyFrame) -> dict[str, str]:
    """Bar charts of a table's characteristic columns, by ``<table>/<column>``."""
    plots = {}
    for column in _PLOTTED:
        if column in table.schema:
            counts = (
                frame.group_by(column)
                .len()
                .sort(["len", column], descending=[True, False])
                .head(_MOST_BARS)
                .collect()
            )
            if counts.height:
                bars = {str(value): int(count) for value, count in counts.iter_rows()}
                plots[f"{table.name}/by {column}"] = _markdown(bar_chart(bars), f"rows by {column}")
    return plots


def curves(training: Mapping[str, Any]) -> dict[str, str]:
    """The loss curve of a training in Markdown; empty if there is none."""
    series = {
        name: [(float(point["step"]), float(point["loss"])) for point in training.get(key) or []]
        for name, key in (("training loss", "steps"), ("validation loss", "validation"))
    }
    if not any(series.values()):
        return {}
    return {"loss curve": _markdown(line_chart(series), "loss by optimiser step")}


def bar_chart(bars: Mapping[str, int]) -> str:
    """Horizontal bars as SVG in the given order, with their values."""

    def draw(axes: Any) -> None:
        drawn = axes.barh(range(len(bars)), list(bars.values()), color=COLOUR)
        axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
        axes.set_yticks(range(len(bars)), [name[:_MOST_CHARS] for name in bars])
        axes.tick_params(left=False)
        axes.set_xticks([])
        axes.set_frame_on(False)
        axes.set_ylim(len(bars) - 0.5, -0.5)

    return chart(draw, 6, 0.25 * len(bars), (0.38, 0, 0.5, 1))


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Line chart of (x, y) points as SVG, with the extremes at the edges."""

    def draw(axes: Any) -> None:
        for name, points in series.items():
            axes.plot([x for x, _ in points], [y for _, y in points], ".-", label=name)
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="upper right")

    return chart(draw, 6, 2.5)


def _markdown(picture: str, alt: str) -> str:
    return f"![{alt}]({picture})"
