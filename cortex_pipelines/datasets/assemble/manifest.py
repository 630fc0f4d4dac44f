"""Manifest of a data set: origin of each row, and what was left out and why."""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping

import polars as pl

from cortex_pipelines.datasets.filters.quality import FILTERS
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.schemas.datasets.examples import MANIFEST
from cortex_pipelines.schemas.vocabulary import SPLITS

ROW_FILTERS = (
    "body_size",
    "no_gap",
    "prompt_size",
    "answer_in_prompt",
    "repeated",
    "near_duplicate_elsewhere",
    "sample",
)
"""Filters of candidates whose unit passed ``quality.FILTERS``, in order."""

_ALL = (*FILTERS, *ROW_FILTERS)


def manifest(rows: Mapping[str, pl.DataFrame], left_out: pl.DataFrame, settings: DatasetSettings) -> pl.DataFrame:
    """Build the manifest: one entry per row and per excluded candidate or unit.

    ``left_out``: excluded rows with ``left_out`` (the reason), ``unit_id`` and further columns.
    """
    row_entries = pl.concat(
        [_manifest_columns(rows[split].with_columns(pl.lit(split).alias("split")), None) for split in SPLITS]
    ).with_columns(_filters(None))
    reasons = left_out["left_out"].unique().sort().to_list()
    reason_entries = [_reason_entries(left_out, reason, settings) for reason in reasons]
    return MANIFEST.conform(pl.concat([row_entries, *reason_entries]))


def empty_manifest(reason: str) -> pl.DataFrame:
    entry = dict.fromkeys(MANIFEST.schema) | {"entry_id": reason, "left_out": reason}
    return MANIFEST.frame([entry | {"count": 0, "filters": []}])


def is_empty(tables: Mapping[str, pl.DataFrame], reason: str) -> bool:
    """Whether the data set is empty for this reason, according to its manifest."""
    return bool(tables[MANIFEST.name]["left_out"].eq(reason).any())


def count_redactions(units: pl.DataFrame, redactions: pl.DataFrame) -> pl.Series:
    """Number of privacy placeholders in each unit.

    ``units``: columns ``source``, ``path``, ``start_line`` and ``end_line``.
    """
    lines: dict[tuple[str, str], list[int]] = {}
    for source, path, line in redactions.select("source", "path", "line").sort("line").iter_rows():
        lines.setdefault((source, path), []).append(line)
    counts = [
        bisect_right(redaction_lines, end) - bisect_left(redaction_lines, start)
        if (redaction_lines := lines.get((source, path)))
        else 0
        for source, path, start, end in units.select("source", "path", "start_line", "end_line").iter_rows()
    ]
    return pl.Series("redactions", counts, dtype=pl.Int64)


def _reason_entries(left_out: pl.DataFrame, reason: str, settings: DatasetSettings) -> pl.DataFrame:
    """Entries excluded by one filter: the first by hash, the rest counted by language."""
    rows = left_out.filter(pl.col("left_out") == reason).with_row_index("at")
    kinds = rows["kind"] if "kind" in rows.columns else [""] * rows.height
    ids = [
        hashlib.sha256("\x1f".join((reason, unit, kind or "", str(ordinal))).encode()).hexdigest()[:32]
        for unit, kind, ordinal in zip(rows["unit_id"], kinds, _ordinals(rows), strict=True)
    ]
    with_entry_ids = rows.with_columns(
        pl.Series("entry_id", ids, dtype=pl.String), pl.lit(None, dtype=pl.String).alias("split")
    ).sort("entry_id")
    entries = _manifest_columns(with_entry_ids.head(settings.max_named_left_out), "entry_id")
    summarised = with_entry_ids.slice(settings.max_named_left_out).group_by("language").len().sort("language")
    more = [
        {
            "entry_id": f"more:{reason}:{language}",
            "left_out": reason,
            "language": language,
            "count": count,
            "filters": [],
        }
        for language, count in summarised.iter_rows()
    ]
    entries = pl.concat([entries, pl.DataFrame(more, schema=entries.schema)])
    return entries.with_columns(_filters(reason))


def _ordinals(rows: pl.DataFrame) -> pl.Series:
    """Number entries of the same unit, kind and text, independent of row order."""
    keys = [name for name in ("unit_id", "kind", "origin", "prompt", "completion")
            if name in rows.columns]  # fmt: skip
    sorted_rows = rows.select("at", *keys).sort(*keys, nulls_last=True, maintain_order=True)
    numbered = sorted_rows.with_columns(pl.col("at").cum_count().over("unit_id").alias("number"))
    return numbered.sort("at")["number"]


def _manifest_columns(frame: pl.DataFrame, entry: str | None) -> pl.DataFrame:
    with_entry = frame.with_columns(
        pl.col(entry or "example_id").alias("entry_id"), pl.lit(1, dtype=pl.Int64).alias("count")
    )
    return with_entry.select(
        pl.col(name).cast(dtype) if name in with_entry.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in MANIFEST.schema.items()
    )


def _filters(reason: str | None) -> pl.Expr:
    passed = _ALL[: _ALL.index(reason)] if reason in _ALL else _ALL
    # excluded before any filter
    if reason and reason.startswith(("review_", "pattern_", "feedback_")):
        passed = ()
    # excluded before the row filters
    if reason and reason.startswith(("documentation_", "tests_")):
        passed = FILTERS
    return pl.lit(list(passed), dtype=pl.List(pl.String)).alias("filters")
