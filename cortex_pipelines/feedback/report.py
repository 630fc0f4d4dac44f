"""The page of interactions."""

from collections.abc import Sequence
from typing import Any

from cortex_pipelines.feedback.metrics import FIGURES, GROUPS
from cortex_pipelines.pages import heading, page, paragraph, table

SIMULATION = "Simulation: no person did any of this, and no promotion may rest on it."


def report(groups: Sequence[dict[str, Any]]) -> str:
    """HTML page of the groups that ``figures`` gives."""
    parts = [
        paragraph(
            "Characters that are retained come first; acceptance alone is no goal, since what is "
            "taken may be deleted a minute later. Intervals are of 95 % and draw whole users; "
            "there is none for fewer than two. – is not observed, which is not zero."
        )
    ]
    for simulated in (False, True):
        here = [group for group in groups if group["simulated"] == simulated]
        if simulated and not here:
            continue
        parts.append(heading("Simulation" if simulated else "People"))
        if simulated:
            parts.append(paragraph(SIMULATION, warning=True))
        for by in GROUPS:
            parts.append(heading(f"By {by}", 3))
            parts.append(table(*cells([group for group in here if group["by"] == by], by)))
    parts.append(heading("What the columns say"))
    parts.append(table(("column", "meaning"), [(name, words) for name, words in FIGURES.items()]))
    return page("Interactions", parts)


def cells(groups: Sequence[dict[str, Any]], by: str) -> tuple[list[str], list[list[str | int]]]:
    """Head and rows of a table of groups."""
    head = [by, "interactions", "users", *FIGURES]
    rows: list[list[str | int]] = [
        [
            str(group["value"]),
            group["interactions"],
            group["users"],
            *(in_words(name, group["figures"][name]) for name in FIGURES),
        ]
        for group in groups
    ]
    return head, rows


def in_words(name: str, figure: dict[str, Any] | None) -> str:
    """A figure with its interval; a dash where there is none."""
    if figure is None:
        return "–"
    form = "{:.1f} s" if name == "seconds_to_accept" else "{:.0%}"
    text = form.format(figure["value"])
    if figure["low"] is None:
        return text
    return f"{text} ({form.format(figure['low'])} to {form.format(figure['high'])})"
