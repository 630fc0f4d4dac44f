"""Select the rows of a data set: no near-duplicates across splits, bounded sizes.

Test is selected first, then validation, then train; excluded rows keep the reason.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from cortex_pipelines.augmentation.seeding import draw
from cortex_pipelines.datasets.dedup.incremental_join import IncrementalSimilarityJoin
from cortex_pipelines.datasets.dedup.similarity_join import compared_columns
from cortex_pipelines.datasets.settings import DatasetSettings
from cortex_pipelines.datasets.splitting.assign import DatasetError
from cortex_pipelines.schemas.datasets import MANIFEST
from cortex_pipelines.schemas.vocabulary import SPLITS

ORIGINAL, RENAMED, REWRITTEN = "original", "renamed", "rewritten:"
"""Values of ``origin``; the last is a prefix of the kind of rewrite."""
Texts = Sequence[tuple[str, ...]]
"""Columns compared across splits; those of a tuple are joined."""
_IDENTITY = ("unit_id", "origin", "prompt", "completion", "suffix")


def is_variant() -> pl.Expr:
    """Whether a row is a variant of a unit, by its ``origin``."""
    origin = pl.col("origin")
    return (origin == RENAMED) | origin.str.starts_with(REWRITTEN)


@dataclass(frozen=True)
class RowSelection:
    """Candidates split into selected and excluded rows."""

    rows: dict[str, pl.DataFrame]  # selected rows by split
    # excluded rows, with the reason in `left_out`: `repeated`, `near_duplicate_elsewhere` or `sample`
    left_out: pl.DataFrame


def with_ids(candidates: pl.DataFrame, name: str) -> pl.DataFrame:
    """Add ``example_id``: a hash of prompt and completion."""
    # gaps of a unit differ in their suffix
    identity = [column for column in _IDENTITY if column in candidates.columns]
    parts = candidates.select(pl.col(identity).fill_null("")).iter_rows()
    ids = [hashlib.sha256("\x1f".join((name, *row)).encode()).hexdigest()[:32] for row in parts]
    return candidates.with_columns(pl.Series("example_id", ids, dtype=pl.String))


def select_rows(
    candidates: pl.DataFrame, name: str, texts: Texts, settings: DatasetSettings, join: IncrementalSimilarityJoin
) -> RowSelection:
    """Select the rows of a data set.

    ``candidates``: rows with ``example_id``, ``split``, ``kind``, ``language``, ``weight``, ``origin`` and the
    columns compared. Variants (by ``origin``) are selected for train only, up to their share.
    """
    selection = _SelectionBuilder(name, texts, settings, join)
    first = pl.col("example_id").is_first_distinct()
    selection.exclude(candidates.filter(~first), "repeated")
    rows = candidates.filter(first)
    variant = is_variant()
    limits = {"train": settings.max_train, "validation": settings.max_validation, "test": settings.max_test}
    selected_splits: list[pl.DataFrame] = []
    for split in reversed(SPLITS):
        originals = rows.filter((pl.col("split") == split) & ~variant)
        selection.add(split, originals, selected_splits, limits[split], split)
        selected_splits.append(selection.rows[split])
    variants = rows.filter(variant & (pl.col("split") == "train"))
    share, selected_count = settings.max_augmented_share, selection.rows["train"].height
    max_variants = int(selected_count * share / (1 - share))
    if settings.max_train is not None:
        max_variants = min(settings.max_train - selected_count, max_variants)
    selection.add("train", variants, selected_splits[:2], max_variants, "variants")
    return RowSelection(selection.rows, pl.concat(selection.left_out))


class _SelectionBuilder:
    def __init__(self, name: str, texts: Texts, settings: DatasetSettings, join: IncrementalSimilarityJoin) -> None:
        self._name, self._texts, self._settings, self._join = name, texts, settings, join
        self.rows: dict[str, pl.DataFrame] = {}
        self.left_out: list[pl.DataFrame] = []

    def exclude(self, rows: pl.DataFrame, reason: str, but: pl.DataFrame | None = None) -> None:
        if but is not None:
            rows = rows.join(but.select("example_id"), on="example_id", how="anti", maintain_order="left")
        self.left_out.append(rows.with_columns(pl.lit(reason).alias("left_out")))

    def add(
        self, split: str, rows: pl.DataFrame, other_splits: Sequence[pl.DataFrame], limit: int | None, step: str
    ) -> None:
        distinct = rows
        for columns in self._texts if other_splits and not rows.is_empty() else ():
            texts, other_texts = (
                _texts_to_compare(frames, self._name, columns) for frames in ([distinct], other_splits)
            )
            duplicates = self._join.between(texts, other_texts, columns, step)
            distinct = distinct.join(duplicates, on="example_id", how="anti", maintain_order="left")
        self.exclude(rows, "near_duplicate_elsewhere", but=distinct)
        by_kind = self._settings.max_by_kind.get(self._name, {})
        sampled = _cap(_cap_by_kind(distinct, by_kind, split, self._settings), limit, split, self._settings)
        self.exclude(distinct, "sample", but=sampled)
        self.rows[split] = pl.concat([self.rows[split], sampled]) if split in self.rows else sampled


def require_no_leakage(
    rows: Mapping[str, pl.DataFrame], name: str, texts: Texts, join: IncrementalSimilarityJoin
) -> None:
    """Check that no near-duplicates cross the splits of a finished data set.

    Independent of the selection, with a cache of its own.
    Raises DatasetError: a near-duplicate crosses the splits.
    """
    for split, other_splits in (("train", SPLITS[1:]), ("validation", SPLITS[2:])):
        for columns in texts:
            split_texts = _texts_to_compare([rows[split]], name, columns)
            other_texts = _texts_to_compare([rows[other_split] for other_split in other_splits], name, columns)
            leaks = join.between(split_texts, other_texts, columns, f"{split} checked")
            if leaks.height:
                raise DatasetError(
                    f"{name}: {leaks.height} rows of {split} have a near-duplicate in another "
                    f"split by {' and '.join(columns)}, for example {leaks['example_id'][0]} and "
                    f"{leaks['other_example_id'][0]}; this must not happen, please report it"
                )


def _texts_to_compare(frames: Sequence[pl.DataFrame], name: str, columns: tuple[str, ...]) -> pl.DataFrame:
    return pl.concat([frame.select(compared_columns(frame, name, columns)) for frame in frames])


def _cap_by_kind(rows: pl.DataFrame, bounds: Mapping[str, int], split: str, settings: DatasetSettings) -> pl.DataFrame:
    if not bounds:
        return rows
    train = 1 - settings.validation_share - settings.test_share
    scale = {"validation": settings.validation_share, "test": settings.test_share}.get(split, train) / train
    is_selected = rows.select(~pl.col("kind").is_in(list(bounds)))["kind"]
    for kind, bound in bounds.items():
        kind_rows = rows.filter(pl.col("kind") == kind)
        sampled = _cap(kind_rows, max(round(bound * scale), min(bound, 1)), split, settings)
        is_selected |= rows["example_id"].is_in(sampled["example_id"].implode())
    return rows.filter(is_selected)


def _cap(rows: pl.DataFrame, limit: int | None, split: str, settings: DatasetSettings) -> pl.DataFrame:
    """Sample at most ``limit`` rows, stratified by language.

    Languages are allotted rows by Adams' method of apportionment: each gets one row before any gets its second share,
    and rows kept under a smaller bound are kept under a larger one too. The rows of a language are chosen by the hash
    of their ids, in train together with their weight: priority sampling (Duffield, Lund and Thorup 2007), in which
    only one division depends on the machine's floats.
    """
    if limit is None or rows.height <= limit:
        return rows
    weights = rows["weight"].to_list() if split == "train" else [1.0] * rows.height
    ids = rows["example_id"].to_list()
    priorities = [
        weight / ((draw(settings.seed, "sample", row_id) + 1) / 2**64)
        for row_id, weight in zip(ids, weights, strict=True)
    ]
    ranked = rows.select("example_id", "language").with_columns(pl.Series("priority", priorities, dtype=pl.Float64))
    in_order = ranked.sort("priority", "example_id", descending=[True, False])
    size, rank = pl.len().over("language"), pl.int_range(pl.len()).over("language")
    turns = in_order.with_columns(size.alias("size"), (rank / size).alias("turn"))
    sampled = turns.sort("turn", "size", "language", descending=[False, True, False]).head(max(limit, 0))
    return rows.filter(pl.col("example_id").is_in(sampled["example_id"].implode()))


FILTERS = (
    *("generated", "licence", "syntax", "longest_line", "mean_line", "alphanumeric", "comments", "contaminated"),
    *("near_duplicate",),
)
"""Filters of units, in order."""

ROW_FILTERS = (
    *("body_size", "no_gap", "prompt_size", "answer_in_prompt", "repeated", "near_duplicate_elsewhere", "sample"),
)
"""Filters of candidates whose unit passed ``FILTERS``, in order."""

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
    if reason and reason.startswith(("documentation_", "tests_", "unanswerable")):
        passed = FILTERS
    return pl.lit(list(passed), dtype=pl.List(pl.String)).alias("filters")
