"""The page of interactions."""

from collections.abc import Sequence
from typing import Any

from cortex_pipelines.feedback.metrics import GROUPS, METRICS
from cortex_pipelines.pages import heading, page, paragraph, table

SIMULATION = "Simulation: no person did any of this, and no promotion may rest on it."


def report(groups: Sequence[dict[str, Any]]) -> str:
    """HTML page of the groups that ``figures`` gives."""
    parts = [
        paragraph(
            "Characters that are retained come first; acceptance alone is not a goal, since what "
            "is taken may be deleted a minute later. Intervals are of 95 % and draw whole users; "
            "they need at least two. – is not observed, which is not zero."
        )
    ]
    for simulated in (False, True):
        selected = [group for group in groups if group["simulated"] == simulated]
        if simulated and not selected:
            continue
        parts.append(heading("Simulation" if simulated else "People"))
        if simulated:
            parts.append(paragraph(SIMULATION, warning=True))
        for by in GROUPS:
            parts.append(heading(f"By {by}", 3))
            parts.append(table(*table_cells([group for group in selected if group["by"] == by], by)))
    parts.append(heading("What the columns say"))
    parts.append(table(("column", "meaning"), [(name, words) for name, words in METRICS.items()]))
    return page("Interactions", parts)


def table_cells(groups: Sequence[dict[str, Any]], by: str) -> tuple[list[str], list[list[str | int]]]:
    """Head and rows of a table of groups."""
    head = [by, "interactions", "users", *METRICS]
    rows: list[list[str | int]] = [
        [
            str(group["value"]),
            group["interactions"],
            group["users"],
            *(format_metric(name, group["figures"][name]) for name in METRICS),
        ]
        for group in groups
    ]
    return head, rows


def format_metric(name: str, metric: dict[str, Any] | None) -> str:
    """A metric with its interval; a dash if it was not observed."""
    if metric is None:
        return "–"
    form = "{:.1f} s" if name == "seconds_to_accept" else "{:.0%}"
    text = form.format(metric["value"])
    if metric["low"] is None:
        return text
    return f"{text} ({form.format(metric['low'])} to {form.format(metric['high'])})"
