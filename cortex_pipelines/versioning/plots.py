"""Small SVG charts in Markdown for the UI."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import polars as pl

from cortex_pipelines.schemas.table import Table

_WIDTH, _BAR, _LABEL = 560, 22, 190
_HEIGHT, _EDGE = 200, 40
_COLOUR = "#4f43dd"
_PLOTTED = ("language", "kind", "category", "reason", "operator", "master", "label_source")
"""Categorical columns that characterise a table."""
_MOST_BARS = 12


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
                plots[f"{table.name}/by {column}"] = markdown(bar_chart(bars), f"rows by {column}")
    return plots


def curves(training: Mapping[str, Any]) -> dict[str, str]:
    """The loss curve of a training in Markdown; empty if there is none."""
    series = {
        name: [(float(point["step"]), float(point["loss"])) for point in training.get(key) or []]
        for name, key in (("training loss", "steps"), ("validation loss", "validation"))
    }
    if not any(series.values()):
        return {}
    return {"loss curve": markdown(line_chart(series), "loss by optimiser step")}


def bar_chart(bars: Mapping[str, float]) -> str:
    """Horizontal bars as SVG in the given order, with their values."""
    most = max([*bars.values(), 1])
    rows = []
    for place, (name, value) in enumerate(bars.items()):
        y = place * _BAR
        width = (_WIDTH - _LABEL - 70) * value / most
        rows.append(
            f'<text x="{_LABEL - 6}" y="{y + 15}" text-anchor="end">{escape(name[:28])}</text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="{_BAR - 6}" '
            f'fill="{_COLOUR}"/><text x="{_LABEL + width + 6:.1f}" y="{y + 15}">{value:,}</text>'
        )
    return _svg(_BAR * len(bars), "".join(rows))


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Line chart of (x, y) points as SVG, with the extremes at the edges."""
    points = [point for line in series.values() for point in line]
    if not points:
        return _svg(_EDGE, "")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)

    def place(x: float, y: float) -> str:
        across = _EDGE + (_WIDTH - 2 * _EDGE) * (x - left) / ((right - left) or 1)
        down = _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (y - low) / ((high - low) or 1)
        return f"{across:.1f},{down:.1f}"

    lines = "".join(
        f'<polyline points="{" ".join(place(x, y) for x, y in line)}" fill="none" '
        f'stroke="{colour}" stroke-width="2"/>'
        f'<text x="{_EDGE + 130 * number}" y="14" fill="{colour}">{escape(name)}</text>'
        for number, (colour, (name, line)) in enumerate(
            zip((_COLOUR, "#d1495b", "#2e933c"), series.items(), strict=False)
        )
    )
    marks = (
        f'<text x="0" y="{_EDGE + 4}">{high:.3g}</text>'
        f'<text x="0" y="{_HEIGHT - _EDGE + 4}">{low:.3g}</text>'
        f'<text x="{_EDGE}" y="{_HEIGHT - 18}">{left:g}</text>'
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 18}" text-anchor="end">{right:g}</text>'
    )
    return _svg(_HEIGHT, lines + marks)


def markdown(svg: str, alt: str) -> str:
    """An SVG as a self-contained Markdown image."""
    return f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _svg(height: int, body: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="#555">{body}</svg>'
    )
