"""Metrics and plots of outputs for DVC: ``metrics:`` and ``plots:`` of ``dvc.yaml``.

They name files inside outputs and are not outputs themselves, so that no stage changes when one is added or taken away.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plot:
    """A DVC plot of a JSON file, which may hold one list of objects: DVC lays several on each other."""

    file: str
    x: str
    y: str
    title: str
    template: str = "linear"


@dataclass(frozen=True)
class AssetMetrics:
    metrics: tuple[str, ...] = ("metrics.json",)
    plots: tuple[Plot, ...] = ()


def plot_entry(plot: Plot, address: str, folder: str) -> dict[str, Any]:
    """The ``dvc.yaml`` entry for a plot of one output."""
    file = f"{folder}/{plot.file}"
    layout = {"template": plot.template, "title": f"{address}: {plot.title}"}
    return {f"{address}/{plot.title}": {"x": plot.x, "y": {file: plot.y}} | layout}
