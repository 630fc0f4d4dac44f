"""Quality filters for training code.

A unit is excluded by the first filter that it fails, in the order of ``FILTERS``.
"""

import polars as pl

from cortex_pipelines.datasets.settings import DatasetSettings

FILTERS = (
    "generated",
    "licence",
    "syntax",
    "longest_line",
    "mean_line",
    "alphanumeric",
    "comments",
    "contaminated",
    "near_duplicate",
)
"""Filters of units, in order."""

_COMMENT_LINE = r"(?m)^[ \t]*(?:#|//|/\*|\*).*$"


def left_out(settings: DatasetSettings) -> pl.Expr:
    """Name of the first filter that excludes a unit, or null.

    Needs the columns ``code``, ``generated``, ``trainable`` and ``has_error``. Thresholds on lines, letters and
    comments are StarCoder's (arXiv 2305.06161).
    """
    code = pl.col("code")
    lines = code.str.split("\n").list.eval(pl.element().str.len_chars())
    letters = code.str.count_matches(r"[\p{L}\p{N}]") / code.str.len_chars()
    comments = code.str.count_matches(_COMMENT_LINE) / lines.list.len()
    broken = (
        ("generated", pl.col("generated")),
        ("licence", ~pl.col("trainable")),
        ("syntax", pl.col("has_error")),
        ("longest_line", lines.list.max() > settings.longest_line),
        ("mean_line", lines.list.mean() > settings.mean_line),
        ("alphanumeric", ~(letters >= settings.min_alphanumeric)),
        ("comments", comments > settings.max_comment_share),
    )
    # a `when` chain: the first condition that holds gives the reason
    reasons = pl.lit(None, dtype=pl.String)
    for reason, holds in reversed(broken):
        reasons = pl.when(holds).then(pl.lit(reason)).otherwise(reasons)
    return reasons
