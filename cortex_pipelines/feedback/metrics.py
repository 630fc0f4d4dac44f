"""Metrics of interactions with intervals, and their page; acceptance never stands alone.

Rewarding acceptance by itself lowers quality (arXiv 2306.04930), so what is retained of the
characters that were shown is the first figure, and acceptance one of several beside it.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import exp, log
from typing import Any
from zlib import crc32

import polars as pl
from rapidfuzz.distance import Levenshtein

from cortex_pipelines.pages import heading, page, paragraph, table
from cortex_pipelines.statistics.intervals import paired_bootstrap

GROUPS = ("project", "language", "task", "version")
METRICS: Mapping[str, str] = {
    "retained_of_shown": "characters retained of those shown",
    "acceptance": "completions taken of those shown",
    "retained_30s": "characters retained of those taken, after 30 s",
    "retained_5min": "after 5 min",
    "retained_1h": "after 1 h",
    "retained_commit": "in the next commit",
    "correction_distance": "share of characters that a correction changes",
    "seconds_to_accept": "seconds until taken, geometric mean",
}
"""Meaning of each metric."""

LATEST_FIRST = ("retained_1h", "retained_5min", "retained_30s", "retained_commit")
"""Columns that say what was retained; a commit may hold what others wrote, so it comes last."""

_QUICKEST = 1e-3
_RESAMPLES = 2000
_CONFIDENCE = 0.95
_MOST_CLUSTERS = 1000


def compute_metrics(
    interactions: pl.DataFrame, project: str | None = None, groups: Sequence[str] = GROUPS
) -> list[dict[str, Any]]:
    """Figures of people, then of simulations, which are never mixed.

    Returns for each group ``simulated``, ``by`` (of ``groups``), ``value``, ``interactions``, ``users`` (pseudonyms),
    ``contradictory``, and ``figures``: for each of ``METRICS`` ``value``, ``low``, ``high`` (95 %, whole users drawn;
    None for fewer than two) and ``count``, or None where nothing was observed.
    """
    if project is not None:
        interactions = interactions.filter(pl.col("project") == project)
    metrics = []
    for simulated, by in product((False, True), groups):
        selected = interactions.filter(pl.col("simulated") == simulated).with_columns(pl.col(by).fill_null("unknown"))
        for (value,), frame in sorted(selected.group_by(by)):
            rows = frame.sort("completion_id").to_dicts()
            metrics.append(
                {
                    "simulated": simulated,
                    "by": by,
                    "value": value,
                    "interactions": len(rows),
                    "users": len({row["user"] for row in rows} - {None}),
                    "contradictory": sum(row["contradictory"] for row in rows),
                    "figures": {name: _metric(name, rows) for name in METRICS},
                }
            )
    return metrics


def _metric(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Mean with its interval, of items that weigh as many characters as they hold."""
    if name == "retained_of_shown":
        weighted_rows = list(_retained_of_shown(rows))
    else:
        weighted_rows = [(row, *item) for row in rows for item in _item(name, row)]
    # those without a user may be of one
    items = [(row["user"] or "", value, weight) for row, value, weight in weighted_rows]
    if not items:
        return None
    clusters, values, weights = zip(*items, strict=True)
    if len(set(clusters)) > _MOST_CLUSTERS:  # pooled users stay independent and cost less to draw
        clusters = tuple(str(crc32(name.encode()) % _MOST_CLUSTERS) for name in clusters)
    interval = paired_bootstrap(
        values, weights=weights, clusters=clusters, resamples=_RESAMPLES, confidence=_CONFIDENCE, seed=0
    )
    ends = (interval.low, interval.high) if len(set(clusters)) > 1 else (None, None)
    numbers = [interval.estimate, *ends]
    if name == "seconds_to_accept":
        numbers = [number if number is None else exp(number) for number in numbers]
    value, low, high = numbers
    return {"value": value, "low": low, "high": high, "count": len(items)}


def _retained_of_shown(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], float, float]]:
    """Interaction, share retained, and weight, of what was shown.

    Many editors never look again at what was taken, though all say what was not: counted as it
    stands, only what was not taken would count. So what was looked at stands for all that was
    taken, by the inverse of its share; if nothing was, the metric is missing.
    """
    shown_rows = [row for row in rows if row["shown"] and row["characters"]]
    accepted_rows = [row for row in shown_rows if _is_accepted(row)]
    latest = [next((row[name] for name in LATEST_FIRST if row[name] is not None), None) for row in accepted_rows]
    observed = [(row, count) for row, count in zip(accepted_rows, latest, strict=True) if count is not None]
    if accepted_rows and not observed:
        return
    observed_characters = sum(row["characters"] for row, _ in observed)
    scale = sum(row["characters"] for row in accepted_rows) / observed_characters if observed_characters else 1.0
    for row, count in observed:
        yield row, count / row["characters"], scale * row["characters"]
    for row in shown_rows:
        if not _is_accepted(row):
            yield row, 0.0, float(row["characters"])


def _is_accepted(row: Mapping[str, Any]) -> bool:
    return bool(row["accepted"] or row["partly_accepted"])


def _item(name: str, row: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Value and weight of an interaction in a figure; nothing where it was not observed."""
    if name == "correction_distance":
        if row["original"] is not None and row["corrected"] is not None:
            yield Levenshtein.normalized_distance(row["original"], row["corrected"]), 1.0
    elif not row["shown"]:
        return
    elif name == "acceptance":
        yield float(_is_accepted(row)), 1.0
    elif name == "seconds_to_accept":
        if row[name] is not None:
            yield log(max(row[name], _QUICKEST)), 1.0
    elif row["accepted_characters"] and row[name] is not None:
        yield row[name] / row["accepted_characters"], float(row["accepted_characters"])


SIMULATION = "Simulation: no person did any of this, and no promotion may rest on it."


def report(groups: Sequence[dict[str, Any]]) -> str:
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
    head = [by, "interactions", "users", *METRICS]
    rows: list[list[str | int]] = []
    for group in groups:
        figures = (format_metric(name, group["figures"][name]) for name in METRICS)
        rows.append([str(group["value"]), group["interactions"], group["users"], *figures])
    return head, rows


def format_metric(name: str, metric: dict[str, Any] | None) -> str:
    """A metric with its interval; a dash if it was not observed."""
    if metric is None:
        return "–"
    form = "{:.1f} s" if name == "seconds_to_accept" else "{:.0%}"
    value, *ends = (None if metric[key] is None else form.format(metric[key]) for key in ("value", "low", "high"))
    return str(value) if ends[0] is None else f"{value} ({' to '.join(map(str, ends))})"
